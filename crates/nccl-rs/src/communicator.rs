//! The communicator of one rank.

use std::ffi::{c_int, c_void};
use std::time::{Duration, Instant};

use crate::Nccl;
use crate::error::Error;
use crate::ffi::{Comm, Config};
use crate::types::{DataType, ReduceOp, Status, Stream};

/// Interval for polling an operation in progress.
const POLL: Duration = Duration::from_micros(50);
/// Time for which an operation is polled without sleeping.
const SPIN: Duration = Duration::from_micros(500);
/// Longest time for launching a collective before the next one, including NCCL's connection setup.
const LAUNCH: Duration = Duration::from_secs(60);

/// A non-blocking communicator of one rank. One thread at a time may use it. Dropping it aborts it.
#[derive(Debug)]
pub struct Communicator {
    nccl: Nccl,
    /// Null after it was destroyed.
    raw: Comm,
    rank: usize,
    world_size: usize,
    /// Number of collectives called.
    sequence: u64,
    last_call: &'static str,
    in_progress: bool,
}

// SAFETY: NCCL allows one thread at a time, not necessarily always the same one.
unsafe impl Send for Communicator {}

impl Communicator {
    pub(crate) fn new(nccl: Nccl, raw: Comm, (rank, world_size): (usize, usize), status: Status) -> Self {
        let in_progress = status == Status::IN_PROGRESS;
        Self { nccl, raw, rank, world_size, sequence: 0, last_call: "ncclCommInitRankConfig", in_progress }
    }

    /// Returns this rank, counted from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Returns the number of ranks.
    pub fn world_size(&self) -> usize {
        self.world_size
    }

    /// Returns the number of collectives called, which is the sequence number of the last one, counted from 1.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns whether the last call is still in progress on the host. On the device a collective is complete only when its
    /// stream has passed it.
    ///
    /// # Errors
    /// The communicator's asynchronous error: a peer is gone, the network failed, or a call in progress failed.
    pub fn in_progress(&mut self) -> Result<bool, Error> {
        let mut status: c_int = 0;
        // SAFETY: the communicator lives; writes one integer.
        let call = unsafe { (self.nccl.functions().comm_get_async_error)(self.raw, &mut status) };
        if Status(call) != Status::SUCCESS {
            return Err(self.error("ncclCommGetAsyncError", Status(call)));
        }
        self.in_progress = Status(status) == Status::IN_PROGRESS;
        match Status(status) {
            Status::SUCCESS | Status::IN_PROGRESS => Ok(self.in_progress),
            status => Err(self.error(self.last_call, status)),
        }
    }

    /// Waits until nothing is in progress.
    ///
    /// # Errors
    /// As [`Communicator::in_progress`], and [`Error::Deadline`].
    pub fn settle(&mut self, deadline: Instant) -> Result<(), Error> {
        let begin = Instant::now();
        while self.in_progress()? {
            let now = Instant::now();
            if now >= deadline {
                let Self { last_call: call, rank, sequence, .. } = *self;
                return Err(Error::Deadline { call, rank, sequence });
            }
            // A launch takes microseconds; anything longer is waiting for other ranks.
            if now - begin < SPIN { std::thread::yield_now() } else { std::thread::sleep(POLL) }
        }
        Ok(())
    }

    /// Reduces `count` elements over all ranks; `send` and `receive` may be equal.
    ///
    /// # Errors
    /// An error of NCCL, from this call or the previous collective.
    ///
    /// # Safety
    /// Both pointers must refer to device memory of `count` elements of `data_type`, which nothing else uses until `stream` has
    /// passed the collective. `stream` must belong to the communicator's device.
    pub unsafe fn all_reduce(
        &mut self,
        send: *const c_void,
        receive: *mut c_void,
        count: usize,
        data_type: DataType,
        op: ReduceOp,
        stream: Stream,
    ) -> Result<(), Error> {
        self.collective("ncclAllReduce", |nccl, raw| {
            // SAFETY: as the caller says.
            unsafe { (nccl.functions().all_reduce)(send, receive, count, data_type.0, op.0, raw, stream.0) }
        })
    }

    /// Copies `count` elements from rank `root` to all ranks.
    ///
    /// # Errors
    /// As [`Communicator::all_reduce`].
    ///
    /// # Safety
    /// As [`Communicator::all_reduce`].
    pub unsafe fn broadcast(
        &mut self,
        send: *const c_void,
        receive: *mut c_void,
        count: usize,
        data_type: DataType,
        root: usize,
        stream: Stream,
    ) -> Result<(), Error> {
        let root = root as c_int;
        self.collective("ncclBroadcast", |nccl, raw| {
            // SAFETY: as the caller says.
            unsafe { (nccl.functions().broadcast)(send, receive, count, data_type.0, root, raw, stream.0) }
        })
    }

    /// Reduces `count` elements for each rank over all ranks and gives each rank its part.
    ///
    /// # Errors
    /// As [`Communicator::all_reduce`].
    ///
    /// # Safety
    /// As [`Communicator::all_reduce`]; `send` must have `count` elements for every rank.
    pub unsafe fn reduce_scatter(
        &mut self,
        send: *const c_void,
        receive: *mut c_void,
        count: usize,
        data_type: DataType,
        op: ReduceOp,
        stream: Stream,
    ) -> Result<(), Error> {
        self.collective("ncclReduceScatter", |nccl, raw| {
            // SAFETY: as the caller says.
            unsafe {
                (nccl.functions().reduce_scatter)(send, receive, count, data_type.0, op.0, raw, stream.0)
            }
        })
    }

    /// Gathers `count` elements from every rank on all ranks, in rank order.
    ///
    /// # Errors
    /// As [`Communicator::all_reduce`].
    ///
    /// # Safety
    /// As [`Communicator::all_reduce`]; `receive` must have space for `count` elements of every rank.
    pub unsafe fn all_gather(
        &mut self,
        send: *const c_void,
        receive: *mut c_void,
        count: usize,
        data_type: DataType,
        stream: Stream,
    ) -> Result<(), Error> {
        self.collective("ncclAllGather", |nccl, raw| {
            // SAFETY: as the caller says.
            unsafe { (nccl.functions().all_gather)(send, receive, count, data_type.0, raw, stream.0) }
        })
    }

    /// Creates a communicator for the ranks with the same `color`, ordered by `key`. A rank with `None` participates in the
    /// call and gets no communicator.
    ///
    /// # Errors
    /// An error of NCCL, or [`Error::Deadline`].
    pub fn split(
        &mut self,
        color: Option<u32>,
        key: usize,
        deadline: Instant,
    ) -> Result<Option<Self>, Error> {
        /// `NCCL_SPLIT_NOCOLOR`.
        const NO_COLOR: c_int = -1;
        self.settle(deadline)?;
        let mut config = Config::non_blocking();
        // NCCL's thread writes here when the split completes. If it does not settle, this memory is leaked to NCCL.
        let raw: *mut Comm = Box::into_raw(Box::new(std::ptr::null_mut()));
        let color = color.map_or(NO_COLOR, |color| color as c_int);
        // SAFETY: the communicator lives; the configuration is copied, and `raw` lives until the split has completed.
        let status =
            unsafe { (self.nccl.functions().comm_split)(self.raw, color, key as c_int, raw, &mut config) };
        self.record("ncclCommSplit", Status(status))?;
        self.settle(deadline)?;
        // SAFETY: came from `Box::into_raw`, and NCCL no longer writes there.
        let raw = *unsafe { Box::from_raw(raw) };
        if raw.is_null() {
            return Ok(None);
        }
        let mut part = Self::new(self.nccl.clone(), raw, (0, 0), Status::IN_PROGRESS);
        part.settle(deadline)?;
        part.rank = part.query("ncclCommUserRank", self.nccl.functions().comm_user_rank)?;
        part.world_size = part.query("ncclCommCount", self.nccl.functions().comm_count)?;
        Ok(Some(part))
    }

    /// Closes the communicator after all pending calls. A collective: all ranks must call it.
    ///
    /// # Errors
    /// An error of NCCL, or [`Error::Deadline`], after which the communicator has been aborted.
    pub fn finalize(mut self, deadline: Instant) -> Result<(), Error> {
        self.settle(deadline)?;
        // SAFETY: the communicator lives.
        let status = unsafe { (self.nccl.functions().comm_finalize)(self.raw) };
        self.record("ncclCommFinalize", Status(status))?;
        self.settle(deadline)?;
        let raw = std::mem::replace(&mut self.raw, std::ptr::null_mut());
        // SAFETY: finalized and no longer used.
        let status = Status(unsafe { (self.nccl.functions().comm_destroy)(raw) });
        match status {
            Status::SUCCESS | Status::IN_PROGRESS => Ok(()),
            status => Err(self.error("ncclCommDestroy", status)),
        }
    }

    /// Aborts the communicator immediately, whatever its peers do. Collectives in progress are abandoned.
    pub fn abort(self) {
        drop(self);
    }

    /// Calls a function that writes one integer.
    fn query(
        &self,
        call: &'static str,
        function: unsafe extern "C" fn(Comm, *mut c_int) -> c_int,
    ) -> Result<usize, Error> {
        let mut number: c_int = 0;
        // SAFETY: the communicator lives; writes one integer.
        let status = Status(unsafe { function(self.raw, &mut number) });
        if status == Status::SUCCESS { Ok(number as usize) } else { Err(self.error(call, status)) }
    }

    /// Calls a collective. Waits for the previous call first, since NCCL rejects a call while another one is in progress.
    fn collective(
        &mut self,
        call: &'static str,
        function: impl FnOnce(&Nccl, Comm) -> c_int,
    ) -> Result<(), Error> {
        if self.in_progress {
            self.settle(Instant::now() + LAUNCH)?;
        }
        self.sequence += 1;
        let status = Status(function(&self.nccl, self.raw));
        self.record(call, status)
    }

    fn record(&mut self, call: &'static str, status: Status) -> Result<(), Error> {
        self.last_call = call;
        self.in_progress = status == Status::IN_PROGRESS;
        match status {
            Status::SUCCESS | Status::IN_PROGRESS => Ok(()),
            status => Err(self.error(call, status)),
        }
    }

    fn error(&self, call: &'static str, status: Status) -> Error {
        self.nccl.error(call, status, self.raw, Some(self.rank), self.sequence)
    }
}

impl Drop for Communicator {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: the communicator lives, is non-blocking, and no other thread is inside it.
            unsafe { (self.nccl.functions().comm_abort)(self.raw) };
        }
    }
}
