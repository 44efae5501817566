//! Adapts a recipe to an evaluation: precision, resolution, and the network of the checkpoint.

use std::path::Path;

use anyhow::{Result, bail};
use regatta_anynet::{Network, Stem};
use regatta_data::Split;
use regatta_settings::{DataSource, MAX_RESIZE_PX, MemoryFormat, Precision, Recipe, Shuffle, TrainSettings};

use crate::failure::Usage;

/// Fills in a precision and memory format that the recipe leaves open: those of the run, or else fp32, in which published
/// weights are evaluated, and the default format. Nothing is timed, so that results repeat.
pub(super) fn settle(train: &mut TrainSettings, kept: Option<&TrainSettings>) {
    if train.precision == Precision::Auto {
        let kept = kept.map(|kept| kept.precision).filter(|&precision| precision != Precision::Auto);
        train.precision = kept.unwrap_or(Precision::Fp32);
    }
    if train.memory_format == MemoryFormat::Auto {
        let kept = kept.map(|kept| kept.memory_format).filter(|&format| format != MemoryFormat::Auto);
        train.memory_format = kept.unwrap_or(MemoryFormat::ChannelsLast);
    }
}

/// Sets the side of the network's input in evaluation, and scales that of the resized image in the same ratio.
pub(super) fn set_resolution(recipe: &mut Recipe, px: u32) -> Result<()> {
    let data = &mut recipe.data;
    if recipe.model.stem == Stem::Flatten && px != data.resolution_px {
        bail!(Usage(format!(
            "--resolution {px}: a flattening stem takes images of one size, data.resolution_px = {}: leave it out",
            data.resolution_px
        )));
    }
    if let (Some(resize_px), Some(scaled)) = (data.val_resize_px, data.val_resize_px_at(px)) {
        if scaled > MAX_RESIZE_PX {
            let own = data.val_resolution_px;
            bail!(Usage(format!(
                "--resolution {px} makes data.val_resize_px = {scaled}, as {resize_px} at {own} px: at most {MAX_RESIZE_PX} is \
                 possible"
            )));
        }
        data.val_resize_px = Some(scaled);
    }
    data.val_resolution_px = px;
    Ok(())
}

/// Checks that the recipe describes the network that the checkpoint was saved of; dropout has no effect in evaluation.
pub(super) fn require_same_network(kept: &Recipe, recipe: &Recipe, checkpoint: &Path) -> Result<()> {
    let evaluated = |recipe: &Recipe| Network { dropout: 0.0, ..recipe.network() };
    if evaluated(kept) == evaluated(recipe) {
        return Ok(());
    }
    let is_of_network = |line: &String| line.starts_with("model.") || line.starts_with("data.resolution_px:");
    let lines: Vec<_> = kept.differences(recipe).into_iter().filter(is_of_network).collect();
    bail!(Usage(format!(
        "the recipe describes another network than that of {}; leave --config out, or undo:\n  {}",
        checkpoint.display(),
        lines.join("\n  ")
    )))
}

/// Logs what the evaluation does otherwise than the run's own.
pub(super) fn log_differences(kept: &Recipe, recipe: &Recipe) {
    let affects = |line: &&String| {
        ["data.", "eval.", "train.precision:", "train.memory_format:"].iter().any(|key| line.starts_with(key))
    };
    let lines = kept.differences(recipe).into_iter().chain(kept.changes(recipe)).collect::<Vec<_>>();
    for line in lines.iter().filter(affects) {
        tracing::info!("differs from the run: {line}");
    }
}

/// Removes what an evaluation of `split` does not need: windows of archives that are read ahead, local copies of archives, and keys
/// that ask for a minimum of training images.
pub(super) fn spare_training(recipe: &mut Recipe, split: Split) {
    if split == Split::Validation {
        recipe.data.limit_train_images = None;
    }
    recipe.eval.precise_bn_images = 0;
    recipe.train.drop_last = false;
    if let DataSource::TarShards { shuffle, stage_folder, .. } = &mut recipe.data.source {
        *shuffle = Shuffle::Global;
        *stage_folder = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recipe of 64 px for image files with these keys of the network.
    fn recipe(model: &str) -> Recipe {
        let text = format!(
            "model = {{ classes = 10, anynet = {{ {model} }} }}\n[data]\ndataset = \"image_folder\"\nfolder = \"x\"\n\
             resolution_px = 64\n[train]\nepochs = 1\nglobal_batch_size = 8\n[optim]\nname = \"sgd\"\nlr = 0.1\n"
        );
        Recipe::parse(Path::new("recipe.toml"), &text).unwrap()
    }

    const NARROW: &str = "stages = [{ depth = 1, width = 16, group_width = 8 }]";
    const WIDE: &str = "stages = [{ depth = 1, width = 24, group_width = 8 }]";
    const MLP: &str = "block = \"mlp\", stages = [{ depth = 1, width = 16 }]";

    #[test]
    fn resize_and_crop_are_scaled_in_the_same_ratio() {
        let check = |model: &str, resize_px: u32, px: u32, expected: &str| {
            let mut recipe = recipe(model);
            recipe.data.val_resize_px = Some(resize_px);
            let outcome = set_resolution(&mut recipe, px).map_err(|error| error.to_string());
            let sides = format!("{:?} {}", recipe.data.val_resize_px, recipe.data.val_resolution_px);
            assert_eq!(outcome.err().unwrap_or(sides), expected);
        };
        check(NARROW, 73, 128, "Some(146) 128");
        check(NARROW, 73, 96, "Some(110) 96"); // 109.5
        check(NARROW, 64, 64, "Some(64) 64");
        check(
            NARROW,
            4000,
            640,
            "--resolution 640 makes data.val_resize_px = 40000, as 4000 at 64 px: at most 8192 is possible",
        );
        check(MLP, 73, 64, "Some(73) 64");
        check(
            MLP,
            73,
            65,
            "--resolution 65: a flattening stem takes images of one size, data.resolution_px = 64: leave it out",
        );
    }

    #[test]
    fn another_network_is_named_by_its_keys() {
        let (kept, mut other) = (recipe(NARROW), recipe(NARROW));
        other.model.dropout = 0.5;
        other.train.seed = 7;
        let check =
            |other: &Recipe| require_same_network(&kept, other, Path::new("x")).map_err(|it| it.to_string());
        assert_eq!(check(&other), Ok(()));
        let expected = "the recipe describes another network than that of x; leave --config out, or undo:\n  \
                        model.anynet.stages[0].width: 16 -> 24";
        assert_eq!(check(&recipe(WIDE)).unwrap_err(), expected);
    }

    #[test]
    fn an_open_precision_is_the_runs_and_else_fp32() {
        let settled = |own: Precision, kept: Option<Precision>| {
            let mut train = TrainSettings { precision: own, ..TrainSettings::default() };
            train.memory_format = MemoryFormat::Auto;
            let kept = kept.map(|precision| TrainSettings {
                precision,
                memory_format: MemoryFormat::Contiguous,
                ..TrainSettings::default()
            });
            settle(&mut train, kept.as_ref());
            (train.precision, train.memory_format)
        };
        let (contiguous, channels_last) = (MemoryFormat::Contiguous, MemoryFormat::ChannelsLast);
        assert_eq!(settled(Precision::Auto, Some(Precision::Bf16)), (Precision::Bf16, contiguous));
        assert_eq!(settled(Precision::Fp64, Some(Precision::Bf16)), (Precision::Fp64, contiguous));
        assert_eq!(settled(Precision::Auto, None), (Precision::Fp32, channels_last));
    }
}
