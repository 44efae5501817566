//! The world of one: every collective is the identity, and no MPI is initialised.

use tch::Tensor;

use crate::{CommError, Communicator};

/// One rank alone.
#[derive(Debug, Clone, Copy)]
pub struct Single;

impl Communicator for Single {
    fn rank(&self) -> usize {
        0
    }
    fn world_size(&self) -> usize {
        1
    }
    fn local_rank(&self) -> usize {
        0
    }
    fn local_size(&self) -> usize {
        1
    }
    fn description(&self) -> String {
        "single".into()
    }
    fn all_reduce(&self, _flat: &mut Tensor) -> Result<(), CommError> {
        Ok(())
    }
    fn all_reduce_counts(&self, _counts: &mut [i64]) {}
    fn broadcast(&self, _bytes: &mut [u8]) {}
    fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        vec![bytes.to_vec()]
    }
    fn barrier(&self) {}
}
