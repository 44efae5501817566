//! Writes the run folder on rank 0: recipe, metrics, curves, event file, checkpoints. Each write first checks that this attempt still
//! owns the folder.

use anyhow::{Result, bail};
use regatta_comm::World;
use regatta_report::curves;
use regatta_run_folder::checkpoint::{Manifest, prune, remove_after, set_aside_damaged, set_best};
use regatta_run_folder::{
    Attempt, AttemptStart, EpochRecord, ExitCode, MetricsWriter, Record, RunFolder, StepRecord, counted,
    read_records, write_atomic,
};
use regatta_settings::Recipe;
use regatta_torch_ext::torch_version;

use crate::checkpoint;
use crate::datasets::Datasets;
use crate::failure::{Superseded, describe, exit_code};
use crate::precise::PreciseStatistics;
use crate::progress::Progress;
use crate::start::Start;
use crate::step::Learner;
use crate::tensorboard::TensorBoard;

/// The run folder, owned by this attempt.
#[derive(Debug)]
pub(crate) struct Records {
    folder: RunFolder,
    attempt: Attempt,
    metrics: MetricsWriter,
    /// If the recipe asks for it.
    tensorboard: Option<TensorBoard>,
    /// The epochs recorded in the metrics, for the curves.
    epochs: Vec<EpochRecord>,
    /// The resolved recipe.
    recipe: String,
    /// Names of the classes, if the data set names them.
    class_names: Option<Vec<String>>,
    keep: usize,
    /// Checkpoints at multiples of this step number are kept; 0 turns that off.
    keep_every_steps: u64,
}

impl Records {
    /// Starts the next attempt, cleans up the folder and writes the resolved recipe. Removes metrics and checkpoints after
    /// `resumed_step`.
    ///
    /// # Errors
    /// A folder that cannot be read or written.
    pub(crate) fn open(
        folder: RunFolder,
        recipe: &Recipe,
        datasets: &Datasets,
        start: &Start,
        resumed_step: u64,
        world: &World,
    ) -> Result<Self> {
        let arguments = std::env::args().collect();
        let attempt =
            Attempt::start(&folder, &AttemptStart::here(world.world_size(), arguments, resumed_step))?;
        folder.remove_leftovers()?;
        for (damaged, aside) in set_aside_damaged(&folder)? {
            tracing::warn!("{damaged}; it is kept as {}", aside.display());
        }
        write_atomic(folder.config(), config_file(recipe, world).as_bytes())?;
        for gone in remove_after(&folder, resumed_step)? {
            tracing::warn!(
                "removed {}, which is later than the step that the run continues from",
                gone.display()
            );
        }
        let own_checkpoint = start.checkpoint.as_deref().filter(|_| start.is_of(&folder));
        let mark = own_checkpoint.and_then(|path| Manifest::read(path).ok()?.metrics);
        let (metrics, loss) = MetricsWriter::resume(&folder.metrics(), resumed_step, mark.as_ref())?;
        if let Some(loss) = loss {
            tracing::warn!(
                "{}: {loss} since the checkpoint of step {resumed_step} was saved; the run continues without them",
                folder.metrics().display()
            );
        }
        let kept = read_records(&folder.metrics())?;
        let steps_per_epoch = recipe.steps_per_epoch(datasets.train.len());
        let tensorboard = match recipe.log.tensorboard {
            true => Some(TensorBoard::open(&folder, recipe, &kept, resumed_step, steps_per_epoch)?),
            false => None,
        };
        Ok(Self {
            folder,
            attempt,
            metrics,
            tensorboard,
            epochs: kept.into_iter().filter_map(Record::epoch).collect(),
            recipe: recipe.to_toml(),
            class_names: datasets.class_names().map(<[String]>::to_vec),
            keep: recipe.checkpoint.keep,
            keep_every_steps: recipe.checkpoint.keep_every_epochs * steps_per_epoch,
        })
    }

    /// Returns the number of this attempt.
    pub(crate) fn attempt(&self) -> u64 {
        self.attempt.number()
    }

    /// Checks that no newer attempt owns the folder.
    fn fence(&self) -> Result<()> {
        if self.attempt.is_newest()? {
            return Ok(());
        }
        bail!(Superseded { own: self.attempt.number(), folder: self.folder.path().display().to_string() })
    }

    /// Returns the event file for TensorBoard, if the recipe asks for one.
    ///
    /// # Errors
    /// A newer attempt that owns the folder.
    pub(crate) fn tensorboard(&mut self) -> Result<Option<&mut TensorBoard>> {
        self.fence()?;
        Ok(self.tensorboard.as_mut())
    }

    /// Appends a record to the metrics and to the event file.
    ///
    /// # Errors
    /// A newer attempt that owns the folder, or a file that cannot be written.
    pub(crate) fn step(&mut self, record: StepRecord) -> Result<()> {
        self.fence()?;
        self.write(Record::Step(record))
    }

    /// Appends a record to the metrics and to the event file, and redraws the curves.
    ///
    /// # Errors
    /// A newer attempt that owns the folder, or a file that cannot be written.
    pub(crate) fn epoch(&mut self, record: EpochRecord) -> Result<()> {
        self.fence()?;
        self.write(Record::Epoch(record))?;
        self.draw(record)
    }

    fn write(&mut self, record: Record) -> Result<()> {
        self.metrics.write(record)?;
        Ok(self.tensorboard.as_mut().map_or(Ok(()), |tensorboard| tensorboard.record(&record))?)
    }

    /// Redraws the curves with a last point for an epoch that ended early. The point is not in the metrics, so that they are
    /// the same as those of an uninterrupted run when the run is continued.
    ///
    /// # Errors
    /// A newer attempt that owns the folder, or a file that cannot be written.
    pub(crate) fn unfinished_epoch(&mut self, record: EpochRecord) -> Result<()> {
        self.fence()?;
        self.draw(record)
    }

    fn draw(&mut self, last: EpochRecord) -> Result<()> {
        self.epochs.push(last);
        let name = self.folder.path().file_name().unwrap_or_default().to_string_lossy();
        Ok(curves::draw(&self.folder.curves(), &name, &self.epochs)?)
    }

    /// Syncs the metrics to disk, saves a checkpoint with `precise`, the BatchNorm statistics of an evaluation at this step, if
    /// there are any, points `best` at it if it is the best, and removes the oldest checkpoints beyond `checkpoint.keep`.
    ///
    /// # Errors
    /// A newer attempt that owns the folder, or a file that cannot be written.
    pub(crate) fn checkpoint(
        &mut self,
        learner: &Learner,
        progress: &Progress,
        precise: Option<&PreciseStatistics>,
        is_best: bool,
    ) -> Result<()> {
        self.fence()?;
        let metrics = self.metrics.sync()?;
        checkpoint::save(
            &self.folder,
            learner,
            progress,
            precise,
            &self.recipe,
            self.class_names.as_deref(),
            metrics,
        )?;
        self.attempt.note_saved(progress.step)?;
        if is_best {
            set_best(&self.folder, progress.step)?;
        }
        let every = self.keep_every_steps;
        prune(&self.folder, self.keep, |step| step.is_multiple_of(every))?;
        tracing::info!("checkpoint {}", self.folder.checkpoint(progress.step).display());
        Ok(())
    }

    /// Records how this attempt ended, after `step` steps of the run.
    ///
    /// # Errors
    /// A newer attempt that owns the folder, or a file that cannot be written.
    pub(crate) fn finish(mut self, ended: &Result<ExitCode>, step: u64) -> Result<()> {
        self.fence()?;
        if let (Some(tensorboard), Ok(ExitCode::Done)) = (&mut self.tensorboard, ended) {
            tensorboard.done(step)?;
        }
        let (end, code) = match ended {
            Ok(ExitCode::Preempted) => {
                ("stopped on request, checkpoint saved".to_owned(), ExitCode::Preempted)
            }
            Ok(code) => ("done".to_owned(), *code),
            Err(error) => (describe(error), exit_code(error)),
        };
        Ok(self.attempt.finish(&end, code)?)
    }
}

/// Returns the content of config.toml: the resolved recipe, after a comment with the version, ranks and libraries.
fn config_file(recipe: &Recipe, world: &World) -> String {
    format!(
        "# Resolved by regatta {} for {} over {}, libtorch {}.\n\n{}",
        env!("CARGO_PKG_VERSION"),
        counted(world.world_size(), "rank"),
        world.description(),
        torch_version(),
        recipe.to_toml()
    )
}
