//! Retention of checkpoints: the newest few are kept, and the best one, to which a link points.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::writer::{hidden, remove, remove_if_there};
use super::{Checkpoint, Damaged, steps};
use crate::atomic::sync_folder;
use crate::error::StorageError;
use crate::folder::{RunFolder, checkpoint_name, checkpoint_step};

/// Removes all checkpoints except the newest `keep` (at least one), the best one, and those for whose step `stays` is true.
/// Returns the removed folders, oldest first. Damaged checkpoints are not treated specially: they are
/// [set aside](set_aside_damaged) when a run starts.
///
/// # Errors
/// If checkpoints cannot be listed or removed.
pub fn prune(
    folder: &RunFolder,
    keep: usize,
    stays: impl Fn(u64) -> bool,
) -> Result<Vec<PathBuf>, StorageError> {
    let steps = steps(folder)?;
    let best = best(folder)?;
    let surplus = &steps[..steps.len().saturating_sub(keep.max(1))];
    let goes = |step: &&u64| Some(**step) != best && !stays(**step);
    surplus.iter().filter(goes).map(|&step| remove_step(folder, step)).collect()
}

/// Renames every damaged checkpoint to `damaged-...`, so that it is no longer counted or read, but can still be inspected. The
/// link to the best checkpoint is removed if it points to a damaged one. Returns the damaged checkpoints with their new
/// paths, oldest first.
///
/// # Errors
/// If checkpoints cannot be listed or renamed.
pub fn set_aside_damaged(folder: &RunFolder) -> Result<Vec<(Damaged, PathBuf)>, StorageError> {
    let mut aside = Vec::new();
    for step in steps(folder)? {
        let Err(damaged) = Checkpoint::verify(&folder.checkpoint(step)) else { continue };
        let path = free_name(folder, step);
        fs::rename(&damaged.path, &path).map_err(StorageError::io("set aside", &damaged.path))?;
        if best(folder)? == Some(step) {
            remove_if_there(&folder.best())?;
        }
        aside.push((damaged, path));
    }
    if !aside.is_empty() {
        sync_folder(&folder.checkpoints())?;
    }
    Ok(aside)
}

/// Returns an unused path for a damaged checkpoint of this step.
fn free_name(folder: &RunFolder, step: u64) -> PathBuf {
    let path = |number: u32| match number {
        1 => folder.checkpoints().join(format!("damaged-{}", checkpoint_name(step))),
        _ => folder.checkpoints().join(format!("damaged-{}-{number}", checkpoint_name(step))),
    };
    (1..).map(path).find(|path| fs::symlink_metadata(path).is_err()).expect("there are enough numbers")
}

/// Removes the valid checkpoints after `step`, from which a run is about to be resumed: they belong to the abandoned
/// continuation, as do the metrics after that step. Damaged ones are kept for inspection. Returns the removed folders.
///
/// # Errors
/// If checkpoints cannot be listed or removed.
pub fn remove_after(folder: &RunFolder, step: u64) -> Result<Vec<PathBuf>, StorageError> {
    if best(folder)?.is_some_and(|best| best > step) {
        remove_if_there(&folder.best())?;
    }
    let steps = steps(folder)?;
    let is_valid = |&later: &u64| Checkpoint::verify(&folder.checkpoint(later)).is_ok();
    let later = steps.into_iter().filter(|&later| later > step).filter(is_valid);
    later.map(|later| remove_step(folder, later)).collect()
}

fn remove_step(folder: &RunFolder, step: u64) -> Result<PathBuf, StorageError> {
    let path = folder.checkpoint(step);
    // Rename to a hidden name first, so that an interrupted removal leaves no damaged checkpoint.
    let aside = hidden(folder, step, "removing");
    remove_if_there(&aside)?;
    fs::rename(&path, &aside).map_err(StorageError::io("remove", &path))?;
    remove(&aside)?;
    Ok(path)
}

/// Points the link `checkpoints/best` to the checkpoint of `step`; readers see either the old link or the new one.
///
/// # Errors
/// If there is no such checkpoint or the link cannot be written.
pub fn set_best(folder: &RunFolder, step: u64) -> Result<(), StorageError> {
    let target = folder.checkpoint(step);
    fs::metadata(&target).map_err(StorageError::io("find the checkpoint", &target))?;
    let (link, beside) = (folder.best(), folder.checkpoints().join(".best"));
    remove_if_there(&beside)?;
    symlink(checkpoint_name(step), &beside).map_err(StorageError::io("link", &beside))?;
    fs::rename(&beside, &link).map_err(StorageError::io("link", &link))?;
    sync_folder(&folder.checkpoints())
}

/// Returns the step of the checkpoint that the link `checkpoints/best` points to, if there is a link.
///
/// # Errors
/// If the link cannot be read or points to something else.
pub fn best(folder: &RunFolder) -> Result<Option<u64>, StorageError> {
    let link = folder.best();
    match fs::read_link(&link) {
        Ok(target) => match target.to_str().and_then(checkpoint_step) {
            Some(step) => Ok(Some(step)),
            None => {
                let found = format!("a link to {}, not to a checkpoint beside it", target.display());
                Err(StorageError::Content { path: link, found })
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StorageError::io("read the link", link)(source)),
    }
}
