//! `--debug`: clears its run folder at each start, and finds the first layer or gradient that is not finite.

use std::fs;
use std::io;

use anyhow::{Result, bail};
use regatta_comm::Launch;
use regatta_model::Mode;
use regatta_run_folder::{RunFolder, StorageError, write_atomic};
use tch::Tensor;

use crate::failure::{Diverged, Usage};
use crate::replica::Replica;

/// Content of the mark file in a debug run's folder.
const MARK: &str = "trainer --debug made this folder, and clears it when it starts again\n";

/// Checks that no launcher started several ranks, since a debug run is one process.
///
/// # Errors
/// More than one rank.
pub(crate) fn reject_ranks(launch: &Launch) -> Result<()> {
    match launch.world_size {
        Some((variable, size)) if size > 1 => bail!(Usage(format!(
            "--debug is one process, but {variable} says that {size} ranks were started: start the trainer by itself, or leave \
             out --debug"
        ))),
        _ => Ok(()),
    }
}

/// Checks that the folder, which a debug run clears, is empty or was made by a debug run.
///
/// # Errors
/// A folder of another run.
pub(crate) fn reject_other_run(folder: &RunFolder) -> Result<()> {
    let is_empty = || fs::read_dir(folder.path()).is_ok_and(|mut entries| entries.next().is_none());
    if folder.exists()? && !folder.debug_mark().exists() && !is_empty() {
        bail!(Usage(format!(
            "--debug clears the folder {shown}, but no debug run made that folder: give another --name, or remove \
             {shown} yourself",
            shown = folder.path().display()
        )));
    }
    Ok(())
}

/// Clears the folder of an earlier debug run, except for a saved plan, and marks it. The mark is never removed here, so that a half-cleared folder is
/// recognised.
///
/// # Errors
/// A folder that cannot be written.
pub(crate) fn clear_folder(folder: &RunFolder) -> Result<()> {
    let (path, mark) = (folder.path(), folder.debug_mark());
    fs::create_dir_all(path).map_err(StorageError::io("create the folder", path))?;
    write_atomic(&mark, MARK.as_bytes())?;
    let entries = fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let kept = [mark, folder.plan()];
    for entry in
        entries.map_err(StorageError::io("list", path))?.iter().filter(|it| !kept.contains(&it.path()))
    {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(StorageError::io("remove", &path))?;
    }
    Ok(())
}

/// Removes the mark of a debug run that is continued without `--debug`, so that no debug run clears the folder.
///
/// # Errors
/// A mark that cannot be removed.
pub(crate) fn remove_mark(folder: &RunFolder) -> Result<()> {
    match fs::remove_file(folder.debug_mark()) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::io("remove", folder.debug_mark())(source).into())
        }
        _ => Ok(()),
    }
}

/// Checks every layer's output and every gradient, or nothing at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inspector {
    /// Set by `--debug`.
    pub(crate) enabled: bool,
}

impl Inspector {
    /// Runs an extra forward pass over the micro-batch and checks the output of every layer. The training pass overwrites the
    /// statistics that it leaves.
    ///
    /// # Errors
    /// The first layer whose output is not finite.
    pub(crate) fn check_forward(self, replica: &Replica, images_nchw: &Tensor) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        if !all_finite(images_nchw) {
            bail!(Diverged("the input images hold values that are not finite".into()));
        }
        let mut first = None;
        _ = tch::no_grad(|| {
            replica.model.forward_observed(images_nchw, Mode::Training, &mut |layer, output| {
                if first.is_none() && !all_finite(output) {
                    first = Some(layer.to_owned());
                }
            })
        });
        match first {
            Some(layer) => bail!(Diverged(format!("{layer} is the first layer whose output is not finite"))),
            None => Ok(()),
        }
    }

    /// Checks every gradient, in the order of the backward pass.
    ///
    /// # Errors
    /// The first gradient that is not finite.
    pub(crate) fn check_gradients(self, replica: &Replica) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        let named = replica.specs.iter().zip(&replica.gradients.views).rev();
        match named.into_iter().find(|(_, gradient)| !all_finite(gradient)) {
            Some((spec, _)) => {
                bail!(Diverged(format!(
                    "the gradient of {} is the first in backward that is not finite",
                    spec.name
                )))
            }
            None => Ok(()),
        }
    }
}

fn all_finite(tensor: &Tensor) -> bool {
    tensor.isfinite().all().int64_value(&[]) != 0
}
