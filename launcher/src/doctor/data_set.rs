//! Checks that a data set's files exist and that their beginnings and ends can be read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use regatta_data::{Format, KnownDataset};
use regatta_settings::DataSource;

use super::facts::{DataFile, DataSet};

/// Number of bytes to read at the beginning and at the end of a file.
const BYTES: u64 = 4096;
/// Magic number of gzip files.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Checks the files of a data set; None for a source without files.
pub(crate) fn inspect(source: &DataSource) -> Option<DataSet> {
    let DataSource::Files { dataset, folder } = source else { return None };
    let facts = dataset.facts();
    let names = facts.train_files.iter().chain(facts.validation_files);
    let files = names.map(|name| inspect_file(folder, name, facts)).collect();
    Some(DataSet { folder: folder.clone(), files })
}

fn inspect_file(folder: &Path, name: &str, facts: &KnownDataset) -> DataFile {
    let path = facts.find_file(folder, name).ok().flatten().unwrap_or_else(|| folder.join(name));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match read_ends(&path, facts.format) {
        Ok(bytes) => DataFile { name, bytes, problem: None },
        Err(error) => DataFile { name, bytes: 0, problem: Some(error.to_string()) },
    }
}

/// Reads both ends of a file and returns its length. A pipe would wait for a writer.
fn read_ends(path: &Path, format: &Format) -> io::Result<u64> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut start = Vec::new();
    (&file).take(BYTES).read_to_end(&mut start)?;
    if !start.starts_with(GZIP) && !start.starts_with(format.magic) {
        return Err(io::Error::other(format!("starts neither like {} nor like gzip", format.file)));
    }
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
    file.read_to_end(&mut start)?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use regatta_data::DatasetName;

    use super::*;

    #[test]
    fn plain_and_compressed_files_are_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train-images-idx3-ubyte"), [0, 0, 8, 3, 0]).unwrap();
        std::fs::write(folder.path().join("train-labels-idx1-ubyte.gz"), [0x1f, 0x8b, 8]).unwrap();
        std::fs::write(folder.path().join("t10k-images-idx3-ubyte"), "an error page").unwrap();
        let pipe = folder.path().join("t10k-labels-idx1-ubyte");
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
        let mnist = DataSource::Files { dataset: DatasetName::Mnist, folder: folder.path().to_owned() };
        let files = inspect(&mnist).unwrap().files;
        let found: Vec<_> =
            files.iter().map(|it| (&*it.name, it.bytes, it.problem.as_deref().unwrap_or("whole"))).collect();
        assert_eq!(
            found,
            [
                ("train-images-idx3-ubyte", 5, "whole"),
                ("train-labels-idx1-ubyte.gz", 3, "whole"),
                ("t10k-images-idx3-ubyte", 0, "starts neither like an idx file nor like gzip"),
                ("t10k-labels-idx1-ubyte", 0, "not a regular file"),
            ]
        );
        std::fs::remove_file(folder.path().join("t10k-labels-idx1-ubyte")).unwrap();
        let missing = inspect(&mnist).unwrap().files.pop().unwrap();
        assert_eq!(missing.problem.unwrap(), "No such file or directory (os error 2)");
    }
}
