//! NCCL's collectives of one rank, on a stream of their own, one after the other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nccl::{DataType, Nccl, ReduceOp, UniqueId};
use regatta_ledger::{Collective, Element, Ledger, Operation};
use regatta_torch_ext::{Event, Stream, set_device};
use tch::{Device, Kind, Tensor};

use crate::{CommError, World};

/// Between two looks at whether host memory is reduced.
const POLL: Duration = Duration::from_micros(50);
/// What the launch of a collective may take longer than the watchdog's time-out: the first one connects to peers and waits
/// for the slowest of them, and the watchdog is to be the one that names it.
const AFTER_THE_WATCHDOG: Duration = Duration::from_secs(60);
/// How long an abort waits for a thread that is inside NCCL.
const ABORT: Duration = Duration::from_secs(2);

/// Where collectives of NCCL are started, from any thread; a mutex lets one at a time into NCCL. On a GPU nothing here makes
/// the host wait for the device.
#[derive(Debug)]
pub(crate) struct NcclLane {
    nccl: Nccl,
    device: Device,
    /// Of high priority, so that a bucket's kernels go in between those of backward. None where the test double reduces
    /// host memory.
    stream: Option<(Stream, nccl::Stream)>,
    ledger: Arc<Ledger>,
    state: Mutex<State>,
    /// What the launch of a collective may take.
    launch: Duration,
}

#[derive(Debug)]
struct State {
    /// None once it is finalised or aborted.
    communicator: Option<nccl::Communicator>,
    /// Started and not yet seen to be done: numbers in the ledger, and the point in the stream after them.
    in_flight: VecDeque<(Vec<u64>, Option<Event>)>,
    /// The watchdog has aborted the communicator and is about to end the process.
    is_aborted: bool,
}

impl NcclLane {
    /// Meets the other ranks of `host` in the communicator of `id`; all of them come here, each with its own GPU.
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
        let launch = timeout.saturating_add(AFTER_THE_WATCHDOG);
        Ok(Arc::new(Self { nccl: nccl.clone(), device, stream, ledger: Arc::clone(ledger), state, launch }))
    }

    /// NCCL's version and file.
    pub(crate) fn description(&self) -> String {
        format!("NCCL {} ({})", self.nccl.version(), self.nccl.path().display())
    }

    /// The device whose memory is reduced.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// For a thread that works. After an abort it has nothing true to say any more: it stays here until the watchdog, which
    /// has told what happened, ends the process.
    fn lock_alive(&self) -> MutexGuard<'_, State> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_aborted {
            return state;
        }
        drop(state);
        loop {
            std::thread::park();
        }
    }

    /// Starts the sums of dense tensors over all ranks, each in place, after what this thread's current stream holds. Several
    /// are launched as one group: outside of one NCCL starts a thread for each.
    ///
    /// # Safety
    /// Their memory lives, and nothing else touches it until [`NcclLane::finish`].
    pub(crate) unsafe fn start_sums(&self, flats: &mut [&mut Tensor]) -> Result<(), CommError> {
        let mut state = self.lock_alive();
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
            // SAFETY: as the caller says; the stream is the device's.
            unsafe { communicator.all_reduce(pointer, pointer, count, kind, ReduceOp::SUM, stream) }
        };
        match flats {
            [flat] => start(flat)?,
            flats => self.nccl.group(|| flats.iter().try_for_each(|flat| start(flat)))?,
        }
        let done = match self.stream {
            None => None,
            Some((stream, _)) => {
                // Until the launch is through, the stream does not hold the collectives that the event is to follow.
                communicator.settle(Instant::now() + self.launch)?;
                Some(Event::after(stream, false)?)
            }
        };
        in_flight.push_back((sequences, done));
        Ok(())
    }

    /// Sums dense tensors over all ranks, each in place, for what this thread's current stream does next.
    pub(crate) fn sum(&self, flats: &mut [&mut Tensor]) -> Result<(), CommError> {
        let mut flats: Vec<_> =
            flats.iter_mut().filter(|flat| flat.numel() > 0).map(|flat| &mut **flat).collect();
        if flats.is_empty() {
            return Ok(());
        }
        // SAFETY: they are borrowed until the lane has finished.
        unsafe { self.start_sums(&mut flats)? };
        self.finish()
    }

    /// Makes this thread's current stream wait for all that was started. The host waits only where the double reduces host
    /// memory.
    pub(crate) fn finish(&self) -> Result<(), CommError> {
        match self.stream {
            Some(_) => {
                let state = self.lock_alive();
                match state.in_flight.back() {
                    Some((_, Some(done))) => Ok(Stream::current(self.device)?.wait(done)?),
                    _ => Ok(()),
                }
            }
            None => {
                while self.book_what_is_done(&mut self.lock_alive())? {
                    std::thread::sleep(POLL);
                }
                Ok(())
            }
        }
    }

    /// Marks in the ledger what is done, unless another thread is inside NCCL. An asynchronous error of the communicator
    /// comes to light here.
    pub(crate) fn poll(&self) -> Result<(), CommError> {
        match self.state.try_lock() {
            Ok(mut state) => {
                // Dropping an event asks CUDA which device is current, and would open the first GPU on this thread.
                set_device(self.device)?;
                self.book_what_is_done(&mut state).map(|_| ())
            }
            Err(_) => Ok(()),
        }
    }

    /// Whether something is still in flight.
    fn book_what_is_done(&self, state: &mut State) -> Result<bool, CommError> {
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

    /// For a thread that has waited for the device: after an abort, what the device brought is nothing.
    pub(crate) fn hold_if_aborted(&self) {
        drop(self.lock_alive());
    }

    /// Ends the communicator in agreement with the other ranks; one that does not end in time is aborted.
    pub(crate) fn finalize(&self, timeout: Duration) -> Result<(), CommError> {
        self.finish()?;
        let communicator = self.lock_alive().communicator.take();
        if let Some(communicator) = communicator {
            communicator.finalize(Instant::now() + timeout)?;
        }
        for (sequences, _) in self.lock_alive().in_flight.drain(..) {
            sequences.into_iter().for_each(|sequence| self.ledger.complete(sequence));
        }
        Ok(())
    }

    /// Ends the communicator at once, from any thread, unless another is inside NCCL and does not come back.
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

/// How the ledger names the element type of a tensor that is reduced.
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

/// How the sum of a dense tensor stands in the ledger.
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
