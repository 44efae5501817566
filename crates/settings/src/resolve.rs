//! From what a recipe says to what it means: defaults that depend on other keys, and the world size.

use std::path::PathBuf;

use regatta_data::DatasetName;

use crate::architecture::model;
use crate::check;
use crate::choice::{OptimizerName, ScheduleName, SourceName};
use crate::data_folder;
use crate::error::RecipeError;
use crate::place::Places;
use crate::raw::{RawData, RawOptim, RawRecipe, RawSchedule, RawTrain};
use crate::recipe::{
    CheckpointSettings, CommSettings, DataSettings, DataSource, EvalSettings, LogSettings, OptimSettings,
    Optimizer, Recipe, RunSettings, Schedule, ScheduleSettings, TrainSettings,
};
use crate::required::Required;
use crate::schema::{self, one_of};

impl RawRecipe {
    /// The recipe's meaning in a world of `world_size` ranks (at least 1). `kept` is the earlier resolved recipe of
    /// a run that is resumed: its micro-batch size and its schedule's epochs hold where this recipe leaves them unset.
    ///
    /// # Errors
    /// Required keys that are unset, a key that does not belong to the chosen kind, a value out of its range, an
    /// impossible combination, more ranks than micro-batches.
    pub fn resolve(self, world_size: usize, kept: Option<&Recipe>) -> Result<Recipe, RecipeError> {
        assert!(world_size >= 1, "a world has at least one rank");
        let places = self.places;
        let required = Required::of(&places);
        let source = source(&self.data, kept, &required)?;
        let model = model(self.model, &source, &required)?;
        let train = train(self.train, world_size, kept, &required);
        let optim = optim(self.optim, &required)?;
        let kept_epochs = kept.map(|kept| kept.schedule.epochs);
        let schedule_epochs = self.schedule.epochs.or(kept_epochs).unwrap_or(train.epochs);
        let schedule = schedule(self.schedule, schedule_epochs, &required)?;
        required.refuse_unset()?;
        let eval_batch_size = match self.eval.batch_size {
            0 => train.micro_batch_size,
            images => images,
        };
        let recipe = Recipe {
            data: data(self.data, source, model.in_channels),
            model,
            train,
            optim,
            schedule,
            eval: EvalSettings { interval_epochs: self.eval.interval_epochs, batch_size: eval_batch_size },
            checkpoint: CheckpointSettings {
                interval_epochs: self.checkpoint.interval_epochs,
                interval_steps: self.checkpoint.interval_steps,
                interval_minutes: self.checkpoint.interval_minutes,
                keep: self.checkpoint.keep,
                keep_every_epochs: self.checkpoint.keep_every_epochs,
            },
            comm: CommSettings {
                backend: self.comm.backend,
                timeout_s: self.comm.timeout_s,
                first_bucket_mib: self.comm.first_bucket_mib,
                bucket_cap_mib: self.comm.bucket_cap_mib,
                gradient_compression: self.comm.gradient_compression,
            },
            log: LogSettings {
                interval_steps: self.log.interval_steps,
                format: self.log.format,
                straggler_factor: self.log.straggler_factor,
                straggler_intervals: self.log.straggler_intervals,
            },
            run: RunSettings { folder: self.run.folder, preemption_signal: self.run.preemption_signal },
            places,
        };
        check::check(&recipe, world_size)?;
        Ok(recipe)
    }
}

/// Refuses those of `keys` that are set although the choice that they belong to was not made.
fn refuse_set(places: &Places, keys: &[(&str, bool)], owner: &str, choice: &str) -> Result<(), RecipeError> {
    match keys.iter().find(|(_, is_set)| *is_set) {
        Some((key, _)) => Err(places.conflict(
            key,
            format!("{key} is set, but {owner} is not {choice}: leave it out, or set {owner} to {choice}"),
        )),
        None => Ok(()),
    }
}

fn source(raw: &RawData, kept: Option<&Recipe>, required: &Required) -> Result<DataSource, RecipeError> {
    let places = required.places;
    let words = || schema::key_at("data.dataset").map_or(&[][..], |key| &key.choices[..]);
    let Some(name) = raw.dataset else {
        required.note_unset("data.dataset", &one_of(words()));
        return Ok(DataSource::Files { dataset: DatasetName::FashionMnist, folder: PathBuf::new() });
    };
    let synthetic_keys = [
        ("data.synthetic_train_images", raw.synthetic_train_images.is_some()),
        ("data.synthetic_val_images", raw.synthetic_val_images.is_some()),
        ("data.synthetic_channels", raw.synthetic_channels.is_some()),
        ("data.synthetic_classes", raw.synthetic_classes.is_some()),
    ];
    if name != SourceName::Synthetic {
        refuse_set(places, &synthetic_keys, "data.dataset", r#""synthetic""#)?;
    }
    match name {
        SourceName::Files(dataset) => {
            let folder = raw.folder.clone().or_else(|| data_folder::of(dataset, kept));
            let accepted = format!("the folder of {}'s files", dataset.facts().title);
            Ok(DataSource::Files { dataset, folder: required.value(folder, "data.folder", &accepted) })
        }
        SourceName::Synthetic => {
            let of_files: Vec<_> = words().iter().filter(|&word| word != r#""synthetic""#).cloned().collect();
            let keys = [("data.folder", raw.folder.is_some())];
            refuse_set(places, &keys, "data.dataset", &one_of(&of_files))?;
            let count = |value, key: &str| required.value(value, key, "a number of images, at least 1");
            Ok(DataSource::Synthetic {
                train_images: count(raw.synthetic_train_images, "data.synthetic_train_images"),
                val_images: count(raw.synthetic_val_images, "data.synthetic_val_images"),
                channels: raw.synthetic_channels.unwrap_or(3),
                classes: raw.synthetic_classes.unwrap_or(1000),
            })
        }
    }
}

fn data(raw: RawData, source: DataSource, in_channels: u32) -> DataSettings {
    let (mean, std) = source.mean_and_std();
    let for_each_channel =
        |values: &[f64]| values.iter().copied().cycle().take(in_channels as usize).collect();
    DataSettings {
        source,
        resolution_px: raw.resolution_px,
        mean: raw.mean.unwrap_or_else(|| for_each_channel(mean)),
        std: raw.std.unwrap_or_else(|| for_each_channel(std)),
        horizontal_flip_probability: raw.horizontal_flip_probability,
        random_crop_padding_px: raw.random_crop_padding_px,
    }
}

fn train(raw: RawTrain, world_size: usize, kept: Option<&Recipe>, required: &Required) -> TrainSettings {
    let epochs = required.value(raw.epochs, "train.epochs", "a number of epochs, at least 1");
    let global_batch_size =
        required.value(raw.global_batch_size, "train.global_batch_size", "a number of images, at least 1");
    let kept = kept.map(|kept| &kept.train).filter(|kept| kept.global_batch_size == global_batch_size);
    let unset_size = || kept.map_or(global_batch_size.div_ceil(world_size), |kept| kept.micro_batch_size);
    TrainSettings {
        epochs,
        global_batch_size,
        micro_batch_size: raw.micro_batch_size.unwrap_or_else(unset_size),
        drop_last: raw.drop_last,
        max_steps: raw.max_steps,
        seed: raw.seed,
        label_smoothing: raw.label_smoothing,
        device: raw.device,
        precision: raw.precision,
        memory_format: raw.memory_format,
        tf32: raw.tf32,
        cudnn_benchmark: raw.cudnn_benchmark,
        cuda_graph: raw.cuda_graph,
        threads_per_rank: raw.threads_per_rank,
        deterministic: raw.deterministic,
        clip_grad_norm: raw.clip_grad_norm,
        ema_decay: raw.ema_decay,
    }
}

fn optim(raw: RawOptim, required: &Required) -> Result<OptimSettings, RecipeError> {
    let places = required.places;
    let optimizer = match raw.name {
        None => {
            required.note_unset("optim.name", r#""sgd" or "adamw""#);
            Optimizer::Sgd { momentum: 0.0, nesterov: false }
        }
        Some(OptimizerName::Sgd) => {
            let keys = [
                ("optim.beta1", raw.beta1.is_some()),
                ("optim.beta2", raw.beta2.is_some()),
                ("optim.eps", raw.eps.is_some()),
            ];
            refuse_set(places, &keys, "optim.name", r#""adamw""#)?;
            Optimizer::Sgd { momentum: raw.momentum, nesterov: raw.nesterov }
        }
        Some(OptimizerName::AdamW) => {
            let keys = [("optim.momentum", raw.momentum != 0.0), ("optim.nesterov", raw.nesterov)];
            refuse_set(places, &keys, "optim.name", r#""sgd""#)?;
            Optimizer::AdamW {
                beta1: raw.beta1.unwrap_or(0.9),
                beta2: raw.beta2.unwrap_or(0.999),
                eps: raw.eps.unwrap_or(1e-8),
            }
        }
    };
    Ok(OptimSettings {
        optimizer,
        lr: required.value(raw.lr, "optim.lr", "a number above 0"),
        weight_decay: raw.weight_decay,
        weight_decay_norm_bias: raw.weight_decay_norm_bias,
    })
}

fn schedule(raw: RawSchedule, epochs: u64, required: &Required) -> Result<ScheduleSettings, RecipeError> {
    let places = required.places;
    let step_keys = [
        ("schedule.milestones_epochs", raw.milestones_epochs.is_some()),
        ("schedule.gamma", raw.gamma.is_some()),
    ];
    if raw.name != ScheduleName::Step {
        refuse_set(places, &step_keys, "schedule.name", r#""step""#)?;
    }
    if raw.name != ScheduleName::Cosine {
        let keys = [("schedule.final_lr_fraction", raw.final_lr_fraction.is_some())];
        refuse_set(places, &keys, "schedule.name", r#""cosine""#)?;
    }
    let schedule = match raw.name {
        ScheduleName::Constant => Schedule::Constant {},
        ScheduleName::Step => Schedule::Step {
            milestones_epochs: required.value(
                raw.milestones_epochs,
                "schedule.milestones_epochs",
                "a list of epochs such as [30, 60, 90]",
            ),
            gamma: raw.gamma.unwrap_or(0.1),
        },
        ScheduleName::Cosine => Schedule::Cosine { final_lr_fraction: raw.final_lr_fraction.unwrap_or(0.0) },
    };
    Ok(ScheduleSettings {
        schedule,
        epochs,
        warmup_epochs: raw.warmup_epochs,
        warmup_start_fraction: raw.warmup_start_fraction,
    })
}
