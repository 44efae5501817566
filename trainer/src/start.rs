//! What becomes of an existing run folder: refused, continued, or begun anew. Rank 0 decides, all ranks follow.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use regatta_comm::{Communicator, broadcast_text};
use regatta_run::checkpoint::newest_valid;
use regatta_run::{Checkpoint, Damaged, RunFolder, StorageError};
use regatta_settings::{Recipe, Resume};
use serde::{Deserialize, Serialize};

use crate::failure::Usage;

/// How the run starts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Start {
    /// The file with the resolved recipe of the run that is continued, and its text.
    kept: Option<(PathBuf, String)>,
    /// The checkpoint that it is continued from.
    pub(crate) checkpoint: Option<PathBuf>,
    /// Checkpoints that were damaged and are passed over, with the reason.
    pub(crate) damaged: Vec<String>,
}

impl Start {
    /// Rank 0 looks at the folders; the others hear from it. What is in a folder that will be `cleared` does not count.
    pub(crate) fn agree(
        resume: &Resume,
        folder: &RunFolder,
        cleared: bool,
        world: &dyn Communicator,
    ) -> Result<Self> {
        let decided = match world.rank() {
            0 => Self::decide(resume, folder, folder.exists()? && !cleared)?,
            _ => Self::default(),
        };
        Ok(serde_json::from_str(&broadcast_text(world, &serde_json::to_string(&decided)?))?)
    }

    fn decide(resume: &Resume, folder: &RunFolder, exists: bool) -> Result<Self> {
        let shown = folder.path().display();
        match resume {
            Resume::Never if exists => bail!(Usage(format!(
                "the run folder {shown} exists: continue that run with --resume auto, or start another with --name"
            ))),
            Resume::Never => Ok(Self::default()),
            Resume::Auto if !exists => Ok(Self::default()),
            Resume::Auto => Self::newest(folder),
            Resume::Path(path) => {
                let start = Self::at("--resume", path)?;
                if exists && !start.is_of(folder) {
                    bail!(Usage(format!(
                        "the run folder {shown} exists and --resume {} is another run: choose a new --name",
                        path.display()
                    )));
                }
                Ok(start)
            }
        }
    }

    /// Whether the checkpoint is one of the run in `folder`.
    fn is_of(&self, folder: &RunFolder) -> bool {
        let full = |path: &Path| path.canonicalize().ok();
        let (checkpoint, run) = (self.checkpoint.as_deref().and_then(full), full(folder.path()));
        checkpoint.zip(run).is_some_and(|(checkpoint, run)| checkpoint.starts_with(run))
    }

    /// The newest valid checkpoint of a run. A run that has none yet starts anew with the recipe that it has.
    fn newest(folder: &RunFolder) -> Result<Self> {
        let (checkpoint, damaged) = newest_valid(folder)?;
        let kept = kept_in(folder);
        let line = |Damaged { path, reason }: Damaged| format!("{}: {reason}", path.display());
        Ok(Self {
            kept,
            checkpoint: checkpoint.map(|checkpoint| checkpoint.path),
            damaged: damaged.into_iter().map(line).collect(),
        })
    }

    /// A checkpoint's folder or a run's, which `option` names.
    pub(crate) fn at(option: &str, path: &Path) -> Result<Self> {
        let nothing = |why: &str| {
            Usage(format!("{option} {}: {why}; give a run folder or one of its checkpoints", path.display()))
        };
        if !path.exists() {
            bail!(nothing("there is no such folder"));
        }
        if !path.is_dir() {
            bail!(nothing("that is a file"));
        }
        if path.join("manifest.json").exists() {
            let checkpoint = Checkpoint::verify(path)?;
            let run = path.canonicalize().ok().and_then(|full| Some(full.parent()?.parent()?.to_owned()));
            let kept = run.and_then(|run| kept_in(&RunFolder::new(run, "")));
            return Ok(Self { kept, checkpoint: Some(checkpoint.path), damaged: Vec::new() });
        }
        let start = Self::newest(&RunFolder::new(path, ""))?;
        if start.checkpoint.is_none() {
            bail!(nothing("it holds no whole checkpoint"));
        }
        Ok(start)
    }

    /// The file with that recipe.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.kept.as_ref().map(|(path, _)| path.as_path())
    }

    /// The recipe of the run that is continued.
    pub(crate) fn kept_recipe(&self) -> Result<Option<Recipe>> {
        let parse = |(path, text): &(PathBuf, String)| {
            toml::from_str(text).map_err(|error| {
                let found = format!("not a resolved recipe: {}", error.message());
                StorageError::Content { path: path.clone(), found }.into()
            })
        };
        self.kept.as_ref().map(parse).transpose()
    }
}

fn kept_in(folder: &RunFolder) -> Option<(PathBuf, String)> {
    let path = folder.config();
    let text = std::fs::read_to_string(&path).ok()?;
    Some((path, text))
}

/// Refuses to continue a run with a recipe that computes something else.
pub(crate) fn refuse_other_recipe(kept: &Recipe, recipe: &Recipe) -> Result<()> {
    let differences = kept.differences(recipe);
    if differences.is_empty() {
        return Ok(());
    }
    bail!(Usage(format!(
        "this recipe differs from the one that the run was started with; start another run with --name, or undo:\n  {}",
        differences.join("\n  ")
    )))
}
