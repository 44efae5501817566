//! The manifest of a checkpoint: which files it consists of, with their lengths and hashes.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::StorageError;
use crate::metrics::MetricsMark;

/// The version of the checkpoint's format that this program writes and reads.
pub const FORMAT_VERSION: u32 = 2;

/// The files that every checkpoint has: weights and BatchNorm's statistics, the optimizer's state, where the run stands,
/// and the resolved recipe that it was trained with.
pub const REQUIRED_FILES: [&str; 4] =
    ["model.safetensors", "optimizer.safetensors", "recipe.toml", "state.json"];

/// The manifest's name in the checkpoint's folder.
const NAME: &str = "manifest.json";

/// What stands between a manifest's text and the hash of that text, which ends the file.
const SEAL: &str = ",\n  \"blake3\": \"";

/// What a checkpoint holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the format, [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Steps done when the checkpoint was written.
    pub step: u64,
    /// The run's metrics at that moment, which were made durable before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsMark>,
    /// Its files but the manifest itself, by name; at least [`REQUIRED_FILES`].
    pub files: Vec<ManifestFile>,
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name, without a folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its content, in hexadecimal.
    pub blake3: String,
}

impl Manifest {
    /// Takes stock of the files in `folder` and makes each durable.
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

    /// Puts the manifest into `folder`, durably.
    pub(super) fn write(&self, folder: &Path) -> Result<(), StorageError> {
        let json = serde_json::to_string_pretty(self).expect("numbers and strings always have a JSON form");
        let body = json.strip_suffix("\n}").expect("an object over several lines");
        crate::atomic::write_atomic(folder.join(NAME), sealed(body).as_bytes())
    }

    /// Reads the manifest in `folder`, or says what is wrong with it. What it says of files is not verified.
    ///
    /// # Errors
    /// What is wrong.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let bytes = fs::read(folder.join(NAME)).map_err(|error| unreadable(NAME, &error))?;
        let manifest: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| format!("{NAME} is not valid JSON: {error}"))?;
        // The version first: another one may have other fields.
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

    /// Says which of [`REQUIRED_FILES`] is missing.
    fn check_required(&self) -> Result<(), String> {
        let is_named = |name: &str| self.files.iter().any(|file| file.name == name);
        match REQUIRED_FILES.iter().find(|name| !is_named(name)) {
            Some(name) => Err(format!("{name} is not among the checkpoint's files")),
            None => Ok(()),
        }
    }

    /// Compares every file in `folder` with the manifest, or says which one differs how.
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

/// The text of a manifest's file: what it says, and the hash of that.
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
