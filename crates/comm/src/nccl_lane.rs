//! The NCCL lane: the NCCL collectives of one rank, executed in order on a dedicated stream.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nccl::{DataType, Nccl, ReduceOp, UniqueId};
use regatta_ledger::{Collective, Element, Ledger, Operation};
use regatta_torch_ext::{Event, Stream, set_device};
use tch::{Device, Kind, Tensor};

use crate::{CommError, World};

/// Interval for polling reductions of host memory.
const POLL: Duration = Duration::from_micros(50);
/// Additional time for launching a collective, beyond the watchdog's timeout. The first collective connects to the other ranks
/// and waits for the slowest one, which the watchdog should be the one to report.
const LAUNCH_MARGIN: Duration = Duration::from_secs(60);
/// Longest time that an abort waits for a thread inside NCCL.
const ABORT: Duration = Duration::from_secs(2);

/// Starts NCCL collectives, from any thread; a mutex admits one thread at a time into NCCL. On a GPU the host never waits for
/// the device here.
#[derive(Debug)]
pub(crate) struct NcclLane {
    nccl: Nccl,
    device: Device,
    /// A high-priority stream, so that a bucket's kernels run between those of the backward pass. `None` if the test double
    /// reduces host memory.
    stream: Option<(Stream, nccl::Stream)>,
    ledger: Arc<Ledger>,
    state: Mutex<State>,
    /// Longest time for launching a collective.
    launch_timeout: Duration,
}

#[derive(Debug)]
struct State {
    /// `None` after it was finalized or aborted.
    communicator: Option<nccl::Communicator>,
    /// Started collectives not yet known to be complete: their sequence numbers in the ledger, and the event after them.
    in_flight: VecDeque<(Vec<u64>, Option<Event>)>,
    /// The watchdog has aborted the communicator and is about to end the process.
    is_aborted: bool,
}

impl NcclLane {
    /// Joins the communicator of `id`. A collective over the ranks of `host`, each with its own GPU.
    ///
    /// # Errors
    /// If NCCL or CUDA fails, or the ranks do not all join within `timeout`.
    pub(crate) fn join(
        nccl: &Nccl,
        id: &UniqueId,
        host: &World,
        device: Device,
        ledger: &Arc<Ledger>,
        timeout: Duration,
    ) -> Result<Arc<Self>, CommError> {
        set_device(device)?;
        let stream = match device {
            Device::Cpu => None,
            _ => {
                let stream = Stream::from_pool(device, true)?;
                Some((stream, nccl::Stream(stream.native_handle()?)))
            }
        };
        let mut communicator = nccl.init_rank(id, host.rank(), host.world_size())?;
        communicator.settle(Instant::now() + timeout)?;
        let state = Mutex::new(State {
            communicator: Some(communicator),
            in_flight: VecDeque::new(),
            is_aborted: false,
        });
        let launch_timeout = timeout.saturating_add(LAUNCH_MARGIN);
        let ledger = Arc::clone(ledger);
        Ok(Arc::new(Self { nccl: nccl.clone(), device, stream, ledger, state, launch_timeout }))
    }

    /// Returns the version of NCCL and its file.
    pub(crate) fn description(&self) -> String {
        format!("NCCL {} ({})", self.nccl.version(), self.nccl.path().display())
    }

    /// Returns the device whose memory is reduced.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// Locks the state, or parks the calling thread forever after an abort: its results are invalid then, and the watchdog,
    /// which has reported the failure, is about to end the process.
    fn lock_or_park(&self) -> MutexGuard<'_, State> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_aborted {
            return state;
        }
        drop(state);
        loop {
            std::thread::park();
        }
    }

    /// Starts summing dense tensors over all ranks, each in place, ordered after the work queued on this thread's current
    /// stream. Several tensors are launched as one group; without a group NCCL would start a thread for each.
    ///
    /// # Errors
    /// If NCCL or CUDA fails, or the lane is closed.
    ///
    /// # Safety
    /// The memory of the tensors must stay alive and untouched until [`NcclLane::finish`].
    pub(crate) unsafe fn start_sums(&self, flats: &mut [&mut Tensor]) -> Result<(), CommError> {
        let mut state = self.lock_or_park();
        let State { communicator: Some(communicator), in_flight, .. } = &mut *state else {
            return Err(CommError::LaneClosed);
        };
        let sequences: Vec<u64> = flats.iter().map(|flat| self.ledger.enter(sum_of(flat))).collect();
        let stream = match self.stream {
            None => nccl::Stream::DEFAULT,
            Some((stream, handle)) => {
                set_device(self.device)?;
                stream.wait(&Event::after(Stream::current(self.device)?, false)?)?;
                handle
            }
        };
        let mut start = |flat: &Tensor| {
            let (pointer, count, kind) = (flat.data_ptr(), flat.numel(), data_type(flat.kind()));
            // SAFETY: the caller's contract; the stream belongs to the device.
            unsafe { communicator.all_reduce(pointer, pointer, count, kind, ReduceOp::SUM, stream) }
        };
        match flats {
            [flat] => start(flat)?,
            flats => self.nccl.group(|| flats.iter().try_for_each(|flat| start(flat)))?,
        }
        let done = match self.stream {
            None => None,
            Some((stream, _)) => {
                // The event must follow the collectives, which are on the stream only after the launch has finished.
                communicator.settle(Instant::now() + self.launch_timeout)?;
                Some(Event::after(stream, false)?)
            }
        };
        in_flight.push_back((sequences, done));
        Ok(())
    }

    /// Sums dense tensors over all ranks, each in place, ordered before subsequent work of this thread's current stream.
    ///
    /// # Errors
    /// As [`NcclLane::start_sums`].
    pub(crate) fn sum(&self, flats: &mut [&mut Tensor]) -> Result<(), CommError> {
        let mut flats: Vec<_> =
            flats.iter_mut().filter(|flat| flat.numel() > 0).map(|flat| &mut **flat).collect();
        if flats.is_empty() {
            return Ok(());
        }
        // SAFETY: the tensors are borrowed until the lane has finished.
        unsafe { self.start_sums(&mut flats)? };
        self.finish()
    }

    /// Makes this thread's current stream wait for all started collectives. The host waits only if the test double reduces
    /// host memory.
    ///
    /// # Errors
    /// If NCCL or CUDA fails.
    pub(crate) fn finish(&self) -> Result<(), CommError> {
        match self.stream {
            Some(_) => {
                let state = self.lock_or_park();
                match state.in_flight.back() {
                    Some((_, Some(done))) => Ok(Stream::current(self.device)?.wait(done)?),
                    _ => Ok(()),
                }
            }
            None => {
                while self.record_completions(&mut self.lock_or_park())? {
                    std::thread::sleep(POLL);
                }
                Ok(())
            }
        }
    }

    /// Records completed collectives in the ledger, unless another thread is inside NCCL.
    ///
    /// # Errors
    /// An asynchronous error of the communicator.
    pub(crate) fn poll(&self) -> Result<(), CommError> {
        match self.state.try_lock() {
            Ok(mut state) => {
                // Dropping an event queries CUDA's current device, and would open the first GPU on this thread.
                set_device(self.device)?;
                self.record_completions(&mut state).map(|_| ())
            }
            Err(_) => Ok(()),
        }
    }

    /// Records completed collectives in the ledger, and returns whether any are still in flight.
    fn record_completions(&self, state: &mut State) -> Result<bool, CommError> {
        let State { communicator: Some(communicator), in_flight, .. } = state else { return Ok(false) };
        let busy = communicator.in_progress()?;
        while let Some((sequences, done)) = in_flight.front() {
            let is_done = match done {
                Some(done) => done.is_done()?,
                None => !busy,
            };
            if !is_done {
                break;
            }
            sequences.iter().for_each(|&sequence| self.ledger.complete(sequence));
            in_flight.pop_front();
        }
        Ok(!in_flight.is_empty())
    }

    /// Parks the calling thread forever after an abort, when results of the device are invalid.
    pub(crate) fn park_if_aborted(&self) {
        drop(self.lock_or_park());
    }

    /// Closes the communicator together with the other ranks, or aborts it at the timeout.
    ///
    /// # Errors
    /// If NCCL fails, or does not finish within `timeout`.
    pub(crate) fn finalize(&self, timeout: Duration) -> Result<(), CommError> {
        self.finish()?;
        let communicator = self.lock_or_park().communicator.take();
        if let Some(communicator) = communicator {
            communicator.finalize(Instant::now() + timeout)?;
        }
        for (sequences, _) in self.lock_or_park().in_flight.drain(..) {
            sequences.into_iter().for_each(|sequence| self.ledger.complete(sequence));
        }
        Ok(())
    }

    /// Aborts the communicator, from any thread. Gives up if another thread is inside NCCL and does not return.
    pub(crate) fn abort(&self) {
        let deadline = Instant::now() + ABORT;
        while Instant::now() < deadline {
            if let Ok(mut state) = self.state.try_lock() {
                state.is_aborted = true;
                if let Some(communicator) = state.communicator.take() {
                    communicator.abort();
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Returns the ledger's element type for a tensor that is reduced.
pub(crate) fn element(kind: Kind) -> Element {
    match kind {
        Kind::Float => Element::F32,
        Kind::Double => Element::F64,
        Kind::BFloat16 => Element::Bf16,
        Kind::Half => Element::F16,
        Kind::Int64 => Element::I64,
        other => panic!("no collective is of {other:?}"),
    }
}

/// Returns the ledger's description of the sum of a dense tensor.
fn sum_of(flat: &Tensor) -> Collective {
    assert!(flat.is_contiguous(), "NCCL reduces dense memory");
    let bytes = (flat.numel() * flat.kind().elt_size_in_bytes()) as u64;
    Collective { operation: Operation::AllReduce, element: element(flat.kind()), bytes }
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Float => DataType::FLOAT32,
        Kind::Double => DataType::FLOAT64,
        Kind::BFloat16 => DataType::BFLOAT16,
        Kind::Half => DataType::FLOAT16,
        Kind::Int64 => DataType::INT64,
        other => panic!("no all-reduce of {other:?}"),
    }
}
