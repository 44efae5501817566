//! A world whose device memory goes through NCCL; everything on the host goes through the world that started it.

use std::sync::Arc;

use tch::Tensor;

use crate::nccl_lane::NcclLane;
use crate::{CommError, Communicator};

/// NCCL beside the world that it was started from (MPI, or one rank alone).
pub struct NcclWorld<'a> {
    host: &'a dyn Communicator,
    lane: Arc<NcclLane>,
    description: String,
}

impl<'a> NcclWorld<'a> {
    /// Joined as `lane`; `library` is what the log calls it.
    pub fn new(host: &'a dyn Communicator, lane: Arc<NcclLane>, library: &nccl::Nccl) -> Self {
        let (version, path) = (library.version(), library.path().display());
        let description = format!("NCCL {version} ({path}), started by {}", host.description());
        Self { host, lane, description }
    }
}

impl Communicator for NcclWorld<'_> {
    fn rank(&self) -> usize {
        self.host.rank()
    }
    fn world_size(&self) -> usize {
        self.host.world_size()
    }
    fn local_rank(&self) -> usize {
        self.host.local_rank()
    }
    fn local_size(&self) -> usize {
        self.host.local_size()
    }
    fn description(&self) -> String {
        self.description.clone()
    }
    fn set_step(&self, step: u64) {
        self.host.set_step(step);
    }
    fn lane(&self) -> Option<&Arc<NcclLane>> {
        Some(&self.lane)
    }

    fn all_reduce(&self, flat: &mut Tensor) -> Result<(), CommError> {
        self.all_reduce_together(&mut [flat])
    }
    fn all_reduce_together(&self, flats: &mut [&mut Tensor]) -> Result<(), CommError> {
        if flats.iter().any(|flat| flat.device() != self.lane.device()) {
            return self.host.all_reduce_together(flats);
        }
        let mut flats: Vec<_> =
            flats.iter_mut().filter(|flat| flat.numel() > 0).map(|flat| &mut **flat).collect();
        if flats.is_empty() {
            return Ok(());
        }
        // SAFETY: they are borrowed until the lane has finished.
        unsafe { self.lane.start_sums(&mut flats)? };
        self.lane.finish()
    }
    fn all_reduce_counts(&self, counts: &mut [i64]) {
        self.host.all_reduce_counts(counts);
    }
    fn broadcast(&self, bytes: &mut [u8]) {
        self.host.broadcast(bytes);
    }
    fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.host.all_gather(bytes)
    }
    fn barrier(&self) {
        self.host.barrier();
    }
}
