//! Collective checks that all ranks have the same recipe and the same weights, and that none has failed.

use tch::Tensor;

use crate::{CommError, FlatBuffer, World};

/// Checks that all ranks resolved the same recipe, by comparing hashes with rank 0. A collective.
///
/// # Errors
/// [`CommError::RecipesDiffer`], on all ranks.
pub fn verify_same_recipe(world: &World, resolved: &str) -> Result<(), CommError> {
    let hashes = world.all_gather(blake3::hash(resolved.as_bytes()).as_bytes());
    let ranks = differing_from_rank_0(&hashes);
    let hash = hashes[0][..4].iter().map(|byte| format!("{byte:02x}")).collect();
    if ranks.is_empty() { Ok(()) } else { Err(CommError::RecipesDiffer { ranks, hash }) }
}

/// Copies the buffer of rank 0 to every rank, then verifies by hash that all ranks hold the same bytes. A collective.
///
/// # Errors
/// [`CommError::CopiesDiffer`], on all ranks.
pub fn broadcast_and_verify(
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
    let ranks = differing_from_rank_0(&hashes);
    if ranks.is_empty() { Ok(()) } else { Err(CommError::CopiesDiffer { what, ranks }) }
}

/// Returns the first rank that passed `true`, on all ranks. A collective.
pub fn first_failed(world: &World, failed_here: bool) -> Option<usize> {
    world.all_gather(&[u8::from(failed_here)]).iter().position(|flag| flag == &[1])
}

fn differing_from_rank_0(hashes: &[Vec<u8>]) -> Vec<usize> {
    (0..hashes.len()).filter(|&rank| hashes[rank] != hashes[0]).collect()
}
