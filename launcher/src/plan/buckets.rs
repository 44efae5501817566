//! The buckets of the gradients' all-reduce, and when backward completes each.

use regatta_anynet::{Layout, Parameter};
use regatta_settings::{GradientCompression, Recipe};

/// A bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    /// Bytes that each rank contributes to the all-reduce.
    pub(crate) bytes: f64,
    /// Share of the backward time after which the bucket's gradients are complete.
    pub(crate) ready: f64,
}

/// Returns the buckets of `layout` in the order of their all-reduces. `backward_shares` holds each block's share of the backward time.
pub(crate) fn of(
    layout: &Layout,
    parameters: &[Parameter],
    backward_shares: &[f64],
    recipe: &Recipe,
) -> Vec<Bucket> {
    let element_bytes = match recipe.comm.gradient_compression {
        GradientCompression::None => recipe.weight_bytes(),
        GradientCompression::Bf16 => 2,
    };
    let first_block = |bucket| {
        let index = layout.bucket_of.iter().position(|&of| of == bucket);
        index.map_or(0, |index| parameters[index].block)
    };
    let ready = |bucket| match first_block(bucket) {
        0 => 1.0,
        block => backward_shares[block..].iter().sum(),
    };
    let bytes = |elements: usize| (elements as u64 * element_bytes) as f64;
    let buckets = layout.buckets.iter().enumerate();
    buckets.map(|(bucket, range)| Bucket { bytes: bytes(range.len()), ready: ready(bucket) }).collect()
}

#[cfg(test)]
mod tests {
    use regatta_anynet::Role;

    use super::super::testing::recipe;
    use super::*;

    #[test]
    fn a_bucket_is_ready_with_its_first_block() {
        let parameter = |(block, elements)| Parameter {
            name: String::new(),
            shape: vec![elements],
            block,
            role: Role::ConvWeight,
        };
        let parameters: Vec<_> = [16, 32, 48].into_iter().enumerate().map(parameter).collect();
        let buckets = |sets: &[&str]| {
            let recipe = recipe(sets);
            let layout = Layout::new(&parameters, recipe.bucket_caps());
            of(&layout, &parameters, &[0.5, 0.3, 0.2], &recipe)
        };
        let small = buckets(&["comm.first_bucket_mib=0.0002", "comm.bucket_cap_mib=0.0002"]);
        assert_eq!(small, [Bucket { bytes: 192.0, ready: 0.2 }, Bucket { bytes: 192.0, ready: 1.0 }]);
        let compressed = buckets(&["comm.gradient_compression=\"bf16\"", "train.device=\"cuda\""]);
        assert_eq!(compressed, [Bucket { bytes: 192.0, ready: 1.0 }]);
    }
}
