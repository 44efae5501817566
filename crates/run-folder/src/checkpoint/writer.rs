//! Writes a checkpoint: into a hidden folder, which is renamed into place when it is complete.

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

/// An unfinished checkpoint. It becomes a checkpoint by [`commit`](Self::commit); if it is dropped before, the next
/// [`begin`](Self::begin) removes it.
#[derive(Debug)]
#[must_use = "files written into it are no checkpoint before commit()"]
pub struct CheckpointWriter {
    folder: RunFolder,
    step: u64,
    dir: PathBuf,
}

impl CheckpointWriter {
    /// Creates an empty folder for the files of the checkpoint after `step` steps, and removes leftovers of writers that
    /// died before their commit.
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

    /// Returns the folder to write files into; it must not contain folders.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes the manifest, including `metrics`, the state of the metrics file that belongs to the checkpoint, syncs everything
    /// and renames the folder into place. An existing checkpoint of the same step is kept if it is identical; it is replaced
    /// if it is damaged or has another state, for example because it was saved before the evaluation.
    ///
    /// # Errors
    /// If something cannot be written, or a required file is missing; there is then no new checkpoint.
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

    /// Renames the folder into place. An existing folder is exchanged with it atomically, so that there is a checkpoint of this
    /// step at any moment; if the file system does not support that, the old one is renamed to a hidden name first.
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

/// Returns a hidden path, next to the final one, for a folder that is not a checkpoint. The next writer removes it.
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

/// Removes `path` like [`remove`], but accepts that it does not exist.
pub(super) fn remove_if_there(path: &Path) -> Result<(), StorageError> {
    match remove(path) {
        Err(StorageError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
