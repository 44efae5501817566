//! What ranks can do together. Every rank issues the same collectives in the same order; none is ever retried.

use tch::Tensor;

/// A world of ranks. Collectives are blocking and fatal on failure: a peer that is lost ends the job.
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

    /// Sums a dense one-dimensional tensor over all ranks, in place. The result is equal to the bit on all of them.
    fn all_reduce(&self, flat: &mut Tensor);
    /// Sums whole numbers over all ranks, exactly.
    fn all_reduce_counts(&self, counts: &mut [i64]);
    /// Gives every rank the bytes of rank 0; all ranks pass equally many.
    fn broadcast(&self, bytes: &mut [u8]);
    /// Gathers equally many bytes from every rank, in rank order, on every rank.
    fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>>;
    /// Returns when every rank has arrived.
    fn barrier(&self);
}
