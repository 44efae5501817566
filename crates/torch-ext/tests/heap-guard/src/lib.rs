//! Compiles the library `heap_guard.c`, which detects out-of-bounds accesses to memory that libtorch allocates. For tests only.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A compiled guard, for `LD_PRELOAD`. Dropping it deletes the file; a process that has loaded it is not affected.
#[derive(Debug)]
pub struct HeapGuard {
    folder: TempDir,
}

impl HeapGuard {
    /// Compiles the guard.
    ///
    /// # Panics
    /// If there is no C compiler (`CC` names one) or it fails.
    pub fn build() -> Self {
        let guard = Self { folder: TempDir::new().expect("a temporary folder") };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("heap_guard.c");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let mut command = Command::new(compiler);
        command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(guard.path()).arg(source).arg("-lpthread");
        assert!(command.status().expect("a C compiler").success(), "the C compiler failed");
        guard
    }

    /// Returns the path of the library.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("libheap_guard.so")
    }
}
