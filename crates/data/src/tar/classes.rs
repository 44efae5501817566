//! The names of the classes beside a set of shards.

use std::io::{self, Read};
use std::path::Path;

use super::error::TarError;
use crate::cache::write_atomically;
use crate::error::DataError;
use crate::regular_file;

/// Name of the optional file beside the shards with the names of the classes, one a line in the order of the labels.
pub(super) const CLASSES: &str = "classes.txt";
/// Largest such file, in bytes.
const MOST_CLASSES_BYTES: u64 = 64 << 20;

/// Reads the names of the classes; none if there is no such file.
pub(super) fn read(path: &Path) -> Result<Vec<String>, DataError> {
    let failed = |source| DataError::Read { path: path.to_owned(), source };
    let refused = |reason| TarError::Classes { path: path.to_owned(), reason }.into();
    let mut bytes = Vec::new();
    match regular_file::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => {
            opened.map_err(failed)?.take(MOST_CLASSES_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?
        }
    };
    if bytes.len() as u64 > MOST_CLASSES_BYTES {
        return Err(refused("a file of class names has at most 64 MiB"));
    }
    let text = str::from_utf8(&bytes).map_err(|_| refused("class names must be valid UTF-8"))?;
    let names: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    match names.iter().any(String::is_empty) || names.is_empty() {
        true => Err(refused("each line must be the name of a class")),
        false => Ok(names),
    }
}

/// Writes the names of the classes beside the shards in `folder`, where [`ShardIndex`](crate::ShardIndex) finds them.
///
/// # Errors
/// A name that is empty or has a line break; a file that cannot be written.
pub fn write_classes(folder: &Path, names: &[String]) -> Result<(), DataError> {
    let path = folder.join(CLASSES);
    if names.is_empty() || names.iter().any(|name| name.is_empty() || name.contains(['\n', '\r'])) {
        let reason = "each line must be the name of a class";
        return Err(TarError::Classes { path, reason }.into());
    }
    let text = names.iter().map(|name| format!("{name}\n")).collect::<String>();
    write_atomically(&path, &[text.as_bytes()]).map_err(|source| DataError::Write { path, source })
}
