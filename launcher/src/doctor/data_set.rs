//! The files of a data set: the first and the last are there and can be read from their beginning to their end.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use regatta_settings::DataSource;

use super::facts::{DataFile, DataSet};

/// The four files of MNIST's form, training's images first and validation's labels last.
const IDX: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];
/// Read at the beginning and at the end of a file.
const BYTES: u64 = 4096;

/// Where the files are, for data sets that consist of files.
pub(crate) fn folder(source: &DataSource) -> Option<PathBuf> {
    match source {
        DataSource::FashionMnist { folder } | DataSource::Mnist { folder } => Some(folder.clone()),
        DataSource::Synthetic { .. } => None,
    }
}

/// Looks at the files in `folder`.
pub(crate) fn look_at(folder: &Path) -> DataSet {
    DataSet { folder: folder.to_owned(), files: IDX.map(|name| look_at_file(folder, name)).into() }
}

fn look_at_file(folder: &Path, name: &str) -> DataFile {
    let compressed = format!("{name}.gz");
    let is_there = |name: &&str| folder.join(name).exists();
    let name = [name, &compressed].into_iter().find(is_there).unwrap_or(name).to_owned();
    match read_ends(&folder.join(&name)) {
        Ok(bytes) => DataFile { name, bytes, problem: None },
        Err(error) => DataFile { name, bytes: 0, problem: Some(error.to_string()) },
    }
}

/// The file's length, once its ends were read.
fn read_ends(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut start = Vec::new();
    (&file).take(BYTES).read_to_end(&mut start)?;
    // gzip, or two zeros and the code of unsigned bytes.
    if !start.starts_with(&[0x1f, 0x8b]) && !start.starts_with(&[0, 0, 8]) {
        return Err(io::Error::other("it begins neither as an idx file nor as gzip"));
    }
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
    file.read_to_end(&mut start)?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_either_form() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(IDX[0]), [0, 0, 8, 3, 0]).unwrap();
        std::fs::write(folder.path().join("train-labels-idx1-ubyte.gz"), [0x1f, 0x8b, 8]).unwrap();
        std::fs::write(folder.path().join(IDX[2]), "an error page").unwrap();
        let files = look_at(folder.path()).files;
        let found: Vec<_> =
            files.iter().map(|it| (&*it.name, it.bytes, it.problem.as_deref().unwrap_or("whole"))).collect();
        assert_eq!(
            found,
            [
                ("train-images-idx3-ubyte", 5, "whole"),
                ("train-labels-idx1-ubyte.gz", 3, "whole"),
                ("t10k-images-idx3-ubyte", 0, "it begins neither as an idx file nor as gzip"),
                ("t10k-labels-idx1-ubyte", 0, "No such file or directory (os error 2)"),
            ]
        );
    }
}
