//! Forward and backward of one batch give the same results as PyTorch.

use regatta_model::Mode;
use regatta_settings::Recipe;
use tch::{Device, Kind, Tensor};

use super::networks::{FOUR_STAGES, REGNETX32, by_parameter, by_statistic, description, recipe, replica};
use super::reference::{Case, compare_with_pytorch};
use super::{alone, assert_close, assert_equal_to_the_bit};
use crate::loss::summed_loss;
use crate::replica::in_format;

/// One batch forward in evaluation mode, then forward and backward in training mode. PyTorch computes it with the recipe and
/// the number of threads in `theirs`.
fn network_case(name: &str, recipe: &Recipe, threads: i32, theirs: (&Recipe, i32)) -> Case {
    tch::set_num_threads(threads);
    let mut replica = replica(recipe);
    let kind = replica.parameters.flat.kind();
    let side = i64::from(recipe.data.resolution_px);
    let shape = [8, recipe.network().in_channels, side, side];
    let images = Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind);
    let labels = Tensor::arange(shape[0], (Kind::Int64, Device::Cpu)).remainder(recipe.network().classes);
    let mut inputs = by_parameter("parameter", &replica, &replica.parameters.views);
    inputs.extend(by_statistic(&replica, &replica.running.flat));
    inputs.insert("images".into(), images.copy());
    inputs.insert("labels".into(), labels.to_kind(Kind::Double));

    let images = in_format(&images, recipe.train.memory_format);
    let evaluation = tch::no_grad(|| replica.logits(&replica.model, &images, Mode::Evaluation).unwrap());
    let logits = replica.logits(&replica.model, &images, Mode::Training).unwrap();
    let loss = summed_loss(&logits, &labels, recipe.train.label_smoothing);
    (&loss / shape[0] as f64).backward();
    replica.add_batch_statistics(1);

    let mut results = by_parameter("gradient", &replica, &replica.gradients.views);
    results.extend(by_statistic(&replica, &replica.batch_sum));
    results.insert("evaluation_logits".into(), evaluation);
    results.insert("logits".into(), logits.detach());
    results.insert("loss".into(), loss.detach());
    let description = description("network", theirs.0, theirs.1);
    Case { name: name.into(), description, inputs, results }
}

const FORMATS: [&str; 2] = ["channels_last", "contiguous"];

/// Python takes seconds to load torch, so one test has all cases.
#[test]
fn logits_loss_gradients_and_statistics_equal_pytorchs() {
    let _alone = alone();
    let mut cases = fp32_cases();
    cases.extend(bf16_autocast_cases());
    cases.extend(fp64_cases_at_other_formats_and_thread_counts());
    compare_with_pytorch(&cases, |what, ours, theirs| match what.starts_with("fp64") {
        true => assert_close_in_fp64(what, ours, theirs),
        false => assert_equal_to_the_bit(what, ours, theirs),
    });
}

fn fp32_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (network, text, smoothing) in [("regnetx32", REGNETX32, 0.0), ("four_stages", FOUR_STAGES, 0.1)] {
        for format in FORMATS {
            for threads in [1, 2] {
                let recipe = recipe(
                    text,
                    &[
                        "train.precision=fp32".into(),
                        format!("train.memory_format={format}"),
                        format!("train.label_smoothing={smoothing:?}"),
                    ],
                );
                let name = format!("fp32-{network}-{format}-{threads}");
                cases.push(network_case(&name, &recipe, threads, (&recipe, threads)));
            }
        }
    }
    cases
}

fn bf16_autocast_cases() -> Vec<Case> {
    let case = |format| {
        let memory_format = format!("train.memory_format={format}");
        let recipe = recipe(REGNETX32, &["train.precision=bf16".into(), memory_format]);
        network_case(&format!("bf16-{format}"), &recipe, 2, (&recipe, 2))
    };
    FORMATS.map(case).into()
}

fn fp64_cases_at_other_formats_and_thread_counts() -> Vec<Case> {
    let mut cases = Vec::new();
    for (network, text) in [("regnetx32", REGNETX32), ("four_stages", FOUR_STAGES)] {
        let [last, contiguous] = FORMATS.map(|format| {
            recipe(text, &["train.precision=fp64".into(), format!("train.memory_format={format}")])
        });
        for (name, ours, theirs) in [("last", &last, &contiguous), ("contiguous", &contiguous, &last)] {
            for threads in [1, 2] {
                let name = format!("fp64-{network}-{name}-{threads}");
                cases.push(network_case(&name, ours, threads, (theirs, 3 - threads)));
            }
        }
    }
    cases
}

fn assert_close_in_fp64(what: &str, ours: &Tensor, theirs: &Tensor) {
    let is_conv_bias = what.contains("regnetx32")
        && what.contains(": gradient.")
        && what.ends_with(".bias")
        && !what.contains("bn.bias")
        && !what.contains("head.fc");
    if is_conv_bias {
        // BatchNorm subtracts the mean, so these are zero up to rounding.
        assert!((ours - theirs).abs().max().double_value(&[]) <= 1e-9, "{what}");
    } else {
        assert_close(what, ours, theirs, 1e-9);
    }
}
