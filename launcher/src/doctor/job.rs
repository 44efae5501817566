//! Requirements of the job, from its recipe, its hosts and the allocation.

use regatta_anynet::Elements;
use regatta_settings::Recipe;

use crate::run::hosts::Host;

/// Number of ranks on the fullest host. Named hosts are filled in order; nodes of an allocation get equal numbers.
pub(super) fn most_on_a_host(hosts: &[Host], nodes: Option<usize>, ranks: usize) -> usize {
    let evenly = || ranks.div_ceil(nodes.unwrap_or(1).max(1));
    let (mut left, mut most) = (ranks, 0);
    for host in hosts {
        most = most.max(host.slots.min(left));
        left = left.saturating_sub(host.slots);
    }
    if hosts.is_empty() { evenly() } else { most }
}

/// Bytes of all checkpoints on disk: those kept, the best one, and the one being written.
pub(super) fn checkpoints_bytes(recipe: &Recipe) -> u64 {
    let side = i64::from(recipe.data.resolution_px);
    let summary = recipe.network().summary(1, side, side);
    let parameters = summary.map_or(0, |summary| summary.params);
    // The type of activations does not matter: a checkpoint holds none.
    let Elements { weight_bytes, optimizer_states, .. } = recipe.elements(false);
    let copies = 1 + optimizer_states + u64::from(recipe.train.keeps_average());
    parameters * weight_bytes * copies * (recipe.checkpoint.keep as u64 + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_filled_in_order_and_nodes_evenly() {
        let hosts = |slots: &[usize]| -> Vec<Host> {
            slots.iter().map(|&slots| Host { name: "h".into(), slots }).collect()
        };
        for (slots, nodes, ranks, expected) in [
            (&[][..], None, 3, 3),
            (&[][..], Some(4), 30, 8),
            (&[2, 8][..], None, 10, 8),
            (&[2, 8][..], None, 5, 3),
            (&[4, 1][..], Some(9), 3, 3),
        ] {
            assert_eq!(most_on_a_host(&hosts(slots), nodes, ranks), expected, "{slots:?} {nodes:?} {ranks}");
        }
    }
}
