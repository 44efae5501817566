//! Each block's share of the backward time, estimated from the network's description.

use regatta_anynet::{LayerRow, Summary};

/// Number of multiply-adds that take as long as writing one element of a layer's output. The time of backward is that of the
/// convolutions (proportional to their multiply-adds) and of layers limited by memory bandwidth. Fitted to backward on two CPU
/// cores. On a GPU it is some hundreds: the early blocks then take a larger part of the time, and buckets are complete sooner.
const ELEMENT_COST: f64 = 30.0;

/// Each block's share of backward's time, in forward order: the stem, the body's blocks, the head.
pub(crate) fn backward_shares(summary: &Summary) -> Vec<f64> {
    let work = |rows: &[LayerRow]| rows.iter().map(work).sum::<f64>();
    let of_block = summary.rows.chunk_by(|a, b| block_name(&a.name) == block_name(&b.name));
    let total = work(&summary.rows);
    of_block.map(|rows| work(rows) / total).collect()
}

/// `s1.b1` of `s1.b1.f.a_bn`, `stem` of `stem.conv`.
fn block_name(layer: &str) -> &str {
    let is_dot = |&(_, character): &(usize, char)| character == '.';
    let outside_body = layer.starts_with("stem.") || layer.starts_with("head.");
    let end = layer.char_indices().filter(is_dot).nth(usize::from(!outside_body));
    end.map_or(layer, |(end, _)| &layer[..end])
}

/// Cost of a layer in multiply-adds, including those equivalent to its memory traffic.
fn work(row: &LayerRow) -> f64 {
    row.flops as f64 + ELEMENT_COST * row.elements_of_image() as f64
}

#[cfg(test)]
mod tests {
    use regatta_anynet::{Parameter, Rounding, regnetx32, zoo};

    use super::*;

    #[test]
    fn every_block_of_parameters_has_its_share() {
        let network = regnetx32(1, 10);
        let shares = backward_shares(&network.summary(1, 96, 96).unwrap());
        assert_eq!(shares.len(), network.parameters().last().unwrap().block + 1);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    /// Percent of the gradients that are complete after a tenth, a quarter, ... of backward's time: the model's deviations from the
    /// measurements in bench/results/2026-11-24-bucket-cap.md.
    #[test]
    fn gradients_complete_about_when_they_were_measured_to() {
        let networks = [
            ("regnetx_400mf", [0, 35, 82, 98, 99]),
            ("regnetx_1_6gf", [49, 63, 91, 99, 99]),
            ("regnetx_8gf", [31, 49, 77, 97, 99]),
        ];
        let off = networks.map(|(name, measured)| {
            let network = zoo::find(name).unwrap().0.network(Rounding::Pycls, 1000).unwrap();
            let shares = backward_shares(&network.summary(1, 224, 224).unwrap());
            let complete = |share| complete_after(&network.parameters(), &shares, share);
            let modelled = [0.1, 0.25, 0.5, 0.75, 0.9].map(complete);
            std::array::from_fn::<i64, 5, _>(|at| modelled[at] - measured[at])
        });
        assert_eq!(off, [[28, 20, 10, 1, 1], [-19, -4, -5, -1, 1], [-5, -4, -5, -2, 0]]);
    }

    fn complete_after(parameters: &[Parameter], backward_shares: &[f64], share: f64) -> i64 {
        let is_complete = |block: usize| backward_shares[block..].iter().sum::<f64>() <= share;
        let of = |wanted: &dyn Fn(usize) -> bool| -> i64 {
            parameters.iter().filter(|it| wanted(it.block)).map(Parameter::elements).sum()
        };
        (100.0 * of(&is_complete) as f64 / of(&|_| true) as f64).round_ties_even() as i64
    }
}
