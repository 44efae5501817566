//! The ranks of a job as one of them sees them, and all that it holds to work with the others: MPI, NCCL's lane, the ledger
//! and the watchdog.

use std::cell::OnceCell;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

use nccl::{Nccl, UniqueId};
use regatta_ledger::{Collective, Element, Ledger, Operation};
use regatta_run_folder::RunFolder;
use tch::{Device, Tensor};

use crate::communicator::{Communicator, Place};
use crate::nccl_lane::{NcclLane, element};
use crate::single::Single;
use crate::start::host;
use crate::watchdog::Watchdog;
use regatta_settings::Backend;

use crate::{CommError, Launch, OnFailure, exit_after};

/// What the end of NCCL's communicator may take.
const NCCL_ENDS: Duration = Duration::from_secs(20);
/// What the end of the watchdog and of MPI may take.
const MPI_ENDS: Duration = Duration::from_secs(60);

/// A world of ranks, used from the thread that joined it. Every rank issues the same collectives in the same order; none is
/// retried. They block, and one that fails ends the job, whether it comes back as an error or not.
///
/// Only [`World::finish`] runs MPI_Finalize, which waits for the other ranks. A world that is dropped otherwise, by an error
/// on its way up, leaves MPI, the watchdog and the ledger as they are.
pub struct World {
    place: Place,
    /// What a collective may take.
    timeout: Duration,
    lane: OnceCell<Arc<NcclLane>>,
    ledger: Option<Arc<Ledger>>,
    watchdog: ManuallyDrop<Option<Watchdog>>,
    host: ManuallyDrop<Box<dyn Communicator>>,
}

impl World {
    /// Joins the world that the launcher made. Called once, from the main thread. Several ranks are watched, and so is one that
    /// is to use NCCL: collectives that take longer than `timeout` are a failure, which `on_failure` tells.
    ///
    /// # Errors
    /// When the ranks were not started as the backend needs it, MPI does not start, or the ledger cannot be made.
    pub fn join(
        backend: Backend,
        launch: &Launch,
        timeout: Duration,
        on_failure: OnFailure,
    ) -> Result<Self, CommError> {
        let mut world = Self::over(host(backend, launch)?, timeout);
        if world.world_size() > 1 || backend == Backend::Nccl {
            let (ledger, path) = Watchdog::ledger(world.rank(), world.world_size())?;
            world.ledger = Some(Arc::clone(&ledger));
            let watchdog = Watchdog::watch(&world, ledger, path, timeout, on_failure)?;
            world.watchdog = ManuallyDrop::new(Some(watchdog));
        }
        Ok(world)
    }

    /// One rank alone, which nobody watches.
    pub fn alone() -> Self {
        Self::over(Box::new(Single), Duration::MAX)
    }

    fn over(host: Box<dyn Communicator>, timeout: Duration) -> Self {
        Self {
            place: host.place(),
            timeout,
            lane: OnceCell::new(),
            ledger: None,
            watchdog: ManuallyDrop::new(None),
            host: ManuallyDrop::new(host),
        }
    }

    /// Meets the other ranks in the NCCL communicator of `id`, each with its own `device`, whose memory is summed there from now
    /// on; everything on the host stays with MPI. Every rank comes here.
    ///
    /// # Errors
    /// When NCCL fails, or the ranks do not meet in time.
    ///
    /// # Panics
    /// In a world that is not watched, or that has NCCL already.
    pub fn start_nccl(&self, nccl: &Nccl, id: &UniqueId, device: Device) -> Result<(), CommError> {
        let ledger = self.ledger.as_ref().expect("the world is watched");
        let lane = NcclLane::join(nccl, id, self, device, ledger, self.timeout)?;
        assert!(self.lane.set(lane).is_ok(), "NCCL is started once");
        Ok(())
    }

    /// From now on an asynchronous error of NCCL ends the job, and a failure aborts it. Comes when all ranks have started it:
    /// before, the error of the rank that failed to is the one to be told.
    pub fn watch_nccl(&self) {
        if let (Some(watchdog), Some(lane)) = (&*self.watchdog, self.lane.get()) {
            watchdog.watch_lane(lane);
        }
    }

    /// From now on the ledger is published to the run folder, for as long as `attempt` owns it.
    pub fn publish_to(&self, folder: &RunFolder, attempt: u64) {
        if let Some(watchdog) = &*self.watchdog {
            watchdog.publish_to(folder, attempt);
        }
    }

    /// Ends NCCL's communicator, if there is one, in agreement with the other ranks. Comes after everything that is summed.
    ///
    /// # Errors
    /// When NCCL fails or does not end in time.
    pub fn finish_nccl(&self) -> Result<(), CommError> {
        self.lane.get().map_or(Ok(()), |lane| lane.finalize(self.timeout.min(NCCL_ENDS)))
    }

    /// Leaves the other ranks, when all is done: NCCL ends, the ledger is removed and MPI is finalised. MPI_Finalize waits for
    /// mpirun, which may be stopped or hang: after a while the process ends with `code` from here.
    ///
    /// # Errors
    /// When NCCL does not end; MPI is then left as it is.
    pub fn finish(self, code: i32) -> Result<(), CommError> {
        self.finish_nccl()?;
        exit_after(self.timeout.min(MPI_ENDS), code);
        drop(ManuallyDrop::into_inner(self.watchdog));
        drop(ManuallyDrop::into_inner(self.host));
        Ok(())
    }

    /// This rank, from 0.
    pub fn rank(&self) -> usize {
        self.place.rank
    }
    /// Number of ranks.
    pub fn world_size(&self) -> usize {
        self.place.world_size
    }
    /// This rank among those on its host, from 0.
    pub fn local_rank(&self) -> usize {
        self.place.local_rank
    }
    /// Number of ranks on this host.
    pub fn local_size(&self) -> usize {
        self.place.local_size
    }
    /// What carries the collectives, for the log.
    pub fn description(&self) -> String {
        let host = self.host.description();
        self.lane.get().map_or(host.clone(), |lane| format!("{}, started by {host}", lane.description()))
    }
    /// The record of this rank's collectives, where they are watched.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_deref()
    }
    /// Sets the training step that the collectives from now on belong to, for those who look into a hang.
    pub fn set_step(&self, step: u64) {
        if let Some(ledger) = &self.ledger {
            ledger.set_step(step);
        }
    }

    /// Whether sums have somebody to wait for: other ranks, or NCCL, which may be asked for on one rank too.
    pub fn sums_over_ranks(&self) -> bool {
        self.world_size() > 1 || self.lane.get().is_some()
    }

    /// Where sums of device memory are started while backward runs, if there is NCCL.
    pub(crate) fn lane(&self) -> Option<&Arc<NcclLane>> {
        self.lane.get()
    }

    /// For a thread that has waited for the device: stays here after an abort, when what the device brought is nothing.
    pub fn hold_if_aborted(&self) {
        if let Some(lane) = self.lane.get() {
            lane.hold_if_aborted();
        }
    }

    /// Sums a dense one-dimensional tensor over all ranks, in place. The result is equal to the bit on all of them. On a
    /// GPU it is there for what the current stream does next; the host does not wait.
    pub fn all_reduce(&self, flat: &mut Tensor) -> Result<(), CommError> {
        self.all_reduce_together(&mut [flat])
    }
    /// As [`World::all_reduce`] of each of several tensors of one device, which NCCL starts together.
    pub fn all_reduce_together(&self, flats: &mut [&mut Tensor]) -> Result<(), CommError> {
        match self.lane.get() {
            Some(lane) if flats.iter().all(|flat| flat.device() == lane.device()) => lane.sum(flats),
            _ => {
                for flat in flats {
                    let (kind, numel) = (flat.kind(), flat.numel());
                    let bytes = numel * kind.elt_size_in_bytes();
                    self.record(Operation::AllReduce, element(kind), bytes, |host| host.all_reduce(flat));
                }
                Ok(())
            }
        }
    }
    /// Sums whole numbers over all ranks, exactly.
    pub fn all_reduce_counts(&self, counts: &mut [i64]) {
        let bytes = size_of_val(counts);
        self.record(Operation::AllReduceCounts, Element::I64, bytes, |host| host.all_reduce_counts(counts));
    }
    /// Gives every rank the bytes of rank 0; all ranks pass equally many.
    pub fn broadcast(&self, bytes: &mut [u8]) {
        self.record(Operation::Broadcast, Element::U8, bytes.len(), |host| host.broadcast(bytes));
    }
    /// Gathers equally many bytes from every rank, in rank order, on every rank.
    pub fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.record(Operation::AllGather, Element::U8, bytes.len(), |host| host.all_gather(bytes))
    }
    /// Returns when every rank has arrived.
    pub fn barrier(&self) {
        self.record(Operation::Barrier, Element::U8, 0, |host| host.barrier());
    }

    /// Enters a collective on the host into the ledger, and marks it when it is through.
    fn record<T>(
        &self,
        operation: Operation,
        element: Element,
        bytes: usize,
        body: impl FnOnce(&dyn Communicator) -> T,
    ) -> T {
        let Some(ledger) = &self.ledger else { return body(&**self.host) };
        let sequence = ledger.enter(Collective { operation, element, bytes: bytes as u64 });
        let result = body(&**self.host);
        ledger.complete(sequence);
        result
    }
}
