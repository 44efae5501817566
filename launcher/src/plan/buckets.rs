//! The buckets that gradients are summed in, and when backward completes each.

use std::ops::Range;

use regatta_settings::{GradientCompression, Recipe};

use super::blocks::BlockCost;

/// Bytes of an element where caps are concerned: those of fp32, whatever the precision.
const CAPPED_ELEMENT_BYTES: u64 = 4;
const MIB: f64 = 1024.0 * 1024.0;

/// A bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    /// What one rank puts into the sum.
    pub(crate) bytes: f64,
    /// Share of backward's time after which its gradients are complete.
    pub(crate) ready: f64,
}

/// The recipe's buckets, in the order in which they are summed.
pub(crate) fn of(blocks: &[BlockCost], recipe: &Recipe) -> Vec<Bucket> {
    let caps = [recipe.comm.first_bucket_mib, recipe.comm.bucket_cap_mib].map(|mib| (mib * MIB) as u64);
    let element_bytes = match recipe.comm.gradient_compression {
        GradientCompression::None => recipe.weight_bytes(),
        GradientCompression::Bf16 => 2,
    };
    let sizes: Vec<_> = blocks.iter().map(|block| block.elements * CAPPED_ELEMENT_BYTES).collect();
    let backward = |block: usize| blocks[block..].iter().map(|block| block.backward_share).sum::<f64>();
    let elements =
        |members: &Range<usize>| blocks[members.clone()].iter().map(|block| block.elements).sum::<u64>();
    let bucket = |members: Range<usize>| Bucket {
        bytes: (elements(&members) * element_bytes) as f64,
        ready: if members.start == 0 { 1.0 } else { backward(members.start) },
    };
    group(&sizes, caps).into_iter().map(bucket).collect()
}

/// Blocks of each bucket, last block first: whole ones, of `sizes` bytes in forward order, until the next would pass the cap,
/// which the first bucket has of its own. As comm/src/layout.rs does it.
fn group(sizes: &[u64], [first, rest]: [u64; 2]) -> Vec<Range<usize>> {
    let mut buckets: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (block, size) in sizes.iter().enumerate().rev() {
        let cap = if buckets.len() <= 1 { first } else { rest };
        match buckets.last_mut() {
            Some(open) if bytes + size <= cap => open.start = block,
            _ => {
                buckets.push(block..block + 1);
                bytes = 0;
            }
        }
        bytes += size;
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_close_buckets_between_blocks() {
        let check = |caps, expected: &[(usize, usize)]| {
            let buckets = group(&[192, 512, 256], caps);
            let ends: Vec<_> = buckets.iter().map(|blocks| (blocks.start, blocks.end)).collect();
            assert_eq!(ends, expected);
        };
        check([1 << 20, 1 << 20], &[(0, 3)]);
        // The cases of comm/src/layout.rs's own test.
        check([4, 800], &[(2, 3), (0, 2)]);
        check([4, 4], &[(2, 3), (1, 2), (0, 1)]);
        check([768, 4], &[(1, 3), (0, 1)]);
        check([767, 4], &[(2, 3), (1, 2), (0, 1)]);
    }

    #[test]
    fn a_bucket_is_ready_with_its_first_block() {
        let block = |elements, backward_share| BlockCost { name: String::new(), elements, backward_share };
        let blocks = [block(16, 0.5), block(32, 0.3), block(48, 0.2)];
        let recipe =
            super::super::testing::recipe(&["comm.first_bucket_mib=0.0002", "comm.bucket_cap_mib=0.0002"]);
        let buckets = of(&blocks, &recipe);
        assert_eq!(buckets, [Bucket { bytes: 192.0, ready: 0.2 }, Bucket { bytes: 192.0, ready: 1.0 }]);
        let set = ["comm.gradient_compression=\"bf16\"", "train.device=\"cuda\""];
        assert_eq!(of(&blocks, &super::super::testing::recipe(&set)), [Bucket { bytes: 192.0, ready: 1.0 }]);
    }
}
