//! Memory of one rank, estimated from the network's description.

use regatta_anynet::Summary;
use regatta_settings::{GradientCompression, Recipe};
use serde::Serialize;

use super::job::computes_on_gpus;

/// Bytes by purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct RankMemory {
    pub(crate) weights: u64,
    /// Includes the rounded copy that is summed with `comm.gradient_compression`.
    pub(crate) gradients: u64,
    pub(crate) optimizer: u64,
    pub(crate) ema: u64,
    /// BatchNorm statistics: running, of the batch, accumulated over the step, and averaged if there is an average.
    pub(crate) statistics: u64,
    /// Estimate for one micro-batch: activations kept by forward, and buffers of backward.
    pub(crate) activations: u64,
}

impl RankMemory {
    /// Sum of all parts.
    pub(crate) fn total(&self) -> u64 {
        let Self { weights, gradients, optimizer, ema, statistics, activations } = self;
        weights + gradients + optimizer + ema + statistics + activations
    }
}

/// Returns the memory of a rank. `summary` describes its micro-batch; flat buffers have `elements` elements.
pub(crate) fn of(summary: &Summary, elements: u64, recipe: &Recipe) -> RankMemory {
    let weights = elements * recipe.weight_bytes();
    let rounded = match recipe.comm.gradient_compression {
        GradientCompression::None => 0,
        GradientCompression::Bf16 => 2 * elements,
    };
    // A CPU holds activations in bf16 only if it computes in bf16.
    let element = recipe.elements(computes_on_gpus(recipe));
    let of_batch = summary.memory(element);
    let averages = recipe.train.keeps_average();
    RankMemory {
        weights,
        gradients: weights + rounded,
        optimizer: element.optimizer_states * weights,
        ema: if averages { weights } else { 0 },
        statistics: (3 + u64::from(averages)) * summary.statistics_elements() * element.weight_bytes,
        activations: of_batch.forward + of_batch.backward,
    }
}

#[cfg(test)]
mod tests {
    use regatta_anynet::Layout;

    use super::super::testing;
    use super::*;

    fn memory(sets: &[&str]) -> RankMemory {
        let recipe = testing::recipe(sets);
        let images = recipe.train.micro_batch_size as i64;
        let summary = recipe.network().summary(images, 96, 96).unwrap();
        let layout = Layout::new(&recipe.network().parameters(), recipe.bucket_caps());
        of(&summary, layout.len as u64, &recipe)
    }

    /// RegNetX32: 179,290 parameters, the last padded by 6. BatchNorms: the stem's 32, four blocks of 3 x 32 and six of 3 x
    /// 80, projections of 32 and of 80.
    #[test]
    fn regnetx32_adds_up_by_hand() {
        let flat = 4 * (179_290 + 6);
        let norm_channels = 32 + 4 * 3 * 32 + 6 * 3 * 80 + 32 + 80;
        // Of one image, elements: the stem at 48x48; s1 at 24x24 but its first convolution, at 48x48; s2 at 12x12 but its
        // first, at 24x24. Projections count once.
        let (stem, s1_wide, s1, s2_wide, s2) =
            (32 * 48 * 48, 32 * 48 * 48, 11 * 32 * 24 * 24, 80 * 24 * 24, 17 * 80 * 12 * 12);
        let projections = 32 * 24 * 24 + 80 * 12 * 12;
        let kept = 2 * (stem + s1_wide + s1 + s2_wide + s2) + projections;
        let image = 96 * 96 + kept + 2 * stem;
        let expected = RankMemory {
            weights: flat,
            gradients: flat,
            optimizer: flat,
            ema: 0,
            statistics: 3 * 2 * norm_channels * 4,
            activations: 64 * image * 4,
        };
        let precision = "train.precision=\"fp32\"";
        assert_eq!(memory(&[precision]), expected);
        assert_eq!(expected.total(), 3 * flat + 24 * norm_channels + 256 * image);
        let more = memory(&[precision, "train.ema_decay=0.99", "optim.name=\"adamw\""]);
        let statistics = 4 * 2 * norm_channels * 4;
        assert_eq!(more, RankMemory { ema: flat, optimizer: 2 * flat, statistics, ..expected });
    }

    #[test]
    fn short_floats_halve_activations_and_double_ones_double_everything() {
        let [fp32, bf16, fp64] =
            ["fp32", "bf16", "fp64"].map(|it| memory(&[&format!("train.precision=\"{it}\"")]));
        let image_bytes = 64 * 96 * 96 * 4;
        assert_eq!(bf16.weights, fp32.weights);
        // Autocast's copies of the weights are not padded.
        let copies = 2 * 179_290;
        assert_eq!(2 * (bf16.activations - image_bytes - copies), fp32.activations - image_bytes);
        assert_eq!((fp64.total(), fp64.weights), (2 * fp32.total(), 2 * fp32.weights));
    }

    #[test]
    fn rounding_keeps_a_short_copy_of_the_gradients() {
        let rounded = memory(&["comm.gradient_compression=\"bf16\""]);
        assert_eq!(rounded.gradients, rounded.weights / 2 * 3);
    }
}
