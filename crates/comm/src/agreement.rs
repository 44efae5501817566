//! Ranks make sure that they start from the same recipe and the same weights.

use tch::Tensor;

use crate::{CommError, FlatBuffer, World};

/// Compares the hash of the resolved recipe with rank 0's.
pub fn prove_same_recipe(world: &World, resolved: &str) -> Result<(), CommError> {
    let hashes = world.all_gather(blake3::hash(resolved.as_bytes()).as_bytes());
    let ranks = unlike_rank_0(&hashes);
    let hash = hashes[0][..4].iter().map(|byte| format!("{byte:02x}")).collect();
    if ranks.is_empty() { Ok(()) } else { Err(CommError::RecipesDiffer { ranks, hash }) }
}

/// Gives every rank the buffer of rank 0, then proves by hash that all hold the same bytes.
pub fn broadcast_and_prove_equal(
    world: &World,
    what: &'static str,
    buffer: &mut FlatBuffer,
) -> Result<(), CommError> {
    if world.world_size() == 1 {
        return Ok(());
    }
    let mut bytes = buffer.to_bytes();
    world.broadcast(&mut bytes);
    let source = Tensor::from_data_size(&bytes, &buffer.flat.size(), buffer.flat.kind());
    tch::no_grad(|| buffer.flat.copy_(&source));
    let hashes = world.all_gather(blake3::hash(&buffer.to_bytes()).as_bytes());
    let ranks = unlike_rank_0(&hashes);
    if ranks.is_empty() { Ok(()) } else { Err(CommError::CopiesDiffer { what, ranks }) }
}

/// The first rank on which something failed, the same answer on all ranks.
pub fn first_failed(world: &World, failed_here: bool) -> Option<usize> {
    world.all_gather(&[u8::from(failed_here)]).iter().position(|flag| flag == &[1])
}

fn unlike_rank_0(hashes: &[Vec<u8>]) -> Vec<usize> {
    (0..hashes.len()).filter(|&rank| hashes[rank] != hashes[0]).collect()
}
