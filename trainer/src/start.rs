//! Decides whether a run starts afresh, continues from a checkpoint, or is rejected because its folder exists. Rank 0 decides
//! for all ranks.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use regatta_comm::World;
use regatta_run_folder::checkpoint::{Manifest, newest_valid};
use regatta_run_folder::{Attempt, Checkpoint, Damaged, RunFolder, StorageError};
use regatta_settings::{Recipe, Resume, Schedule};
use serde::{Deserialize, Serialize};

use crate::checkpoint::RECIPE;
use crate::failure::Usage;
use crate::progress::Progress;
use crate::schedule::LearningRate;

/// The recipe and checkpoint that a run starts from; none for a new run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Path and text of the resolved recipe of the run that is continued.
    kept: Option<(PathBuf, String)>,
    /// The checkpoint that the run continues from.
    pub(crate) checkpoint: Option<PathBuf>,
    /// Damaged checkpoints that were skipped, with the reason.
    pub(crate) damaged: Vec<String>,
}

impl Start {
    /// Inspects the folders on rank 0 and shares the decision. A folder that will be `cleared` counts as new. A collective.
    ///
    /// # Errors
    /// A run folder that exists, a checkpoint that is missing or damaged, or a folder that cannot be read.
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
            Resume::Auto => Self::newest_or_fresh(folder),
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

    /// Returns whether the checkpoint belongs to the run in `folder`.
    pub(crate) fn is_of(&self, folder: &RunFolder) -> bool {
        let full = |path: &Path| path.canonicalize().ok();
        let (checkpoint, run) = (self.checkpoint.as_deref().and_then(full), full(folder.path()));
        checkpoint.zip(run).is_some_and(|(checkpoint, run)| checkpoint.starts_with(run))
    }

    /// Returns the newest valid checkpoint of a run. A run that never saved one starts afresh with its recorded recipe; a run
    /// whose checkpoints are all damaged or missing is rejected, since it would be overwritten.
    fn newest_or_fresh(folder: &RunFolder) -> Result<Self> {
        let start = Self::newest(folder)?;
        if start.checkpoint.is_some() {
            return Ok(start);
        }
        let found = match Attempt::last_saved_step(folder)? {
            _ if !start.damaged.is_empty() => start.damage_report(),
            Some(step) => format!("no checkpoint is there, though that of step {step} was saved; "),
            None => return Ok(start),
        };
        let remedy = "starting afresh would overwrite the run: put back a copy of a checkpoint, or start another run with --name";
        bail!(StorageError::Content { path: folder.checkpoints(), found: found + remedy })
    }

    /// Returns the newest valid checkpoint of a run, if there is one.
    fn newest(folder: &RunFolder) -> Result<Self> {
        let (checkpoint, damaged) = newest_valid(folder)?;
        let line = |Damaged { path, reason }: Damaged| format!("{}: {reason}", path.display());
        let kept = match &checkpoint {
            Some(checkpoint) => Some(recipe_in_checkpoint(&checkpoint.path)?),
            None => recipe_in_run(folder),
        };
        Ok(Self {
            kept,
            checkpoint: checkpoint.map(|checkpoint| checkpoint.path),
            damaged: damaged.into_iter().map(line).collect(),
        })
    }

    fn damage_report(&self) -> String {
        format!("no checkpoint is complete:\n  {}\n", self.damaged.join("\n  "))
    }

    /// Returns the checkpoint at `path`, a checkpoint or a run folder; `option` is the command-line option that gave the path.
    ///
    /// # Errors
    /// No folder, no checkpoint, or only damaged checkpoints at `path`.
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
            let kept = Some(recipe_in_checkpoint(path)?);
            return Ok(Self { kept, checkpoint: Some(checkpoint.path), damaged: Vec::new() });
        }
        let start = Self::newest(&RunFolder::new(path, ""))?;
        if start.checkpoint.is_none() && !start.damaged.is_empty() {
            let found = start.damage_report() + "give another run folder or checkpoint";
            bail!(StorageError::Content { path: path.join("checkpoints"), found });
        }
        if start.checkpoint.is_none() {
            bail!(nothing("it holds no checkpoint"));
        }
        Ok(start)
    }

    /// Returns the path and the manifest of the checkpoint of a start [`at`](Self::at) a path, whose files were verified.
    ///
    /// # Errors
    /// A manifest that was damaged since.
    pub(crate) fn verified(&self) -> Result<(&Path, Manifest)> {
        let path = self.checkpoint.as_deref().expect("a start at a path has a checkpoint");
        let manifest = Manifest::read(path).map_err(|reason| Damaged { path: path.to_owned(), reason })?;
        Ok((path, manifest))
    }

    /// Returns the path of the continued run's recipe.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.kept.as_ref().map(|(path, _)| path.as_path())
    }

    /// Parses the recipe of the run that is continued.
    ///
    /// # Errors
    /// A file that is not a resolved recipe.
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

    /// Logs the checkpoint that the run continues from, and what changed in the recipe.
    pub(crate) fn log_origin(&self, recipe: &Recipe, progress: &Progress, steps_per_epoch: u64) {
        for damaged in &self.damaged {
            tracing::warn!("skipped checkpoint: {damaged}");
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
                tracing::info!("the learning rate continues at {lr:.5} in epoch {epoch} of {epochs}");
            }
        }
        let ends = matches!(recipe.schedule.schedule, Schedule::Cosine { .. } | Schedule::Linear { .. });
        if spanned < epochs && ends {
            tracing::warn!(
                "the learning rate stays at {:.5} after epoch {spanned} (schedule.epochs), up to epoch {epochs}; --set \
                 schedule.epochs={epochs} spans them all",
                rate.at(spanned * steps_per_epoch)
            );
        }
    }
}

/// Reads the recipe of a complete checkpoint.
fn recipe_in_checkpoint(checkpoint: &Path) -> Result<(PathBuf, String)> {
    let path = checkpoint.join(RECIPE);
    let text = std::fs::read_to_string(&path).map_err(StorageError::io("read", &path))?;
    Ok((path, text))
}

/// Reads the recipe of a run that has no checkpoint.
fn recipe_in_run(folder: &RunFolder) -> Option<(PathBuf, String)> {
    let path = folder.config();
    let text = std::fs::read_to_string(&path).ok()?;
    Some((path, text))
}

/// Checks that the recipe computes the same as that of the run that is continued.
///
/// # Errors
/// Keys that differ and may not be changed.
pub(crate) fn reject_other_recipe(kept: &Recipe, recipe: &Recipe) -> Result<()> {
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

    /// The error names the file and the line.
    #[test]
    fn a_kept_recipe_is_checked_as_any_other() {
        let kept = Some((PathBuf::from("runs/a/config.toml"), "[train]\nepochs = 0\n".to_owned()));
        let error = Start { kept, ..Start::default() }.kept_recipe().unwrap_err();
        expect_test::expect!["runs/a/config.toml: not a resolved recipe: config.toml:2: train.epochs = 0: expected an integer from 1 to 1000000"]
            .assert_eq(&error.to_string());
    }
}
