//! The communicator of a single rank: every collective is the identity, and MPI is not initialized.

use tch::Tensor;

use crate::communicator::{Communicator, Place};

/// The communicator of a single rank.
pub(crate) struct Single;

impl Communicator for Single {
    fn place(&self) -> Place {
        Place { rank: 0, world_size: 1, local_rank: 0, local_size: 1 }
    }
    fn description(&self) -> String {
        "single".into()
    }
    fn all_reduce(&self, _flat: &mut Tensor) {}
    fn all_reduce_counts(&self, _counts: &mut [i64]) {}
    fn broadcast(&self, _bytes: &mut [u8]) {}
    fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        vec![bytes.to_vec()]
    }
    fn barrier(&self) {}
}
