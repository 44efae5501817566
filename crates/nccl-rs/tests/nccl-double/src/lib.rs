//! Compiles the test doubles for NCCL: `nccl_double.c` for machines without a GPU, and `nccl_device_double.c`, which verifies
//! ordering on a GPU.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A compiled double. Dropping it deletes the file; a process that has loaded it is not affected.
#[derive(Debug)]
pub struct Double {
    folder: TempDir,
}

impl Double {
    /// Compiles the double without faults.
    pub fn build() -> Self {
        Self::with(&[])
    }

    /// Compiles the double with these compiler options, which the C file documents.
    ///
    /// # Panics
    /// If there is no C compiler (`CC` names one) or it fails.
    pub fn with(options: &[&str]) -> Self {
        Self::compile("nccl_double.c", options)
    }

    /// Compiles the double for device memory.
    pub fn for_devices() -> Self {
        Self::compile("nccl_device_double.c", &["-Wall", "-Wextra", "-Werror", "-ldl"])
    }

    fn compile(file: &str, options: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let double = Self { folder };
        let mut command = Command::new(compiler);
        command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(double.path()).arg(source).args(options);
        let status = command.args(["-lpthread", "-lrt"]).status().expect("a C compiler");
        assert!(status.success(), "the C compiler failed");
        double
    }

    /// Compiles the double with built-in faults, which do not depend on the environment.
    pub fn faulty(faults: &str) -> Self {
        Self::with(&[&format!("-DFAULTS=\"{faults}\"")])
    }

    /// Returns the path of the library, for `NCCL_LIBRARY`.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("libnccl_double.so")
    }
}
