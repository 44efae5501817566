//! The manifest of a checkpoint: which files it consists of, with their lengths and hashes.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::StorageError;
use crate::metrics::MetricsMark;
use crate::regular::read_regular;

/// Version of the checkpoint format that this program writes and reads.
pub const FORMAT_VERSION: u32 = 2;

/// The files of every checkpoint: weights and BatchNorm statistics, the optimizer's state, the resolved recipe, and the run's
/// progress.
pub const REQUIRED_FILES: [&str; 4] =
    ["model.safetensors", "optimizer.safetensors", "recipe.toml", "state.json"];

/// The manifest's file name in the checkpoint's folder.
const NAME: &str = "manifest.json";

/// Separator between a manifest's text and the hash of that text at the end of the file.
const SEAL: &str = ",\n  \"blake3\": \"";

/// The content of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the format, [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Steps done when the checkpoint was written.
    pub step: u64,
    /// The state of the run's metrics file at that moment, which was synced before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsMark>,
    /// Its files except the manifest itself, sorted by name; at least [`REQUIRED_FILES`].
    pub files: Vec<ManifestFile>,
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name, without a folder.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// BLAKE3 of its content, in hexadecimal.
    pub blake3: String,
}

impl Manifest {
    /// Builds the manifest of the files in `folder` and syncs each of them.
    ///
    /// # Errors
    /// If a file cannot be read or synced, is not a plain file, or a required one is missing.
    pub(super) fn of_folder(
        folder: &Path,
        step: u64,
        metrics: Option<MetricsMark>,
    ) -> Result<Self, StorageError> {
        let list = |error| StorageError::io("list", folder)(error);
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(list)? {
            let path = entry.map_err(list)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_file());
            let Some(name) = name.map(str::to_owned) else {
                let found = "a checkpoint consists of plain files with names in UTF-8".to_owned();
                return Err(StorageError::Content { path, found });
            };
            let file = File::open(&path).map_err(StorageError::io("open", &path))?;
            file.sync_all().map_err(StorageError::io("write", &path))?;
            let (bytes, blake3) = length_and_hash(file).map_err(StorageError::io("read", &path))?;
            files.push(ManifestFile { name, bytes, blake3 });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let manifest = Self { format_version: FORMAT_VERSION, step, metrics, files };
        manifest
            .check_required()
            .map_err(|found| StorageError::Content { path: folder.to_owned(), found })?;
        Ok(manifest)
    }

    /// Writes the manifest into `folder` and syncs it.
    pub(super) fn write(&self, folder: &Path) -> Result<(), StorageError> {
        let json = serde_json::to_string_pretty(self).expect("numbers and strings always have a JSON form");
        let body = json.strip_suffix("\n}").expect("an object over several lines");
        crate::atomic::write_atomic(folder.join(NAME), sealed(body).as_bytes())
    }

    /// Reads the manifest in `folder`. The files listed in it are not verified.
    ///
    /// # Errors
    /// A description of what is wrong with the manifest.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let bytes = read_regular(&folder.join(NAME)).map_err(|error| unreadable(NAME, &error))?;
        let manifest: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| format!("{NAME} is not valid JSON: {error}"))?;
        // Check the version first: other versions may have other fields.
        let version = &manifest["format_version"];
        if *version != FORMAT_VERSION {
            return Err(format!(
                "{NAME} is of format version {version}, this program reads {FORMAT_VERSION}"
            ));
        }
        let is_sealed = std::str::from_utf8(&bytes)
            .is_ok_and(|text| text.rsplit_once(SEAL).is_some_and(|(body, _)| sealed(body) == text));
        if !is_sealed {
            return Err(format!("the content of {NAME} does not have the hash that it ends with"));
        }
        let manifest: Self =
            serde_json::from_value(manifest).map_err(|error| format!("{NAME} is no manifest: {error}"))?;
        manifest.check_required()?;
        Ok(manifest)
    }

    /// Checks that all of [`REQUIRED_FILES`] are listed; the error names the first missing one.
    fn check_required(&self) -> Result<(), String> {
        let is_named = |name: &str| self.files.iter().any(|file| file.name == name);
        match REQUIRED_FILES.iter().find(|name| !is_named(name)) {
            Some(name) => Err(format!("{name} is not among the checkpoint's files")),
            None => Ok(()),
        }
    }

    /// Compares every file in `folder` with the manifest; the error describes the first difference.
    pub(super) fn check_files(&self, folder: &Path) -> Result<(), String> {
        self.files.iter().try_for_each(|file| file.check(folder))
    }
}

impl ManifestFile {
    fn check(&self, folder: &Path) -> Result<(), String> {
        let Self { name, bytes, blake3 } = self;
        let found = File::open(folder.join(name)).and_then(length_and_hash);
        let (found_bytes, found_blake3) = found.map_err(|error| unreadable(name, &error))?;
        if found_bytes != *bytes {
            return Err(format!("{name} has {found_bytes} bytes where the manifest says {bytes}"));
        }
        if found_blake3 != *blake3 {
            return Err(format!("the content of {name} does not have the hash that the manifest says"));
        }
        Ok(())
    }
}

/// Returns the text of a manifest's file: `body` followed by its hash.
fn sealed(body: &str) -> String {
    format!("{body}{SEAL}{}\"\n}}", blake3::hash(body.as_bytes()).to_hex())
}

fn length_and_hash(file: File) -> io::Result<(u64, String)> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok((hasher.count(), hasher.finalize().to_hex().to_string()))
}

fn unreadable(name: &str, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        format!("{name} is missing")
    } else {
        format!("{name} cannot be read: {error}")
    }
}
