//! Reads the small text files that a user names on the command line.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::failure::Usage;

/// Maximum size in bytes: far more than the hosts of the largest cluster take.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a text file. Only regular files are opened: a device may have no end, and a pipe waits for a writer.
///
/// # Errors
/// A path that is not a regular file, a file that cannot be read, is too large or is not UTF-8.
pub(crate) fn read(path: &Path) -> Result<String, Usage> {
    let failed = |error: std::io::Error| Usage(format!("cannot be read: {error}"));
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(Usage("is not a regular file".to_owned()));
    }
    let mut text = String::new();
    File::open(path).map_err(failed)?.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    match text.len() as u64 > MAX_BYTES {
        true => Err(Usage(format!("is larger than {} KiB", MAX_BYTES / 1024))),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_regular_files_of_text_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = |content: &[u8]| {
            let path = folder.path().join("file");
            fs::write(&path, content).unwrap();
            read(&path).map_err(|error| error.to_string())
        };
        assert_eq!(file("a slots=8\n".as_bytes()), Ok("a slots=8\n".to_owned()));
        let largest = vec![b'a'; MAX_BYTES as usize];
        assert_eq!(file(&largest).map(|text| text.len()), Ok(largest.len()));
        assert_eq!(file(&[&largest[..], b"a"].concat()), Err("is larger than 1024 KiB".to_owned()));
        let error = file(b"caf\xe9").unwrap_err();
        assert!(error.starts_with("cannot be read: ") && error.contains("UTF-8"), "{error}");
        for path in ["/dev/zero", "/tmp"] {
            assert_eq!(read(Path::new(path)).unwrap_err().to_string(), "is not a regular file");
        }
    }
}
