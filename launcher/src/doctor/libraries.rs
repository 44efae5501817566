//! Libraries that the trainer is linked with, as the dynamic linker finds them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::facts::Trainer;

/// Inspects the trainer at `path` with `ldd`.
pub(crate) fn of(path: &Path) -> Trainer {
    let listed = Command::new("ldd").arg(path).output().map(|output| output.stdout).unwrap_or_default();
    let trainer = parse(path, &String::from_utf8_lossy(&listed));
    let libtorch_version = trainer.libtorch.as_deref().and_then(libtorch_version);
    Trainer { libtorch_version, ..trainer }
}

/// Parses lines such as `libmpi.so.40 => /lib/libmpi.so.40 (0x...)` and `libmpi.so.40 => not found`.
fn parse(path: &Path, listed: &str) -> Trainer {
    let lines: Vec<_> = listed.lines().filter_map(|line| line.trim().split_once(" => ")).collect();
    let find = |start: &str| {
        let (_, at) = lines.iter().find(|(name, at)| name.starts_with(start) && at.starts_with('/'))?;
        Some(PathBuf::from(at.split(" (").next()?))
    };
    let missing = lines.iter().filter(|(_, at)| at.starts_with("not found"));
    let cuda = lines.iter().find_map(|(name, _)| name.strip_prefix("libcudart.so."));
    Trainer {
        path: path.to_owned(),
        libtorch: find("libtorch_cpu.so"),
        libtorch_version: None,
        mpi: find("libmpi.so").or_else(|| find("libmpich.so")).or_else(|| find("libmpi_cray.so")),
        cuda_major: cuda.and_then(|version| version.split('.').next()?.parse().ok()),
        missing_libraries: missing.map(|(name, _)| (*name).to_owned()).collect(),
    }
}

/// The version in the wheel's `version.py` or the libtorch archive's `build-version`.
fn libtorch_version(library: &Path) -> Option<String> {
    let root = library.parent()?.parent()?;
    let of_archive = || Some(fs::read_to_string(root.join("build-version")).ok()?.trim().to_owned());
    let of_wheel = || {
        let text = fs::read_to_string(root.join("version.py")).ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix("__version__ = "))?;
        Some(value.trim_matches(['\'', '"']).to_owned())
    };
    of_wheel().or_else(of_archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_missing_or_not_needed() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffc)\n\
                      \tlibmpi.so.40 => /lib/x86_64-linux-gnu/libmpi.so.40 (0x00007f)\n\
                      \tlibtorch_cpu.so => /opt/torch/lib/libtorch_cpu.so (0x00007f)\n\
                      \tlibcudart.so.13 => /opt/cuda/libcudart.so.13 (0x00007f)\n\
                      \tlibcupti.so.13 => not found\n";
        let trainer = parse(Path::new("/opt/trainer"), listed);
        assert_eq!(trainer.mpi, Some("/lib/x86_64-linux-gnu/libmpi.so.40".into()));
        assert_eq!(trainer.libtorch, Some("/opt/torch/lib/libtorch_cpu.so".into()));
        assert_eq!(
            (trainer.cuda_major, trainer.missing_libraries),
            (Some(13), vec!["libcupti.so.13".to_owned()])
        );
        assert_eq!(parse(Path::new("t"), ""), Trainer { path: "t".into(), ..Trainer::default() });
    }

    #[test]
    fn the_libtorch_version_is_read_from_wheel_or_archive() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("lib/libtorch_cpu.so");
        assert_eq!(libtorch_version(&library), None);
        fs::write(folder.path().join("build-version"), "2.11.0+cpu\n").unwrap();
        assert_eq!(libtorch_version(&library).as_deref(), Some("2.11.0+cpu"));
        fs::write(
            folder.path().join("version.py"),
            "from typing import Optional\n__version__ = '2.11.0+cu130'\n",
        )
        .unwrap();
        assert_eq!(libtorch_version(&library).as_deref(), Some("2.11.0+cu130"));
    }
}
