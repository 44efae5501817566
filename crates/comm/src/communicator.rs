//! The interface to collectives on host memory, implemented by MPI and by a single rank.

use tch::Tensor;

/// The position of this rank among all ranks and among those on its host, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
    pub(crate) local_rank: usize,
    pub(crate) local_size: usize,
}

/// Blocking collectives, which end the process if they fail. [`World`](crate::World) documents each of them.
pub(crate) trait Communicator {
    fn place(&self) -> Place;
    /// Returns "single", or the name and version of the MPI library.
    fn description(&self) -> String;

    fn all_reduce(&self, flat: &mut Tensor);
    fn all_reduce_counts(&self, counts: &mut [i64]);
    fn broadcast(&self, bytes: &mut [u8]);
    fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>>;
    fn barrier(&self);
}
