//! Reads regular files only: a pipe in the place of a run's file would wait for a writer, and a device may have no end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::error::StorageError;

/// Opens a file for reading.
///
/// # Errors
/// A file that cannot be opened, or a folder, pipe or device in its place.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // The flag keeps a pipe from waiting for its writer, and has no effect on regular files.
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    match file.metadata()?.file_type() {
        kind if kind.is_file() => Ok(file),
        kind if kind.is_dir() => Err(Errno::ISDIR.into()),
        _ => Err(io::Error::other("not a regular file")),
    }
}

/// Reads a file.
///
/// # Errors
/// Those of [`open_regular`], or a file that cannot be read.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file, if there is one.
///
/// # Errors
/// Those of [`read_regular`], except that there is no file.
pub fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    match read_regular(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        outcome => outcome.map(Some).map_err(StorageError::io("read", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_folders_and_devices_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "text").unwrap();
        assert_eq!(read_regular(&file).unwrap(), b"text");
        for path in [&*pipe, Path::new("/dev/zero")] {
            assert_eq!(read_regular(path).unwrap_err().to_string(), "not a regular file", "{path:?}");
        }
        assert_eq!(read_regular(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let none = folder.path().join("none");
        assert_eq!(read_regular(&none).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(
            (read_if_exists(&none).unwrap(), read_if_exists(&file).unwrap()),
            (None, Some(b"text".to_vec()))
        );
        assert!(read_if_exists(&pipe).is_err());
    }
}
