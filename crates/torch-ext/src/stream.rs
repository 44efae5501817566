//! Streams of work of a device and the events between them, by libtorch's device-generic interface.

use std::ffi::{c_int, c_void};

use tch::{Device, Tensor};

use crate::ffi::{self, TorchError, check};

/// A queue of work of a device. On the CPU, where work is done when the call returns, it is a name for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    device: c_int,
    id: i64,
}

/// tch's numbering: -1 is the CPU.
fn number(device: Device) -> c_int {
    match device {
        Device::Cuda(index) => index as c_int,
        _ => -1,
    }
}

impl Stream {
    /// One of the pool's streams, which are reused in turn and never freed.
    pub fn from_pool(device: Device, high_priority: bool) -> Result<Self, TorchError> {
        let (device, mut id) = (number(device), 0);
        // SAFETY: writes one integer.
        check(unsafe { ffi::regatta_stream_from_pool(device, high_priority, &mut id) })?;
        Ok(Self { device, id })
    }

    /// The stream that this thread's work goes to.
    pub fn current(device: Device) -> Result<Self, TorchError> {
        let (device, mut id) = (number(device), 0);
        // SAFETY: writes one integer.
        check(unsafe { ffi::regatta_stream_current(device, &mut id) })?;
        Ok(Self { device, id })
    }

    /// Makes it the stream that this thread's work goes to from now on.
    pub fn make_current(self) -> Result<(), TorchError> {
        // SAFETY: changes thread-local state of libtorch and borrows nothing.
        check(unsafe { ffi::regatta_stream_make_current(self.device, self.id) })
    }

    /// The device's own handle, a `cudaStream_t`.
    pub fn native_handle(self) -> Result<*mut c_void, TorchError> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: writes one pointer.
        check(unsafe { ffi::regatta_stream_native_handle(self.device, self.id, &mut handle) })?;
        Ok(handle)
    }

    /// Makes work that is queued from now on wait for the event.
    pub fn wait(self, event: &Event) -> Result<(), TorchError> {
        // SAFETY: the event lives.
        check(unsafe { ffi::regatta_event_block(event.0, self.device, self.id) })
    }

    /// Waits on the host for all that is queued.
    pub fn synchronize(self) -> Result<(), TorchError> {
        // SAFETY: borrows nothing.
        check(unsafe { ffi::regatta_stream_synchronize(self.device, self.id) })
    }
}

/// A point in a stream.
#[derive(Debug)]
pub struct Event(*mut c_void);

// SAFETY: an event may be used from any thread; it is recorded by who has it exclusively.
unsafe impl Send for Event {}
// SAFETY: what takes `&self` only asks the device.
unsafe impl Sync for Event {}

impl Event {
    /// Marks the end of what is queued on `stream`, a GPU's, now; only a `timed` one can tell how much time has passed.
    pub fn after(stream: Stream, timed: bool) -> Result<Self, TorchError> {
        let mut event = std::ptr::null_mut();
        // SAFETY: writes one pointer, which `drop` frees.
        check(unsafe { ffi::regatta_event_new(stream.device, timed, &mut event) })?;
        let mut event = Self(event);
        event.record(stream)?;
        Ok(event)
    }

    /// Moves it to the end of what is queued on `stream`, one of the same device, now.
    pub fn record(&mut self, stream: Stream) -> Result<(), TorchError> {
        // SAFETY: the event lives and nobody else has it.
        check(unsafe { ffi::regatta_event_record(self.0, stream.device, stream.id) })
    }

    /// Whether the stream has passed it.
    pub fn is_done(&self) -> Result<bool, TorchError> {
        let mut done = false;
        // SAFETY: the event lives; writes one bool.
        check(unsafe { ffi::regatta_event_query(self.0, &mut done) })?;
        Ok(done)
    }

    /// Waits on the host until the stream has passed it.
    pub fn synchronize(&self) -> Result<(), TorchError> {
        // SAFETY: the event lives.
        check(unsafe { ffi::regatta_event_synchronize(self.0) })
    }

    /// Milliseconds from this event to a later one; both are timed and done.
    pub fn elapsed_ms(&self, later: &Event) -> Result<f64, TorchError> {
        let mut ms = 0.0;
        // SAFETY: both events live; writes one number.
        check(unsafe { ffi::regatta_event_elapsed_ms(self.0, later.0, &mut ms) })?;
        Ok(ms)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: came from `regatta_event_new` and is freed once.
        unsafe { ffi::regatta_event_free(self.0) };
    }
}

/// Copies `source` into `target` of the same shape on `stream`; from page-locked host memory to a GPU and back the host does
/// not wait. Both must be left alone until the stream has passed the copy.
pub fn copy_non_blocking(target: &mut Tensor, source: &Tensor, stream: Stream) -> Result<(), TorchError> {
    let Stream { device, id } = stream;
    // SAFETY: both tensors live for the call; libtorch keeps page-locked memory until the stream has passed.
    check(unsafe { ffi::regatta_copy_non_blocking(target.as_ptr(), source.as_ptr(), device, id) })
}
