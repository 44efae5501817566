//! What each block of a network has of parameters and of backward's time, from its description alone.

use regatta_anynet::{LayerRow, Network, Summary};

/// Multiply-adds that take as long as one element that a layer writes. Backward's time goes into convolutions (by their
/// multiply-adds) and into everything that only passes over memory. Fitted to backward on two CPU cores; a GPU is rather at
/// some hundreds, which moves time to the early blocks, and the buckets' completion forward.
const ELEMENT_COST: f64 = 30.0;

/// Parameters start at multiples of this many elements, as in comm/src/layout.rs.
const ALIGNMENT: u64 = 16;

/// A block, in forward order: the stem, the body's blocks, the head.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BlockCost {
    /// As pycls has it: `stem`, `s1.b1`, `head`.
    pub(crate) name: String,
    /// Elements of its parameters in the flat buffers, padding included.
    pub(crate) elements: u64,
    /// Share of backward's time.
    pub(crate) backward_share: f64,
}

/// The blocks of a network; `summary` is its own.
pub(crate) fn costs(network: &Network, summary: &Summary) -> Vec<BlockCost> {
    let of_block = summary.rows.chunk_by(|a, b| block_name(&a.name) == block_name(&b.name));
    let total: f64 = summary.rows.iter().map(work).sum();
    let parameters = network.parameters();
    let cost = |(number, rows): (usize, &[LayerRow])| {
        let own = parameters.iter().filter(|parameter| parameter.block == number);
        BlockCost {
            name: block_name(&rows[0].name).to_owned(),
            elements: own.map(|parameter| aligned(parameter.elements() as u64)).sum(),
            backward_share: rows.iter().map(work).sum::<f64>() / total,
        }
    };
    of_block.enumerate().map(cost).collect()
}

/// `s1.b1` of `s1.b1.f.a_bn`, `stem` of `stem.conv`.
fn block_name(layer: &str) -> &str {
    let is_dot = |&(_, character): &(usize, char)| character == '.';
    let outside_body = layer.starts_with("stem.") || layer.starts_with("head.");
    let end = layer.char_indices().filter(is_dot).nth(usize::from(!outside_body));
    end.map_or(layer, |(end, _)| &layer[..end])
}

/// Multiply-adds, or as many as would take as long.
fn work(row: &LayerRow) -> f64 {
    row.flops as f64 + ELEMENT_COST * row.elements_of_image() as f64
}

fn aligned(elements: u64) -> u64 {
    elements.next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use regatta_anynet::{Rounding, regnetx32, zoo};

    use super::*;

    #[test]
    fn the_blocks_of_regnetx32_have_its_parameters() {
        let network = regnetx32(1, 10);
        let blocks = costs(&network, &network.summary(1, 96, 96).unwrap());
        let names: Vec<_> = blocks.iter().map(|block| &block.name[..]).collect();
        assert_eq!(names[..3], ["stem", "s1.b1", "s1.b2"]);
        assert_eq!((names.len(), names[11]), (12, "head"));
        // 288 + 32 of the convolution and 32 + 32 of BatchNorm; 800 + 10 of the classifier, padded to 816.
        assert_eq!((blocks[0].elements, blocks[11].elements), (384, 816));
        // Only the classifier's bias is no multiple of 16.
        assert_eq!(blocks.iter().map(|block| block.elements).sum::<u64>(), 179_290 + 6);
        let shares: f64 = blocks.iter().map(|block| block.backward_share).sum();
        assert!((shares - 1.0).abs() < 1e-12);
    }

    /// Share of gradients complete after these shares of backward's time, as bench/results/2026-11-24-bucket-cap.md has
    /// them measured, beside this model: percent.
    #[test]
    fn gradients_complete_about_when_they_were_measured_to() {
        let networks = [
            ("regnetx_400mf", [0, 35, 82, 98, 99]),
            ("regnetx_1_6gf", [49, 63, 91, 99, 99]),
            ("regnetx_8gf", [31, 49, 77, 97, 99]),
        ];
        let off = networks.map(|(name, measured)| {
            let network = zoo::find(name).unwrap().0.network(Rounding::Pycls, 1000).unwrap();
            let blocks = costs(&network, &network.summary(1, 224, 224).unwrap());
            let modelled = [0.1, 0.25, 0.5, 0.75, 0.9].map(|share| complete_after(&blocks, share));
            std::array::from_fn::<i64, 5, _>(|at| modelled[at] - measured[at])
        });
        assert_eq!(off, [[28, 20, 10, 1, 1], [-19, -4, -5, -1, 1], [-5, -4, -5, -2, 0]]);
    }

    fn complete_after(blocks: &[BlockCost], share: f64) -> i64 {
        let total: u64 = blocks.iter().map(|block| block.elements).sum();
        let (mut at, mut complete) = (0.0, 0);
        for block in blocks.iter().rev() {
            at += block.backward_share;
            complete += if at <= share { block.elements } else { 0 };
        }
        (100.0 * complete as f64 / total as f64).round_ties_even() as i64
    }
}
