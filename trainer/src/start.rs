//! What becomes of an existing run folder: refused, continued, or begun anew. Rank 0 decides, all ranks follow.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use regatta_comm::World;
use regatta_run_folder::checkpoint::newest_valid;
use regatta_run_folder::{Attempt, Checkpoint, Damaged, RunFolder, StorageError};
use regatta_settings::{Recipe, Resume, Schedule};
use serde::{Deserialize, Serialize};

use crate::checkpoint::RECIPE;
use crate::failure::Usage;
use crate::progress::Progress;
use crate::schedule::LearningRate;

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
    pub(crate) fn agree(resume: &Resume, folder: &RunFolder, cleared: bool, world: &World) -> Result<Self> {
        let decided = match world.rank() {
            0 => Self::decide(resume, folder, folder.exists()? && !cleared)?,
            _ => Self::default(),
        };
        Ok(world.share(decided)?)
    }

    fn decide(resume: &Resume, folder: &RunFolder, exists: bool) -> Result<Self> {
        let shown = folder.path().display();
        match resume {
            Resume::Never if exists => bail!(Usage(format!(
                "the run folder {shown} exists: continue that run with --resume auto, or start another with --name"
            ))),
            Resume::Never => Ok(Self::default()),
            Resume::Auto if !exists => Ok(Self::default()),
            Resume::Auto => Self::newest_or_anew(folder),
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
    pub(crate) fn is_of(&self, folder: &RunFolder) -> bool {
        let full = |path: &Path| path.canonicalize().ok();
        let (checkpoint, run) = (self.checkpoint.as_deref().and_then(full), full(folder.path()));
        checkpoint.zip(run).is_some_and(|(checkpoint, run)| checkpoint.starts_with(run))
    }

    /// The newest valid checkpoint of a run. A run that never saved one starts anew with the recipe that it has; one whose
    /// checkpoints are all damaged or gone is refused, since it would be overwritten.
    fn newest_or_anew(folder: &RunFolder) -> Result<Self> {
        let start = Self::newest(folder)?;
        if start.checkpoint.is_some() {
            return Ok(start);
        }
        let found = match Attempt::last_saved_step(folder)? {
            _ if !start.damaged.is_empty() => start.all_damaged(),
            Some(step) => format!("no checkpoint is there, though that of step {step} was saved; "),
            None => return Ok(start),
        };
        let remedy = "to start anew would overwrite the run: put back a copy of a checkpoint, or start another run with --name";
        bail!(StorageError::Content { path: folder.checkpoints(), found: found + remedy })
    }

    /// The newest valid checkpoint of a run, where there is one.
    fn newest(folder: &RunFolder) -> Result<Self> {
        let (checkpoint, damaged) = newest_valid(folder)?;
        let line = |Damaged { path, reason }: Damaged| format!("{}: {reason}", path.display());
        let kept = match &checkpoint {
            Some(checkpoint) => Some(kept_with(&checkpoint.path)?),
            None => kept_in(folder),
        };
        Ok(Self {
            kept,
            checkpoint: checkpoint.map(|checkpoint| checkpoint.path),
            damaged: damaged.into_iter().map(line).collect(),
        })
    }

    fn all_damaged(&self) -> String {
        format!("no checkpoint is whole:\n  {}\n", self.damaged.join("\n  "))
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
            let kept = Some(kept_with(path)?);
            return Ok(Self { kept, checkpoint: Some(checkpoint.path), damaged: Vec::new() });
        }
        let start = Self::newest(&RunFolder::new(path, ""))?;
        if start.checkpoint.is_none() && !start.damaged.is_empty() {
            let found = start.all_damaged() + "give another run folder or checkpoint";
            bail!(StorageError::Content { path: path.join("checkpoints"), found });
        }
        if start.checkpoint.is_none() {
            bail!(nothing("it holds no checkpoint"));
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
            let name = Path::new(path.file_name().unwrap_or_default());
            Recipe::parse(name, text).map_err(|error| {
                let found = format!("not a resolved recipe: {error}");
                StorageError::Content { path: path.clone(), found }.into()
            })
        };
        self.kept.as_ref().map(parse).transpose()
    }

    /// Says in the log from where, and with what that is new, the run goes on.
    pub(crate) fn introduce(&self, recipe: &Recipe, progress: &Progress, steps_per_epoch: u64) {
        for damaged in &self.damaged {
            tracing::warn!("checkpoint passed over: {damaged}");
        }
        let kept = self.kept_recipe().ok().flatten();
        for change in kept.iter().flat_map(|kept| kept.changes(recipe)) {
            tracing::info!("the recipe is changed: {change}");
        }
        let rate = LearningRate::of(recipe, steps_per_epoch);
        let (epochs, spanned) = (recipe.train.epochs, recipe.schedule.epochs);
        if let Some(checkpoint) = &self.checkpoint {
            tracing::info!("resumed from {}", checkpoint.display());
            if progress.epoch < epochs {
                let (epoch, lr) = (progress.epoch + 1, rate.at(progress.step));
                tracing::info!("the learning rate goes on at {lr:.5} in epoch {epoch} of {epochs}");
            }
        }
        if spanned < epochs && matches!(recipe.schedule.schedule, Schedule::Cosine { .. }) {
            tracing::warn!(
                "the learning rate stays at {:.5} after epoch {spanned} (schedule.epochs), up to epoch {epochs}; --set \
                 schedule.epochs={epochs} spans them all",
                rate.at(spanned * steps_per_epoch)
            );
        }
    }
}

/// The recipe that a whole checkpoint holds.
fn kept_with(checkpoint: &Path) -> Result<(PathBuf, String)> {
    let path = checkpoint.join(RECIPE);
    let text = std::fs::read_to_string(&path).map_err(StorageError::io("read", &path))?;
    Ok((path, text))
}

/// The recipe of a run that has no checkpoint.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Its file is named, and the line in it.
    #[test]
    fn a_kept_recipe_is_checked_as_any_other() {
        let kept = Some((PathBuf::from("runs/a/config.toml"), "[train]\nepochs = 0\n".to_owned()));
        let error = Start { kept, ..Start::default() }.kept_recipe().unwrap_err();
        expect_test::expect!["runs/a/config.toml: not a resolved recipe: config.toml:2: train.epochs = 0: expected an integer from 1 to 1000000"]
            .assert_eq(&error.to_string());
    }
}
