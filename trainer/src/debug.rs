//! `--debug`: a folder that is begun anew each time, and a look at the first layer or gradient that is not finite.

use std::fs;
use std::io;

use anyhow::{Result, bail};
use regatta_comm::Launch;
use regatta_model::Mode;
use regatta_run_folder::{RunFolder, StorageError, write_atomic};
use tch::Tensor;

use crate::failure::{Diverged, Usage};
use crate::replica::Replica;

/// What the mark in a debug run's folder says to whoever looks into it.
const MARK: &str = "trainer --debug made this folder, and clears it when it starts again\n";

/// Refuses a launcher's ranks, since a debug run is one process.
pub(crate) fn reject_ranks(launch: &Launch) -> Result<()> {
    match launch.world_size {
        Some((variable, size)) if size > 1 => bail!(Usage(format!(
            "--debug is one process, but {variable} says that {size} ranks were started: start the trainer by itself, or leave \
             out --debug"
        ))),
        _ => Ok(()),
    }
}

/// Refuses a folder that a debug run would clear and that none has made. One that is empty has nothing to lose.
pub(crate) fn reject_other_run(folder: &RunFolder) -> Result<()> {
    let is_empty = || fs::read_dir(folder.path()).is_ok_and(|mut entries| entries.next().is_none());
    if folder.exists()? && !folder.debug_mark().exists() && !is_empty() {
        bail!(Usage(format!(
            "--debug begins the folder {shown} anew, but that was not made by a debug run: give another --name, or remove \
             {shown} yourself",
            shown = folder.path().display()
        )));
    }
    Ok(())
}

/// Clears the folder of an earlier debug run and marks it as this one's. The mark stays all the time, so that a folder that was
/// only half cleared is known again.
pub(crate) fn clear_folder(folder: &RunFolder) -> Result<()> {
    let (path, mark) = (folder.path(), folder.debug_mark());
    fs::create_dir_all(path).map_err(StorageError::io("create the folder", path))?;
    write_atomic(&mark, MARK.as_bytes())?;
    let entries = fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    for entry in entries.map_err(StorageError::io("list", path))?.iter().filter(|entry| entry.path() != mark)
    {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(StorageError::io("remove", &path))?;
    }
    Ok(())
}

/// A debug run that is continued without `--debug` is a run like others, which no debug run clears.
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
    /// Runs the network once more over the micro-batch, looking at every layer; names the first that made a value that is
    /// not finite. The statistics that this pass leaves are overwritten by the pass that counts.
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

    /// Names the gradients that are not finite, the one that backward made first in front.
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
