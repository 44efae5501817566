//! Builds the library (`heap_guard.c`) that sees accesses beyond the blocks that libtorch allocates. For tests only.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A built guard, for `LD_PRELOAD`. Dropped, its file is gone; a process that has it open keeps it.
#[derive(Debug)]
pub struct HeapGuard {
    folder: TempDir,
}

impl HeapGuard {
    /// Builds it.
    ///
    /// # Panics
    /// Where there is no C compiler (`CC` names one) or it fails.
    pub fn build() -> Self {
        let guard = Self { folder: TempDir::new().expect("a temporary folder") };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("heap_guard.c");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let mut command = Command::new(compiler);
        command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(guard.path()).arg(source).arg("-lpthread");
        assert!(command.status().expect("a C compiler").success(), "the C compiler failed");
        guard
    }

    /// The library.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("libheap_guard.so")
    }
}
