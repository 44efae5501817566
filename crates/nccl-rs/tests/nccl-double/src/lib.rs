//! Builds the stand-ins for NCCL that tests use: `nccl_double.c` on machines without a GPU, and `nccl_device_double.c`, which
//! proves ordering on one. For tests only.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A built double. Dropped, its file is gone; a process that has it open keeps it.
#[derive(Debug)]
pub struct Double {
    folder: TempDir,
}

impl Double {
    /// Without faults.
    pub fn build() -> Self {
        Self::with(&[])
    }

    /// With these options of the C compiler; the C file says which there are.
    ///
    /// # Panics
    /// Where there is no C compiler (`CC` names one) or it fails.
    pub fn with(options: &[&str]) -> Self {
        Self::compile("nccl_double.c", options)
    }

    /// The one for device memory.
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

    /// With faults that do not depend on the environment.
    pub fn faulty(faults: &str) -> Self {
        Self::with(&[&format!("-DFAULTS=\"{faults}\"")])
    }

    /// The library, for `NCCL_LIBRARY`.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("libnccl_double.so")
    }
}
