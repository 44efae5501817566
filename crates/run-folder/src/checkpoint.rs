//! Checkpoints: folders that exist completely or not at all, and the search for the newest valid one.

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

/// A checkpoint whose files have been verified against its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
}

/// A checkpoint that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the checkpoint {} is damaged: {reason}", .path.display())]
pub struct Damaged {
    /// Its folder.
    pub path: PathBuf,
    /// The file concerned and what is wrong with it.
    pub reason: String,
}

impl Checkpoint {
    /// Verifies the checkpoint in `path`: reads its manifest and every file listed there, and compares lengths and hashes, and
    /// the step with that in the folder's name.
    ///
    /// # Errors
    /// The first mismatch found.
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

    /// Returns the number of steps done when it was written.
    pub fn step(&self) -> u64 {
        self.manifest.step
    }
}

/// Returns the newest valid checkpoint of a run, and the damaged ones that are newer.
///
/// # Errors
/// If the folder of checkpoints cannot be listed. A missing folder is no error: the run has no checkpoints.
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

/// Returns the steps of all checkpoints of a run, damaged or not, in ascending order.
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
