//! Tests of NVIDIA's library: without a driver it reports its version, creates unique IDs, and explains why there is no
//! communicator.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nccl::{Error, MINIMUM_VERSION, Nccl};

/// Returns the library that `NCCL_LIBRARY` names, or the one in the wheels beside libtorch.
fn library() -> Option<PathBuf> {
    let named = std::env::var_os("NCCL_LIBRARY").map(PathBuf::from);
    let beside_libtorch = || {
        let libtorch = std::env::var_os("LIBTORCH").map(PathBuf::from)?;
        Some(libtorch.parent()?.join("nvidia/nccl/lib/libnccl.so.2"))
    };
    let path = named.or_else(beside_libtorch).filter(|path| path.exists());
    if path.is_none() {
        println!("skipped: no libnccl.so.2 (NCCL_LIBRARY names one)");
    }
    path
}

#[test]
fn version_and_path() {
    let Some(path) = library() else { return };
    let nccl = Nccl::open_at(&path).unwrap();
    assert!(nccl.version() >= MINIMUM_VERSION);
    assert_eq!(nccl.path().canonicalize().unwrap(), path.canonicalize().unwrap());
    assert!(!nccl.takes_host_memory());
}

#[test]
fn a_loaded_copy_is_reused() {
    let Some(path) = library() else { return };
    let first = Nccl::open_at(&path).unwrap();
    assert_eq!(Nccl::open().unwrap().path(), first.path());
}

#[test]
fn unique_ids_differ() {
    let Some(path) = library() else { return };
    let nccl = Nccl::open_at(&path).unwrap();
    assert_ne!(nccl.unique_id().unwrap(), nccl.unique_id().unwrap());
}

#[test]
fn without_a_driver_init_fails_with_the_reason() {
    let Some(path) = library() else { return };
    if Path::new("/dev/nvidiactl").exists() {
        println!("skipped: this machine has a GPU");
        return;
    }
    let nccl = Nccl::open_at(&path).unwrap();
    let id = nccl.unique_id().unwrap();
    let outcome = nccl.init_rank(&id, 0, 1);
    let outcome = outcome.and_then(|mut it| it.settle(Instant::now() + Duration::from_secs(30)));
    let Error::Call { call, last_error, .. } = outcome.unwrap_err() else { panic!("NCCL's own error") };
    assert_eq!(call, "ncclCommInitRankConfig");
    assert!(last_error.to_lowercase().contains("cuda"), "{last_error}");
}
