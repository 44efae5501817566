//! The paths of a run's files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::atomic;
use crate::attempt::Attempt;
use crate::error::{OpenError, StorageError};

/// The folder of one run. Creating a value does not access the disk.
///
/// ```text
/// runs/NAME/
///   plan.json                   the prediction that `launcher plan --save` put there, perhaps before the first start
///   attempts/000001             who started it when and where, how it ended, and the last step that was saved
///   config.toml                 the resolved recipe, plus versions, hosts, world size
///   metrics.jsonl               one object per log interval and per epoch
///   curves.svg                  loss and accuracy by epoch
///   tensorboard/events.out.…    one event file per attempt, if the recipe asks for them
///   log/rank-0000.log           every rank's full log
///   log/rank-0000.out           what the rank printed, if the launcher started it
///   ranks/rank-0000.ledger      published copy of the rank's collective ledger
///   ranks/rank-0000.error       why the rank failed, if it did
///   checkpoints/step-000000469/ model, optimizer, state, recipe and manifest
///   checkpoints/best            link to the best checkpoint
///   checkpoints/damaged-step-…  a checkpoint that was found damaged
///   evaluation/val.json         what `trainer evaluate --save` found, and the images that were classified worst
///   made-by-debug               only in a debug run's folder: the next debug run may clear it
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Returns the run folder `root/name`.
    pub fn new(root: impl AsRef<Path>, name: impl AsRef<Path>) -> Self {
        Self { path: root.as_ref().join(name) }
    }

    /// Opens the folder `path` of a run that was started. Returns it with the number of the run's newest attempt.
    ///
    /// # Errors
    /// If no run was started there, or the folder cannot be read.
    pub fn open(path: &Path) -> Result<(Self, u64), OpenError> {
        let folder = Self { path: path.to_owned() };
        let newest = if folder.attempts().is_dir() { Attempt::newest(&folder)? } else { None };
        newest.map(|newest| (folder, newest)).ok_or_else(|| OpenError::NotARun(path.to_owned()))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the folder exists with anything but a plan in it, that is, whether the run was ever started.
    ///
    /// # Errors
    /// If the file system cannot be accessed, or the path is not a folder.
    pub fn exists(&self) -> Result<bool, StorageError> {
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_dir() => self.has_more_than_a_plan(),
            Ok(_) => {
                let found =
                    "that is a file, but a run folder is expected here: move it away, or start the run with \
                             another --name or run.folder"
                        .to_owned();
                Err(StorageError::Content { path: self.path.clone(), found })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StorageError::io("look for", &self.path)(error)),
        }
    }

    fn has_more_than_a_plan(&self) -> Result<bool, StorageError> {
        let plan = self.plan();
        let entries = fs::read_dir(&self.path).map_err(StorageError::io("list", &self.path))?;
        for entry in entries {
            if entry.map_err(StorageError::io("list", &self.path))?.path() != plan {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Creates the folder and its subfolders. Existing ones are kept.
    ///
    /// # Errors
    /// If a folder cannot be created.
    pub fn create(&self) -> Result<(), StorageError> {
        for path in [self.attempts(), self.log_folder(), self.ranks(), self.checkpoints()] {
            fs::create_dir_all(&path).map_err(StorageError::io("create the folder", &path))?;
        }
        Ok(())
    }

    /// Removes temporary files left by processes that were killed while they replaced a file. Only for the owner of the folder,
    /// before any other process of its attempt writes there.
    ///
    /// # Errors
    /// If a folder cannot be listed or a file cannot be removed.
    pub fn remove_leftovers(&self) -> Result<(), StorageError> {
        [self.path.clone(), self.attempts(), self.ranks()]
            .iter()
            .try_for_each(|it| atomic::remove_leftovers(it))
    }

    /// The prediction of `launcher plan`.
    pub fn plan(&self) -> PathBuf {
        self.path.join("plan.json")
    }

    /// The folder with a file for each attempt at the run.
    pub fn attempts(&self) -> PathBuf {
        self.path.join("attempts")
    }

    /// The file of one attempt, counted from 1.
    pub fn attempt(&self, number: u64) -> PathBuf {
        self.attempts().join(format!("{number:06}"))
    }

    /// The file that marks the folder as that of a debug run.
    pub fn debug_mark(&self) -> PathBuf {
        self.path.join("made-by-debug")
    }

    /// The resolved recipe.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// Metrics, one JSON object per line.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// Plot of loss and accuracy by epoch.
    pub fn curves(&self) -> PathBuf {
        self.path.join("curves.svg")
    }

    /// The folder of the event files for TensorBoard.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// The folder of the ranks' logs.
    pub fn log_folder(&self) -> PathBuf {
        self.path.join("log")
    }

    /// A rank's full log.
    pub fn log(&self, rank: usize) -> PathBuf {
        self.log_folder().join(format!("rank-{rank:04}.log"))
    }

    /// The output of a rank that the launcher started.
    pub fn output(&self, rank: usize) -> PathBuf {
        self.log_folder().join(format!("rank-{rank:04}.out"))
    }

    /// The folder of the files that ranks publish about themselves.
    pub fn ranks(&self) -> PathBuf {
        self.path.join("ranks")
    }

    /// The published copy of a rank's collective ledger.
    pub fn ledger(&self, rank: usize) -> PathBuf {
        self.ranks().join(format!("rank-{rank:04}.ledger"))
    }

    /// A rank's failure report.
    pub fn failure(&self, rank: usize) -> PathBuf {
        self.ranks().join(format!("rank-{rank:04}.error"))
    }

    /// The folder of all checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The folder of the checkpoint after `step` steps.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoints().join(checkpoint_name(step))
    }

    /// The folder of saved evaluations and their images.
    pub fn evaluations(&self) -> PathBuf {
        self.path.join("evaluation")
    }

    /// The saved evaluation of a split, `val` or `train`.
    pub fn evaluation(&self, split: &str) -> PathBuf {
        self.evaluations().join(format!("{split}.json"))
    }

    /// The link to the checkpoint with the best validation accuracy.
    pub fn best(&self) -> PathBuf {
        self.checkpoints().join("best")
    }
}

/// Returns the name of a checkpoint's folder.
pub(crate) fn checkpoint_name(step: u64) -> String {
    format!("step-{step:09}")
}

/// Returns the step in a checkpoint folder's name, if it has the form of [`checkpoint_name`].
pub(crate) fn checkpoint_step(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (checkpoint_name(step) == name).then_some(step)
}
