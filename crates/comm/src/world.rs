//! The ranks of a job as one rank sees them, and everything that it needs to communicate: MPI, the NCCL lane, the ledger
//! and the watchdog.

use std::cell::OnceCell;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

use nccl::{Nccl, UniqueId};
use regatta_ledger::{Collective, Element, Ledger, Operation};
use regatta_run_folder::RunFolder;
use regatta_settings::Backend;
use tch::{Device, Tensor};

use crate::communicator::{Communicator, Place};
use crate::nccl_lane::{NcclLane, element};
use crate::single::Single;
use crate::start::host;
use crate::watchdog::Watchdog;
use crate::{CommError, Launch, OnFailure, exit_after};

/// Longest time for shutting down the NCCL communicator.
const NCCL_SHUTDOWN: Duration = Duration::from_secs(20);
/// Longest time for shutting down the watchdog and MPI.
const MPI_SHUTDOWN: Duration = Duration::from_secs(60);

/// The ranks of a job, used from the thread that joined them. All ranks must issue the same collectives in the same order.
/// Collectives block and are never retried; one that fails ends the job, whether it returns an error or not.
///
/// Only [`World::finish`] runs MPI_Finalize, which waits for the other ranks. A world that is dropped otherwise, while an
/// error propagates, leaves MPI, the watchdog and the ledger as they are.
pub struct World {
    place: Place,
    /// Longest time that a collective may take.
    timeout: Duration,
    lane: OnceCell<Arc<NcclLane>>,
    ledger: Option<Arc<Ledger>>,
    watchdog: ManuallyDrop<Option<Watchdog>>,
    host: ManuallyDrop<Box<dyn Communicator>>,
}

impl World {
    /// Joins the ranks that the launcher started. Must be called once, from the main thread. With several ranks or NCCL, a
    /// watchdog treats collectives that take longer than `timeout` as a failure, which it reports through `on_failure`.
    ///
    /// # Errors
    /// If the ranks were not started as the backend requires, MPI does not start, or the ledger cannot be created.
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

    /// Returns a world of one rank, without MPI and without a watchdog.
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

    /// Joins the NCCL communicator of `id` with this rank's `device`. From then on NCCL sums memory of this device, while
    /// collectives on host memory stay with MPI. A collective: all ranks must call it.
    ///
    /// # Errors
    /// If NCCL fails or the ranks do not all join in time.
    ///
    /// # Panics
    /// If the world has no watchdog, or NCCL was started before.
    pub fn start_nccl(&self, nccl: &Nccl, id: &UniqueId, device: Device) -> Result<(), CommError> {
        let ledger = self.ledger.as_ref().expect("the world is watched");
        let lane = NcclLane::join(nccl, id, self, device, ledger, self.timeout)?;
        assert!(self.lane.set(lane).is_ok(), "NCCL is started once");
        Ok(())
    }

    /// Makes the watchdog end the job on an asynchronous error of NCCL, and abort NCCL on any failure. Call it when all ranks
    /// have started NCCL: before that, the error of the rank that failed to start it is the one to report.
    pub fn watch_nccl(&self) {
        if let (Some(watchdog), Some(lane)) = (&*self.watchdog, self.lane.get()) {
            watchdog.watch_lane(lane);
        }
    }

    /// Starts publishing the ledger to the run folder, for as long as `attempt` owns the folder.
    pub fn publish_to(&self, folder: &RunFolder, attempt: u64) {
        if let Some(watchdog) = &*self.watchdog {
            watchdog.publish_to(folder, attempt);
        }
    }

    /// Closes the NCCL communicator, if there is one, together with the other ranks. Must follow the last sum.
    ///
    /// # Errors
    /// If NCCL fails or does not shut down in time.
    pub fn finish_nccl(&self) -> Result<(), CommError> {
        self.lane.get().map_or(Ok(()), |lane| lane.finalize(self.timeout.min(NCCL_SHUTDOWN)))
    }

    /// Shuts down communication at the end of a job: closes NCCL, removes the ledger and finalizes MPI. MPI_Finalize waits for
    /// mpirun, which may be stopped or hang; the process then exits with `code` after a time limit.
    ///
    /// # Errors
    /// If NCCL does not shut down; MPI is then left as it is.
    pub fn finish(self, code: i32) -> Result<(), CommError> {
        self.finish_nccl()?;
        exit_after(self.timeout.min(MPI_SHUTDOWN), code);
        drop(ManuallyDrop::into_inner(self.watchdog));
        drop(ManuallyDrop::into_inner(self.host));
        Ok(())
    }

    /// Returns this rank, counted from 0.
    pub fn rank(&self) -> usize {
        self.place.rank
    }
    /// Returns the number of ranks.
    pub fn world_size(&self) -> usize {
        self.place.world_size
    }
    /// Returns this rank's index among the ranks on its host, counted from 0.
    pub fn local_rank(&self) -> usize {
        self.place.local_rank
    }
    /// Returns the number of ranks on this host.
    pub fn local_size(&self) -> usize {
        self.place.local_size
    }
    /// Describes the libraries that carry the collectives, for the log.
    pub fn description(&self) -> String {
        let host = self.host.description();
        self.lane.get().map_or(host.clone(), |lane| format!("{}, started by {host}", lane.description()))
    }
    /// Returns the record of this rank's collectives, if there is a watchdog.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_deref()
    }
    /// Sets the training step that the ledger records for subsequent collectives.
    pub fn set_step(&self, step: u64) {
        if let Some(ledger) = &self.ledger {
            ledger.set_step(step);
        }
    }

    /// Returns whether sums involve communication: with other ranks, or with NCCL, which a single rank may use too.
    pub fn sums_over_ranks(&self) -> bool {
        self.world_size() > 1 || self.lane.get().is_some()
    }

    /// Returns the NCCL lane, which can start sums of device memory during the backward pass.
    pub(crate) fn lane(&self) -> Option<&Arc<NcclLane>> {
        self.lane.get()
    }

    /// Parks the calling thread forever if NCCL was aborted. Call it after waiting for the device: results from before an
    /// abort are invalid, and the watchdog is about to end the process.
    pub fn park_if_aborted(&self) {
        if let Some(lane) = self.lane.get() {
            lane.park_if_aborted();
        }
    }

    /// Sums a dense one-dimensional tensor over all ranks, in place. The result is bitwise equal on all ranks. On a GPU the
    /// sum is ordered before subsequent work of the current stream, and the host does not wait.
    ///
    /// # Errors
    /// If NCCL fails. A failure of MPI ends the process.
    pub fn all_reduce(&self, flat: &mut Tensor) -> Result<(), CommError> {
        self.all_reduce_together(&mut [flat])
    }
    /// Sums several tensors of one device, each as [`World::all_reduce`] does. NCCL starts them as one group.
    ///
    /// # Errors
    /// As [`World::all_reduce`].
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
    /// Sums integers over all ranks, exactly.
    pub fn all_reduce_counts(&self, counts: &mut [i64]) {
        let bytes = size_of_val(counts);
        self.record(Operation::AllReduceCounts, Element::I64, bytes, |host| host.all_reduce_counts(counts));
    }
    /// Overwrites the bytes on every rank with those of rank 0. All ranks must pass the same length.
    pub fn broadcast(&self, bytes: &mut [u8]) {
        self.record(Operation::Broadcast, Element::U8, bytes.len(), |host| host.broadcast(bytes));
    }
    /// Gathers the bytes of all ranks on every rank, in rank order. All ranks must pass the same length.
    pub fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.record(Operation::AllGather, Element::U8, bytes.len(), |host| host.all_gather(bytes))
    }
    /// Returns when every rank has arrived.
    pub fn barrier(&self) {
        self.record(Operation::Barrier, Element::U8, 0, |host| host.barrier());
    }

    /// Runs a collective on host memory and records its start and completion in the ledger.
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
