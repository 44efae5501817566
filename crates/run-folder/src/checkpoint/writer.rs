//! Writing a checkpoint: into a hidden folder, which becomes the checkpoint by being renamed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::Checkpoint;
use super::manifest::Manifest;
use crate::atomic::sync_folder;
use crate::error::StorageError;
use crate::folder::{RunFolder, checkpoint_name};
use crate::metrics::MetricsMark;

/// A checkpoint in the making. Until [`commit`](Self::commit) it is no checkpoint; dropped before, it is removed
/// by the next [`begin`](Self::begin).
#[derive(Debug)]
#[must_use = "files written into it are no checkpoint before commit()"]
pub struct CheckpointWriter {
    folder: RunFolder,
    step: u64,
    dir: PathBuf,
}

impl CheckpointWriter {
    /// Makes an empty folder for the files of the checkpoint after `step` steps. What a writer that died before
    /// its commit left behind is removed.
    ///
    /// # Errors
    /// If leftovers cannot be removed or the folder cannot be created.
    pub fn begin(folder: &RunFolder, step: u64) -> Result<Self, StorageError> {
        let checkpoints = folder.checkpoints();
        fs::create_dir_all(&checkpoints).map_err(StorageError::io("create the folder", &checkpoints))?;
        remove_leftovers(&checkpoints)?;
        let dir = hidden(folder, step, "writing");
        fs::create_dir(&dir).map_err(StorageError::io("create the folder", &dir))?;
        Ok(Self { folder: folder.clone(), step, dir })
    }

    /// The folder to write files into; no folders within it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes the manifest, with what `metrics` the checkpoint goes with, makes everything durable and gives the folder its
    /// name. A checkpoint of the same step stays if it holds the same; a damaged one, or one with another state (saved
    /// before the evaluation that this one comes after), is replaced.
    ///
    /// # Errors
    /// If something cannot be written, or one of the required files is not there; there is then no new checkpoint.
    pub fn commit(self, metrics: Option<MetricsMark>) -> Result<Checkpoint, StorageError> {
        let manifest = Manifest::of_folder(&self.dir, self.step, metrics)?;
        manifest.write(&self.dir)?;
        let path = self.folder.checkpoint(self.step);
        if let Ok(kept) = Checkpoint::verify(&path)
            && kept.manifest == manifest
        {
            remove(&self.dir)?;
            return Ok(kept);
        }
        self.put_in_place(&path)?;
        sync_folder(&self.folder.checkpoints())?;
        remove_if_there(&self.dir)?;
        remove_if_there(&hidden(&self.folder, self.step, "replaced"))?;
        Ok(Checkpoint { path, manifest })
    }

    /// Gives the folder its name. One that has it already changes places with it, so that there is a checkpoint of this step
    /// at any moment; where the file system cannot do that, the old one is hidden first.
    fn put_in_place(&self, path: &Path) -> Result<(), StorageError> {
        if renameat_with(CWD, &self.dir, CWD, path, RenameFlags::EXCHANGE).is_ok() {
            return Ok(());
        }
        match fs::rename(path, hidden(&self.folder, self.step, "replaced")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => outcome.map_err(StorageError::io("move away the old", path))?,
        }
        fs::rename(&self.dir, path).map_err(StorageError::io("rename into place", path))
    }
}

/// A place for the checkpoint's folder while it is none, next to the final one. The next writer removes it.
pub(super) fn hidden(folder: &RunFolder, step: u64, why: &str) -> PathBuf {
    folder.checkpoints().join(format!(".{}.{why}", checkpoint_name(step)))
}

/// Removes everything hidden in the folder of checkpoints.
fn remove_leftovers(checkpoints: &Path) -> Result<(), StorageError> {
    for entry in fs::read_dir(checkpoints).map_err(StorageError::io("list", checkpoints))? {
        let entry = entry.map_err(StorageError::io("list", checkpoints))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a folder with its content, a file or a link.
pub(super) fn remove(path: &Path) -> Result<(), StorageError> {
    let is_folder = fs::symlink_metadata(path).map(|metadata| metadata.is_dir());
    let removed = is_folder
        .and_then(|is_folder| if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) });
    removed.map_err(StorageError::io("remove", path))
}

/// As [`remove`], but what is not there need not be removed.
pub(super) fn remove_if_there(path: &Path) -> Result<(), StorageError> {
    match remove(path) {
        Err(StorageError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
