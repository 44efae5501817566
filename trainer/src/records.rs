//! What rank 0 writes into the run folder: recipe, metrics, curves, checkpoints. Each write first makes sure that this
//! attempt still owns the folder.

use anyhow::{Result, bail};
use regatta_comm::World;
use regatta_report::curves;
use regatta_run_folder::checkpoint::{Manifest, prune, remove_after, set_aside_damaged, set_best};
use regatta_run_folder::{
    Attempt, AttemptStart, EpochRow, ExitCode, MetricsWriter, RunFolder, counted, read_epochs, write_atomic,
};
use regatta_settings::Recipe;
use serde::Serialize;

use crate::checkpoint;
use crate::failure::{Superseded, exit_code, told};
use crate::progress::Progress;
use crate::start::Start;
use crate::step::Learner;

/// A line of metrics.jsonl every `log.interval_steps`.
#[derive(Debug, Serialize)]
pub(crate) struct StepRecord {
    pub(crate) kind: &'static str,
    pub(crate) epoch: u64,
    pub(crate) step: u64,
    pub(crate) images: u64,
    pub(crate) loss: f64,
    pub(crate) top1: f64,
    pub(crate) lr: f64,
    pub(crate) images_per_second: f64,
    pub(crate) seconds_since_start: f64,
    pub(crate) seconds_to_first_step: f64,
    /// By phase and step: the median over the ranks of their means over the interval.
    pub(crate) seconds_data: f64,
    pub(crate) seconds_copy: f64,
    pub(crate) seconds_forward: f64,
    pub(crate) seconds_backward: f64,
    pub(crate) seconds_exposed_comm: f64,
    pub(crate) seconds_optimizer: f64,
    /// Whose own work took longest.
    pub(crate) slowest_rank: usize,
    pub(crate) peak_rss_mib: f64,
    /// Of rank 0's GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peak_device_mib: Option<f64>,
}

/// A line of metrics.jsonl every epoch.
#[derive(Debug, Serialize)]
pub(crate) struct EpochRecord {
    pub(crate) kind: &'static str,
    pub(crate) epoch: u64,
    pub(crate) step: u64,
    pub(crate) images: u64,
    pub(crate) train_loss: f64,
    pub(crate) train_top1: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) val_loss: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) val_top1: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) val_top5: Option<f64>,
    /// Of the weights themselves, where `val_*` is of their moving average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) val_raw_top1: Option<f64>,
    pub(crate) images_per_second: f64,
    pub(crate) seconds: f64,
    pub(crate) peak_rss_mib: f64,
}

impl EpochRecord {
    /// The point of the curves.
    fn row(&self) -> EpochRow {
        EpochRow {
            epoch: self.epoch,
            step: self.step,
            train_loss: Some(self.train_loss),
            train_top1: Some(self.train_top1),
            val_loss: self.val_loss,
            val_top1: self.val_top1,
            val_top5: self.val_top5,
        }
    }
}

/// The run folder, owned by this attempt.
#[derive(Debug)]
pub(crate) struct Records {
    folder: RunFolder,
    attempt: Attempt,
    metrics: MetricsWriter,
    /// The resolved recipe.
    recipe: String,
    keep: usize,
    /// Checkpoints of every so many steps stay; 0 is none.
    keep_every_steps: u64,
}

impl Records {
    /// Takes the next attempt, tidies the folder up and writes the resolved recipe. Metrics and checkpoints after
    /// `resumed_step` are cut off.
    pub(crate) fn open(
        folder: RunFolder,
        recipe: &Recipe,
        steps_per_epoch: u64,
        start: &Start,
        resumed_step: u64,
        world: &World,
    ) -> Result<Self> {
        let attempt =
            Attempt::start(&folder, &AttemptStart::here(world.world_size(), std::env::args().collect()))?;
        folder.remove_leftovers()?;
        for (damaged, aside) in set_aside_damaged(&folder)? {
            tracing::warn!("{damaged}; it is kept as {}", aside.display());
        }
        write_atomic(folder.config(), config_file(recipe, world).as_bytes())?;
        for gone in remove_after(&folder, resumed_step)? {
            tracing::warn!(
                "removed {}, which is later than the step that the run goes on from",
                gone.display()
            );
        }
        let own_checkpoint = start.checkpoint.as_deref().filter(|_| start.is_of(&folder));
        let mark = own_checkpoint.and_then(|path| Manifest::read(path).ok()?.metrics);
        let (metrics, loss) = MetricsWriter::resume(&folder.metrics(), resumed_step, mark.as_ref())?;
        if let Some(loss) = loss {
            tracing::warn!(
                "{}: {loss} since the checkpoint of step {resumed_step} was saved; the run goes on without them",
                folder.metrics().display()
            );
        }
        Ok(Self {
            folder,
            attempt,
            metrics,
            recipe: recipe.to_toml(),
            keep: recipe.checkpoint.keep,
            keep_every_steps: recipe.checkpoint.keep_every_epochs * steps_per_epoch,
        })
    }

    /// The number of this attempt.
    pub(crate) fn attempt(&self) -> u64 {
        self.attempt.number()
    }

    /// Refuses to write into a folder that a newer attempt owns.
    fn fence(&self) -> Result<()> {
        if self.attempt.is_newest()? {
            return Ok(());
        }
        bail!(Superseded { own: self.attempt.number(), folder: self.folder.path().display().to_string() })
    }

    /// Appends a line to metrics.jsonl.
    pub(crate) fn step(&mut self, record: &StepRecord) -> Result<()> {
        self.fence()?;
        Ok(self.metrics.write(record)?)
    }

    /// Appends a line to metrics.jsonl and redraws the curves.
    pub(crate) fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        self.fence()?;
        self.metrics.write(record)?;
        self.draw(&read_epochs(&self.folder.metrics())?)
    }

    fn draw(&self, rows: &[EpochRow]) -> Result<()> {
        let name = self.folder.path().file_name().unwrap_or_default().to_string_lossy();
        Ok(curves::draw(&self.folder.curves(), &name, rows)?)
    }

    /// Draws the curves with a last point of an epoch that ended early. It is no line of the metrics: the run may be
    /// continued, and its metrics are then those of a run that never stopped.
    pub(crate) fn unfinished_epoch(&mut self, record: &EpochRecord) -> Result<()> {
        self.fence()?;
        let mut rows = read_epochs(&self.folder.metrics())?;
        rows.push(record.row());
        self.draw(&rows)
    }

    /// Makes the metrics durable, saves a checkpoint, points `best` at it where it is the best, and removes the oldest
    /// beyond `checkpoint.keep`.
    pub(crate) fn checkpoint(&mut self, learner: &Learner, progress: &Progress, is_best: bool) -> Result<()> {
        self.fence()?;
        let metrics = self.metrics.sync()?;
        checkpoint::save(&self.folder, learner, progress, &self.recipe, metrics)?;
        self.attempt.note_saved(progress.step)?;
        if is_best {
            set_best(&self.folder, progress.step)?;
        }
        let every = self.keep_every_steps;
        prune(&self.folder, self.keep, |step| step.is_multiple_of(every))?;
        tracing::info!("checkpoint {}", self.folder.checkpoint(progress.step).display());
        Ok(())
    }

    /// Records how this attempt ended.
    pub(crate) fn finish(self, ended: &Result<ExitCode>) -> Result<()> {
        self.fence()?;
        let (end, code) = match ended {
            Ok(ExitCode::Preempted) => {
                ("stopped on request, checkpoint saved".to_owned(), ExitCode::Preempted)
            }
            Ok(code) => ("done".to_owned(), *code),
            Err(error) => (told(error), exit_code(error)),
        };
        Ok(self.attempt.finish(&end, code)?)
    }
}

/// The resolved recipe, a recipe itself, under comments that say what it ran on.
fn config_file(recipe: &Recipe, world: &World) -> String {
    format!(
        "# Resolved by regatta {} for {} over {}, libtorch 2.11.\n\n{}",
        env!("CARGO_PKG_VERSION"),
        counted(world.world_size(), "rank"),
        world.description(),
        recipe.to_toml()
    )
}
