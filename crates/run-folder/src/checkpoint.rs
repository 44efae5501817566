//! Checkpoints: folders that exist whole or not at all, found again by the newest that is undamaged.

mod manifest;
mod retention;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use manifest::{FORMAT_VERSION, Manifest, ManifestFile, REQUIRED_FILES};
pub use retention::{best, prune, remove_after, set_aside_damaged, set_best};
pub use writer::CheckpointWriter;

use crate::error::StorageError;
use crate::folder::{RunFolder, checkpoint_step};

/// A checkpoint whose files were seen to be those of its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
}

/// A checkpoint that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the checkpoint {} is damaged: {reason}", .path.display())]
pub struct Damaged {
    /// Its folder.
    pub path: PathBuf,
    /// What is wrong with which of its files.
    pub reason: String,
}

impl Checkpoint {
    /// Reads the manifest in `path` and every file that it names, comparing lengths and hashes, and the step with that in
    /// the folder's name.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn verify(path: &Path) -> Result<Self, Damaged> {
        let verified = Manifest::read(path).and_then(|manifest| {
            let named = path.file_name().and_then(|name| checkpoint_step(name.to_str()?));
            if let Some(named) = named.filter(|&named| named != manifest.step) {
                return Err(format!("it is of step {}, its folder's name says {named}", manifest.step));
            }
            manifest.check_files(path)?;
            Ok(manifest)
        });
        match verified {
            Ok(manifest) => Ok(Self { path: path.to_owned(), manifest }),
            Err(reason) => Err(Damaged { path: path.to_owned(), reason }),
        }
    }

    /// Steps done when it was written.
    pub fn step(&self) -> u64 {
        self.manifest.step
    }
}

/// The newest checkpoint of a run that is undamaged, and the damaged ones that are newer.
///
/// # Errors
/// If the folder of checkpoints cannot be listed. A run without one has no checkpoints, which is no error.
pub fn newest_valid(folder: &RunFolder) -> Result<(Option<Checkpoint>, Vec<Damaged>), StorageError> {
    let mut damaged = Vec::new();
    for step in steps(folder)?.into_iter().rev() {
        match Checkpoint::verify(&folder.checkpoint(step)) {
            Ok(checkpoint) => return Ok((Some(checkpoint), damaged)),
            Err(reason) => damaged.push(reason),
        }
    }
    Ok((None, damaged))
}

/// The steps of all checkpoints of a run, damaged or not, in rising order.
fn steps(folder: &RunFolder) -> Result<Vec<u64>, StorageError> {
    let checkpoints = folder.checkpoints();
    let entries = match fs::read_dir(&checkpoints) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        outcome => outcome.map_err(StorageError::io("list", &checkpoints))?,
    };
    let mut steps = Vec::new();
    for entry in entries {
        let name = entry.map_err(StorageError::io("list", &checkpoints))?.file_name();
        steps.extend(name.to_str().and_then(checkpoint_step));
    }
    steps.sort_unstable();
    Ok(steps)
}
