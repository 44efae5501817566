//! The layout of parameters in flat buffers, and its division into buckets. It depends only on the network and the caps: it
//! is the same on every rank and never depends on timing.

use std::ops::Range;

use crate::weights::{Group, Parameter};

/// Offsets are multiples of this many elements: 64 bytes in fp32.
const ALIGNMENT: usize = 16;

/// Maximum sizes of buckets, in bytes of fp32; a block is never split, so that a larger block makes a larger bucket.
#[derive(Debug, Clone, Copy)]
pub struct BucketCaps {
    /// Maximum size of the bucket that is ready first; small, so that its all-reduce starts early.
    pub first: usize,
    /// Maximum size of the other buckets.
    pub rest: usize,
}

/// A contiguous part of the flat buffers whose parameters are of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Range of elements.
    pub range: Range<usize>,
    /// The group.
    pub group: Group,
}

/// The flat layout that parameters, gradients, optimizer state and EMA share: buckets in reverse block order, within a
/// bucket group by group.
#[derive(Debug, Clone)]
pub struct Layout {
    /// First element of each parameter, by its index.
    pub offsets: Vec<usize>,
    /// Elements of each bucket, in the order in which backward completes them.
    pub buckets: Vec<Range<usize>>,
    /// Bucket of each parameter, by its index.
    pub bucket_of: Vec<usize>,
    /// The slices that the optimizer updates: at most one per bucket and group.
    pub slices: Vec<Slice>,
    /// Number of elements of a flat buffer.
    pub len: usize,
}

impl Layout {
    /// Lays out `parameters`, given in forward order. Blocks are never split: blocks are added to a bucket until the next one
    /// would exceed its cap.
    pub fn new(parameters: &[Parameter], caps: BucketCaps) -> Self {
        let mut layout = Self {
            offsets: vec![0; parameters.len()],
            buckets: Vec::new(),
            bucket_of: vec![0; parameters.len()],
            slices: Vec::new(),
            len: 0,
        };
        for members in group_into_buckets(parameters, caps) {
            layout.append_bucket(parameters, &members);
        }
        layout
    }

    fn append_bucket(&mut self, parameters: &[Parameter], members: &[usize]) {
        let start = self.len;
        for group in Group::ALL {
            let slice_start = self.len;
            for &index in members.iter().filter(|&&index| parameters[index].group() == group) {
                self.offsets[index] = self.len;
                self.bucket_of[index] = self.buckets.len();
                self.len += aligned(&parameters[index]);
            }
            if self.len > slice_start {
                self.slices.push(Slice { range: slice_start..self.len, group });
            }
        }
        self.buckets.push(start..self.len);
    }
}

/// Returns the number of elements of a parameter and its padding.
fn aligned(parameter: &Parameter) -> usize {
    (parameter.elements() as usize).next_multiple_of(ALIGNMENT)
}

/// Returns the indices of the parameters of each bucket, last block first.
fn group_into_buckets(parameters: &[Parameter], caps: BucketCaps) -> Vec<Vec<usize>> {
    let mut buckets: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    let blocks = parameters.chunk_by(|a, b| a.block == b.block);
    let mut end = parameters.len();
    for block in blocks.rev() {
        let block_bytes: usize = block.iter().map(|parameter| aligned(parameter) * 4).sum();
        let cap = if buckets.len() <= 1 { caps.first } else { caps.rest };
        if buckets.is_empty() || bytes + block_bytes > cap {
            buckets.push(Vec::new());
            bytes = 0;
        }
        let members = end - block.len()..end;
        end = members.start;
        bytes += block_bytes;
        buckets.last_mut().expect("pushed above").extend(members.rev());
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Role;

    fn parameter(block: usize, elements: i64, role: Role) -> Parameter {
        Parameter { name: format!("b{block}"), shape: vec![elements], block, role }
    }

    /// Three blocks, each a weight and a bias.
    fn parameters() -> Vec<Parameter> {
        [(0, 20), (1, 100), (2, 40)]
            .into_iter()
            .flat_map(|(block, n)| {
                [parameter(block, n, Role::ConvWeight), parameter(block, 3, Role::NormBias)]
            })
            .collect()
    }

    #[test]
    fn one_bucket_holds_all_in_reverse_order() {
        let layout = Layout::new(&parameters(), BucketCaps { first: 1 << 20, rest: 1 << 20 });
        assert!(matches!(&layout.buckets[..], [bucket] if *bucket == (0..240)));
        assert_eq!(layout.offsets, [160, 224, 48, 208, 0, 192]);
        assert_eq!(
            layout.slices,
            [Slice { range: 0..192, group: Group::Weight }, Slice { range: 192..240, group: Group::Norm }]
        );
    }

    /// One bucket has a slice of every group that occurs, however the groups alternate in forward order.
    #[test]
    fn a_bucket_is_ordered_by_group() {
        let roles = [
            Role::ConvWeight,
            Role::ConvBias { fan_in: 1 },
            Role::NormWeight,
            Role::NormBias,
            Role::ConvWeight,
            Role::NormWeight,
            Role::LinearWeight,
            Role::LinearBias { fan_in: 1 },
        ];
        let parameters = roles.map(|role| parameter(0, 16, role));
        let layout = Layout::new(&parameters, BucketCaps { first: 1 << 20, rest: 1 << 20 });
        let slices: Vec<_> =
            layout.slices.iter().map(|slice| (slice.group, slice.range.len() / 16)).collect();
        let expected = [
            (Group::Weight, 2),
            (Group::HeadWeight, 1),
            (Group::Norm, 3),
            (Group::Bias, 1),
            (Group::HeadBias, 1),
        ];
        assert_eq!(slices, expected);
    }

    #[test]
    fn a_network_without_trained_parameters_has_an_empty_layout() {
        let layout = Layout::new(&[], BucketCaps { first: 4, rest: 4 });
        assert_eq!((layout.len, layout.buckets.len(), layout.slices.len()), (0, 0, 0));
    }

    #[test]
    fn caps_close_buckets_between_blocks() {
        let layout = Layout::new(&parameters(), BucketCaps { first: 4, rest: 800 });
        assert_eq!(layout.buckets, [0..64, 64..240]);
        assert_eq!(layout.bucket_of, [1, 1, 1, 1, 0, 0]);
        let buckets = |first, rest| Layout::new(&parameters(), BucketCaps { first, rest }).buckets.len();
        assert_eq!((buckets(4, 4), buckets(768, 4), buckets(767, 4)), (3, 2, 3));
    }

    #[test]
    fn parameters_are_aligned_and_do_not_overlap() {
        let parameters = parameters();
        for caps in [4, 300, 1 << 20].map(|bytes| BucketCaps { first: 64, rest: bytes }) {
            let layout = Layout::new(&parameters, caps);
            let mut ranges: Vec<_> = (0..parameters.len())
                .map(|i| layout.offsets[i]..layout.offsets[i] + parameters[i].elements() as usize)
                .collect();
            for (index, range) in ranges.iter().enumerate() {
                assert_eq!(range.start % ALIGNMENT, 0);
                let bucket = &layout.buckets[layout.bucket_of[index]];
                assert!(bucket.start <= range.start && range.end <= bucket.end);
            }
            ranges.sort_by_key(|range| range.start);
            assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
            assert_eq!(layout.slices.iter().map(|slice| slice.range.len()).sum::<usize>(), layout.len);
        }
    }
}
