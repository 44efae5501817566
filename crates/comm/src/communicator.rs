//! What carries collectives on host memory: MPI, or nothing where one rank is alone.

use tch::Tensor;

/// This rank among all ranks, and among those on its host; ranks are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
    pub(crate) local_rank: usize,
    pub(crate) local_size: usize,
}

/// Blocking collectives, which end the process where they fail. [`World`](crate::World) says what each of them does.
pub(crate) trait Communicator {
    fn place(&self) -> Place;
    /// "single", or the MPI's name and version.
    fn description(&self) -> String;

    fn all_reduce(&self, flat: &mut Tensor);
    fn all_reduce_counts(&self, counts: &mut [i64]);
    fn broadcast(&self, bytes: &mut [u8]);
    fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>>;
    fn barrier(&self);
}
