//! Ranks make sure that they start from the same recipe and the same weights.

use tch::Tensor;

use crate::{CommError, Communicator, FlatBuffer};

/// Compares the hash of the resolved recipe with rank 0's.
pub fn prove_same_recipe(world: &dyn Communicator, resolved: &str) -> Result<(), CommError> {
    let hashes = world.all_gather(blake3::hash(resolved.as_bytes()).as_bytes());
    let ranks = unlike_rank_0(&hashes);
    let hash = hashes[0][..4].iter().map(|byte| format!("{byte:02x}")).collect();
    if ranks.is_empty() { Ok(()) } else { Err(CommError::RecipesDiffer { ranks, hash }) }
}

/// Gives every rank the buffer of rank 0, then proves by hash that all hold the same bytes.
pub fn broadcast_and_prove_equal(
    world: &dyn Communicator,
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
pub fn first_failed(world: &dyn Communicator, failed_here: bool) -> Option<usize> {
    world.all_gather(&[u8::from(failed_here)]).iter().position(|flag| flag == &[1])
}

fn unlike_rank_0(hashes: &[Vec<u8>]) -> Vec<usize> {
    (0..hashes.len()).filter(|&rank| hashes[rank] != hashes[0]).collect()
}

/// Gives every rank the text of rank 0.
pub fn broadcast_text(world: &dyn Communicator, text: &str) -> String {
    let mut length = (text.len() as u64).to_le_bytes();
    world.broadcast(&mut length);
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(u64::from_le_bytes(length) as usize, 0);
    world.broadcast(&mut bytes);
    String::from_utf8(bytes).expect("rank 0 sent text")
}
