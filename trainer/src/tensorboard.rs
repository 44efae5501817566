//! TensorBoard's view of a run: what the metrics record, the recipe, images and histograms, as events of one file per attempt.

mod hyper_parameters;
mod pictures;

use std::time::SystemTime;

use anyhow::Result;
use regatta_data::encode_png;
use regatta_run_folder::{Record, RunFolder, StorageError};
use regatta_settings::{DataSettings, Recipe};
use regatta_tensorboard::proto::Value;
use regatta_tensorboard::{EventWriter, Histogram, hparams, image, scalar, text};
use tch::{Device, Kind, Tensor};

pub(crate) use self::pictures::FirstImages;
use self::pictures::{Tiles, filters, images};
use crate::replica::Replica;
use crate::sheet::sheet;

/// The scalars by which TensorBoard compares the hyper-parameters of runs.
const METRICS: [&str; 4] = ["epoch/val_top1", "epoch/val_loss", "epoch/train_top1", "epoch/train_loss"];

/// The event file of this attempt.
#[derive(Debug)]
pub(crate) struct TensorBoard {
    writer: EventWriter,
    data: DataSettings,
}

impl TensorBoard {
    /// Creates the event file of an attempt that continues after `resumed_step`, where the metrics hold the records `kept`, and
    /// writes the recipe. TensorBoard then shows no later step of earlier attempts.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn open(
        folder: &RunFolder,
        recipe: &Recipe,
        kept: &[Record],
        resumed_step: u64,
        steps_per_epoch: u64,
    ) -> Result<Self> {
        let replaced = first_replaced_step(kept, resumed_step, steps_per_epoch);
        let writer = EventWriter::create(&folder.tensorboard(), SystemTime::now(), replaced)?;
        let mut tensorboard = Self { writer, data: recipe.data.clone() };
        for record in kept.iter().filter(|record| record.steps_done() >= replaced) {
            tensorboard.record(record)?;
        }
        tensorboard.write(resumed_step + 1, recipe_values(recipe))?;
        Ok(tensorboard)
    }

    /// Writes every number of a record under the tag `step/NAME` or `epoch/NAME`, with the names of `metrics.jsonl`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn record(&mut self, record: &Record) -> Result<(), StorageError> {
        self.write(record.steps_done(), scalars(record))
    }

    /// Writes the sheet of the images that the network was given in `step`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn training_images(&mut self, step: u64, given: &FirstImages) -> Result<()> {
        let DataSettings { mean, std, channel_order, .. } = &self.data;
        let tiles = images(&given.images_nchw(), mean, std, *channel_order)?;
        self.picture(step, "images/training", &tiles)
    }

    /// Writes the filters of the first layer after `step` steps, if that is a convolution.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn filters(&mut self, step: u64, replica: &Replica) -> Result<()> {
        let tensors = replica.tensors(&replica.parameters, &replica.running);
        match tensors.first() {
            Some((name, weights)) if weights.dim() == 4 => {
                let tiles = filters(weights, self.data.channel_order)?;
                self.picture(step, &format!("filters/{name}"), &tiles)
            }
            _ => Ok(()),
        }
    }

    /// Writes the histograms of all trained parameters after `step` steps, and of their gradients as the optimizer used them.
    /// Waits for the device.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn histograms(&mut self, step: u64, replica: &Replica) -> Result<()> {
        let mut values = Vec::new();
        for (group, buffer) in [("weights", &replica.parameters), ("gradients", &replica.gradients)] {
            for (spec, view) in replica.specs.iter().zip(&buffer.views) {
                let histogram = Histogram::of(&elements(view)?);
                values.extend(histogram.map(|it| it.value(&format!("{group}/{}", spec.name))));
            }
        }
        Ok(self.write(step, values)?)
    }

    /// Writes that the run is done.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn done(&mut self, step: u64) -> Result<(), StorageError> {
        self.write(step, vec![hparams::session_end(SystemTime::now())])
    }

    fn picture(&mut self, step: u64, tag: &str, tiles: &Tiles) -> Result<()> {
        let (size, rgb) = sheet(tiles.shape, &tiles.rgb);
        Ok(self.write(step, vec![image(tag, encode_png(&rgb, size)?, size.width, size.height)])?)
    }

    fn write(&mut self, step: u64, values: Vec<Value>) -> Result<(), StorageError> {
        self.writer.write(SystemTime::now(), step, values)
    }
}

/// Returns the first step whose events of earlier attempts are replaced: the one after `resumed_step`, or that step itself if it
/// ends an epoch whose record is still to come, since an earlier attempt may have written that. Its other records are then
/// written again; its histograms are lost.
fn first_replaced_step(kept: &[Record], resumed_step: u64, steps_per_epoch: u64) -> u64 {
    let is_recorded = |record: &Record| record.epoch().is_some_and(|epoch| epoch.step == resumed_step);
    let ends_epoch = resumed_step > 0 && resumed_step.is_multiple_of(steps_per_epoch);
    if ends_epoch && !kept.iter().any(is_recorded) { resumed_step } else { resumed_step + 1 }
}

/// Returns the recipe as a text and as hyper-parameters.
fn recipe_values(recipe: &Recipe) -> Vec<Value> {
    let (now, chosen) = (SystemTime::now(), hyper_parameters::of(recipe));
    vec![
        text("recipe", &format!("```toml\n{}```\n", recipe.to_toml())),
        hparams::experiment(now, &chosen, &METRICS),
        hparams::session_start(now, chosen),
    ]
}

fn scalars(record: &Record) -> Vec<Value> {
    let fields = serde_json::to_value(record).expect("numbers and strings always have a JSON form");
    let group = fields["kind"].as_str().expect("a record has its kind");
    let numbers = fields.as_object().into_iter().flatten();
    let numbers = numbers.filter_map(|(name, value)| Some((name, value.as_f64()?)));
    let numbers = numbers.filter(|(name, _)| *name != "step");
    numbers.map(|(name, number)| scalar(&format!("{group}/{name}"), number)).collect()
}

fn elements(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).reshape([-1]);
    Ok(Vec::try_from(flat)?)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn record(json: &str) -> Record {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_resumed_step_is_replaced_where_its_epoch_is_not_recorded() {
        let step = record(r#"{"kind": "step", "epoch": 1, "step": 3, "images": 9}"#);
        let epoch = record(r#"{"kind": "epoch", "epoch": 1, "step": 3, "images": 9}"#);
        let check = |kept: &[Record], resumed_step: u64, expected: u64| {
            assert_eq!(first_replaced_step(kept, resumed_step, 3), expected, "{resumed_step}");
        };
        check(&[], 0, 1);
        check(&[], 2, 3);
        check(&[step], 3, 3);
        check(&[step, epoch], 3, 4);
        check(&[step, epoch], 4, 5);
        check(&[step, epoch], 6, 6);
    }

    #[test]
    fn every_finite_number_of_a_record_is_a_scalar() {
        let record =
            record(r#"{"kind": "step", "epoch": 2, "step": 3, "images": 9, "loss": 0.5, "loss_scale": 8}"#);
        let tags: Vec<_> = scalars(&record).into_iter().map(|value| value.tag).collect();
        expect!["step/epoch step/images step/loss step/loss_scale"].assert_eq(&tags.join(" "));
    }
}
