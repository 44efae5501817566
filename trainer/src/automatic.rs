//! Chooses precision and memory format where the recipe says `auto`: times the possible combinations and takes the fastest.

use anyhow::Result;
use regatta_comm::World;
use regatta_run_folder::counted;
use regatta_settings::{MemoryFormat, Precision, Recipe, TrainedSize};
use tch::Device;

use crate::device::recipe_value;
use crate::timing;

/// bf16 has fewer digits, so it must be this many times as fast as the best choice without it.
const MIN_BF16_SPEEDUP: f64 = 1.3;
/// Largest number of sizes of the training images at which candidates are timed.
const MAX_SIZES: usize = 3;

/// A precision and memory format.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) precision: Precision,
    pub(crate) memory_format: MemoryFormat,
}

impl Candidate {
    fn of(recipe: &Recipe) -> Self {
        Self { precision: recipe.train.precision, memory_format: recipe.train.memory_format }
    }
}

/// Fills in what the recipe leaves open: as the continued run's recipe, `kept`, has it, else by timing. Returns a log message if
/// it was timed. A collective.
///
/// # Errors
/// A network that cannot be built or run, and failed collectives.
pub(crate) fn choose(
    recipe: &mut Recipe,
    kept: Option<&Recipe>,
    device: Device,
    world: &World,
) -> Result<Option<String>> {
    let precisions = || possible_precisions(device, || all_have_bf16(world));
    let kept = kept.map(Candidate::of);
    let candidates = candidates(Candidate::of(recipe), kept, recipe.train.deterministic, precisions);
    let (mut taken, mut message) = (candidates[0], None);
    if candidates.len() > 1 {
        let images = timing::images(recipe, device)?;
        let sizes = timed_sizes(&recipe.data.sizes(recipe.train.epochs));
        let seconds = mean_seconds(recipe, &candidates, (&sizes, images), device, world)?;
        let timed: Vec<_> = candidates.into_iter().zip(seconds).collect();
        taken = best(&timed);
        message = Some(choice_message(taken, &timed, images, &sizes));
    }
    recipe.train.precision = taken.precision;
    recipe.train.memory_format = taken.memory_format;
    Ok(message)
}

/// Returns the sizes at which candidates are timed, the smallest first: at most [`MAX_SIZES`], evenly spaced, each weighted
/// with the epochs of the sizes nearest to it.
fn timed_sizes(sizes: &[TrainedSize]) -> Vec<TrainedSize> {
    let last = sizes.len() - 1;
    let steps = last.clamp(1, MAX_SIZES - 1);
    let places = (0..=last.min(steps)).map(|step| sizes[step * last / steps].px);
    let mut timed: Vec<_> = places.map(|px| TrainedSize { px, epochs: 0 }).collect();
    for &TrainedSize { px, epochs } in sizes {
        if let Some(nearest) = timed.iter_mut().min_by_key(|timed| timed.px.abs_diff(px)) {
            nearest.epochs += epochs;
        }
    }
    timed
}

/// Times forward and backward of `images` images with each candidate at these sizes, and returns the mean over the epochs. All
/// sizes share one memory format, that of the weights. A collective.
fn mean_seconds(
    recipe: &Recipe,
    candidates: &[Candidate],
    (sizes, images): (&[TrainedSize], usize),
    device: Device,
    world: &World,
) -> Result<Vec<f64>> {
    let all_epochs: u64 = sizes.iter().map(|size| size.epochs).sum();
    let mut means = vec![0.0; candidates.len()];
    for &TrainedSize { px, epochs } in sizes {
        let mut recipe = recipe.clone();
        recipe.data.resolution_px = px;
        let seconds = timing::seconds_on_rank_0(&recipe, candidates, images, device, world)?;
        for (mean, seconds) in means.iter_mut().zip(seconds) {
            *mean += seconds * epochs as f64 / all_epochs as f64;
        }
    }
    Ok(means)
}

/// Returns the possible candidates grouped by memory format, the default first. A deterministic run takes the first, since
/// timings vary.
fn candidates(
    given: Candidate,
    kept: Option<Candidate>,
    deterministic: bool,
    possible_precisions: impl FnOnce() -> Vec<Precision>,
) -> Vec<Candidate> {
    let precisions = match (given.precision, kept) {
        (Precision::Auto, Some(kept)) => vec![kept.precision],
        (Precision::Auto, None) => possible_precisions(),
        (given, _) => vec![given],
    };
    let formats = match (given.memory_format, kept) {
        (MemoryFormat::Auto, Some(kept)) => vec![kept.memory_format],
        (MemoryFormat::Auto, None) => vec![MemoryFormat::ChannelsLast, MemoryFormat::Contiguous],
        (given, _) => vec![given],
    };
    let with =
        |memory_format| precisions.iter().map(move |&precision| Candidate { precision, memory_format });
    let mut candidates: Vec<_> = formats.into_iter().flat_map(with).collect();
    if deterministic {
        candidates.truncate(1);
    }
    candidates
}

/// Returns bf16 on a GPU; on CPUs fp32, and bf16 if every rank's processor supports it: elsewhere it is emulated and several
/// times slower.
fn possible_precisions(device: Device, all_have_bf16: impl FnOnce() -> bool) -> Vec<Precision> {
    match device {
        Device::Cpu if all_have_bf16() => vec![Precision::Fp32, Precision::Bf16],
        Device::Cpu => vec![Precision::Fp32],
        _ => vec![Precision::Bf16],
    }
}

/// Returns whether every rank's processor computes in bf16. A collective.
fn all_have_bf16(world: &World) -> bool {
    let mut ranks = [i64::from(processor_has_bf16())];
    world.all_reduce_counts(&mut ranks);
    ranks == [world.world_size() as i64]
}

#[cfg(target_arch = "x86_64")]
fn processor_has_bf16() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn processor_has_bf16() -> bool {
    false
}

/// Returns the fastest candidate; one in bf16 only if it is faster by [`MIN_BF16_SPEEDUP`].
fn best(timed: &[(Candidate, f64)]) -> Candidate {
    let fastest = |in_bf16: bool| {
        let of_kind = timed.iter().filter(|(it, _)| (it.precision == Precision::Bf16) == in_bf16);
        of_kind.min_by(|(_, one), (_, other)| one.total_cmp(other))
    };
    let fastest_full = fastest(false);
    let is_worth_it = |bf16: f64| fastest_full.is_none_or(|(_, full)| *full >= MIN_BF16_SPEEDUP * bf16);
    let taken = fastest(true).filter(|(_, seconds)| is_worth_it(*seconds)).or(fastest_full);
    taken.expect("two or more were timed").0
}

/// Formats the choice and the timings for the log.
fn choice_message(
    taken: Candidate,
    timed: &[(Candidate, f64)],
    images: usize,
    sizes: &[TrainedSize],
) -> String {
    let name =
        |it: Candidate| format!("{}, {}", recipe_value(&it.precision), recipe_value(&it.memory_format));
    let milliseconds = |(it, seconds): &(Candidate, f64)| format!("{:.1} ms in {}", seconds * 1e3, name(*it));
    let times: Vec<_> = timed.iter().map(milliseconds).collect();
    let (taken, images) = (name(taken), counted(images, "image"));
    let sizes: Vec<_> = sizes.iter().map(|size| size.px.to_string()).collect();
    let mean = match &sizes[..] {
        [_] => String::new(),
        sizes => format!(" at {} px, averaged over the epochs,", sizes.join(", ")),
    };
    format!("\"auto\" takes {taken}: forward and backward of {images}{mean} took {}", times.join("; "))
}

#[cfg(test)]
mod tests {
    use MemoryFormat::{ChannelsLast, Contiguous};
    use Precision::{Bf16, Fp16, Fp32, Fp64};

    use super::*;

    const OPEN: Candidate = Candidate { precision: Precision::Auto, memory_format: MemoryFormat::Auto };

    fn pair((precision, memory_format): (Precision, MemoryFormat)) -> Candidate {
        Candidate { precision, memory_format }
    }

    #[test]
    fn only_open_and_possible_candidates_are_timed() {
        let check = |given, kept: Option<_>, deterministic, on: (Device, bool), expected: &[_]| {
            let precisions = || possible_precisions(on.0, || on.1);
            let found = candidates(given, kept.map(pair), deterministic, precisions);
            assert_eq!(found, expected.iter().copied().map(pair).collect::<Vec<_>>(), "{given:?}");
        };
        let (old, new, gpu) = ((Device::Cpu, false), (Device::Cpu, true), (Device::Cuda(0), true));
        let both = [(Fp32, ChannelsLast), (Bf16, ChannelsLast), (Fp32, Contiguous), (Bf16, Contiguous)];
        check(OPEN, None, false, new, &both);
        check(OPEN, None, false, old, &[both[0], both[2]]);
        check(OPEN, None, false, gpu, &[both[1], both[3]]);
        check(OPEN, None, true, new, &both[..1]);
        check(OPEN, None, true, gpu, &both[1..2]);
        check(OPEN, Some((Fp16, Contiguous)), false, new, &[(Fp16, Contiguous)]);

        let format_open = Candidate { precision: Fp64, ..OPEN };
        check(format_open, None, false, new, &[(Fp64, ChannelsLast), (Fp64, Contiguous)]);
        check(format_open, Some((Fp32, Contiguous)), false, new, &[(Fp64, Contiguous)]);
        let precision_open = Candidate { memory_format: Contiguous, ..OPEN };
        check(precision_open, None, false, new, &[(Fp32, Contiguous), (Bf16, Contiguous)]);
        check(precision_open, None, false, old, &[(Fp32, Contiguous)]);
        for on in [old, new, gpu] {
            check(pair((Bf16, Contiguous)), None, false, on, &[(Bf16, Contiguous)]);
        }
    }

    #[test]
    fn the_fastest_is_taken_and_bf16_only_with_the_minimum_speedup() {
        let check = |seconds: &[((Precision, MemoryFormat), f64)], expected| {
            let timed: Vec<_> = seconds.iter().map(|&(it, seconds)| (pair(it), seconds)).collect();
            assert_eq!(best(&timed), pair(expected), "{seconds:?}");
        };
        let of_four = |[a, b, c, d]: [f64; 4], expected| {
            let names = [(Fp32, ChannelsLast), (Fp32, Contiguous), (Bf16, ChannelsLast), (Bf16, Contiguous)];
            check(&names.into_iter().zip([a, b, c, d]).collect::<Vec<_>>(), expected);
        };
        of_four([2.0, 2.1, 1.0, 1.1], (Bf16, ChannelsLast));
        of_four([2.0, 2.1, 1.1, 1.0], (Bf16, Contiguous));
        of_four([1.3, 9.0, 1.0, 9.0], (Bf16, ChannelsLast));
        of_four([1.29, 9.0, 1.0, 9.0], (Fp32, ChannelsLast));
        // Twice as fast as fp32 in its own format, but not than the best fp32.
        of_four([2.0, 1.2, 1.0, 9.0], (Fp32, Contiguous));
        of_four([2.0, 1.0, 9.0, 9.0], (Fp32, Contiguous));
        check(&[((Fp32, Contiguous), 2.0), ((Bf16, Contiguous), 1.0)], (Bf16, Contiguous));
        check(&[((Bf16, ChannelsLast), 1.0), ((Bf16, Contiguous), 0.9)], (Bf16, Contiguous));
        check(&[((Fp64, ChannelsLast), 1.0), ((Fp64, Contiguous), 1.1)], (Fp64, ChannelsLast));
    }

    #[test]
    fn a_few_sizes_stand_for_all_epochs() {
        let check = |sizes: &[(u32, u64)], expected: &[(u32, u64)]| {
            let of = |sizes: &[(u32, u64)]| -> Vec<_> {
                sizes.iter().map(|&(px, epochs)| TrainedSize { px, epochs }).collect()
            };
            assert_eq!(timed_sizes(&of(sizes)), of(expected), "{sizes:?}");
        };
        check(&[(224, 90)], &[(224, 90)]);
        check(&[(128, 6), (224, 10)], &[(128, 6), (224, 10)]);
        check(&[(160, 66), (176, 3), (192, 19)], &[(160, 66), (176, 3), (192, 19)]);
        check(&[(128, 4), (160, 3), (192, 2), (224, 1)], &[(128, 4), (160, 5), (224, 1)]);
        check(&[(112, 10), (144, 1), (160, 2), (192, 1), (224, 6)], &[(112, 10), (160, 4), (224, 6)]);
    }

    #[test]
    fn the_log_says_what_was_timed() {
        let timed = [((Fp32, ChannelsLast), 0.0125), ((Fp32, Contiguous), 0.02)].map(|(it, s)| (pair(it), s));
        let message = |sizes: &[u32]| {
            let sizes: Vec<_> = sizes.iter().map(|&px| TrainedSize { px, epochs: 1 }).collect();
            choice_message(timed[0].0, &timed, 16, &sizes)
        };
        expect_test::expect![[r#"
            "auto" takes fp32, channels_last: forward and backward of 16 images took 12.5 ms in fp32, channels_last; 20.0 ms in fp32, contiguous
            "auto" takes fp32, channels_last: forward and backward of 16 images at 160, 192 px, averaged over the epochs, took 12.5 ms in fp32, channels_last; 20.0 ms in fp32, contiguous"#]]
        .assert_eq(&[message(&[224]), message(&[160, 192])].join("\n"));
    }
}
