//! What ranks can do together. Every rank issues the same collectives in the same order; none is ever retried.

use std::sync::Arc;

use tch::Tensor;

use crate::CommError;
use crate::nccl_lane::NcclLane;

/// A world of ranks. Collectives are blocking; a failure of one ends the job, whether it comes back as an error or not.
pub trait Communicator {
    /// This rank, from 0.
    fn rank(&self) -> usize;
    /// Number of ranks.
    fn world_size(&self) -> usize;
    /// This rank among those on its host, from 0.
    fn local_rank(&self) -> usize;
    /// Number of ranks on this host.
    fn local_size(&self) -> usize;
    /// What carries the collectives, for the log: "single", or the MPI's name and version.
    fn description(&self) -> String;

    /// Says which training step the collectives from now on belong to, for those who look into a hang.
    fn set_step(&self, _step: u64) {}

    /// Where sums of device memory can be started while backward runs, if the backend can do that.
    fn lane(&self) -> Option<&Arc<NcclLane>> {
        None
    }

    /// Sums a dense one-dimensional tensor over all ranks, in place. The result is equal to the bit on all of them. On a
    /// GPU it is there for what the current stream does next; the host does not wait.
    fn all_reduce(&self, flat: &mut Tensor) -> Result<(), CommError>;
    /// As [`Communicator::all_reduce`] of each of several tensors of one device, started together where the backend can.
    fn all_reduce_together(&self, flats: &mut [&mut Tensor]) -> Result<(), CommError> {
        flats.iter_mut().try_for_each(|flat| self.all_reduce(flat))
    }
    /// Sums whole numbers over all ranks, exactly.
    fn all_reduce_counts(&self, counts: &mut [i64]);
    /// Gives every rank the bytes of rank 0; all ranks pass equally many.
    fn broadcast(&self, bytes: &mut [u8]);
    /// Gathers equally many bytes from every rank, in rank order, on every rank.
    fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>>;
    /// Returns when every rank has arrived.
    fn barrier(&self);
}
