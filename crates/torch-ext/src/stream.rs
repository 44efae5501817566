//! Device streams and events, through libtorch's device-independent interface.

use std::ffi::{c_int, c_void};

use tch::{Device, Tensor};

use crate::ffi::{self, TorchError, check};

/// A queue of work on a device. On the CPU, where work is complete when a call returns, it has no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    device: c_int,
    id: i64,
}

/// Returns a device's number as tch defines it: -1 is the CPU.
fn number(device: Device) -> c_int {
    match device {
        Device::Cuda(index) => index as c_int,
        _ => -1,
    }
}

impl Stream {
    /// Returns a stream from libtorch's pool, whose streams are reused in turn and never freed.
    ///
    /// # Errors
    /// If the device is not available.
    pub fn from_pool(device: Device, high_priority: bool) -> Result<Self, TorchError> {
        let (device, mut id) = (number(device), 0);
        // SAFETY: writes one integer.
        check(unsafe { ffi::regatta_stream_from_pool(device, high_priority, &mut id) })?;
        Ok(Self { device, id })
    }

    /// Returns this thread's current stream.
    ///
    /// # Errors
    /// If the device is not available.
    pub fn current(device: Device) -> Result<Self, TorchError> {
        let (device, mut id) = (number(device), 0);
        // SAFETY: writes one integer.
        check(unsafe { ffi::regatta_stream_current(device, &mut id) })?;
        Ok(Self { device, id })
    }

    /// Makes this the current stream of the calling thread.
    ///
    /// # Errors
    /// If the device is not available.
    pub fn make_current(self) -> Result<(), TorchError> {
        // SAFETY: changes thread-local state of libtorch and borrows nothing.
        check(unsafe { ffi::regatta_stream_make_current(self.device, self.id) })
    }

    /// Returns the native handle of the stream, a `cudaStream_t`.
    ///
    /// # Errors
    /// If the device is not available.
    pub fn native_handle(self) -> Result<*mut c_void, TorchError> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: writes one pointer.
        check(unsafe { ffi::regatta_stream_native_handle(self.device, self.id, &mut handle) })?;
        Ok(handle)
    }

    /// Makes subsequently queued work wait for the event.
    ///
    /// # Errors
    /// If the device reports an error.
    pub fn wait(self, event: &Event) -> Result<(), TorchError> {
        // SAFETY: the event lives.
        check(unsafe { ffi::regatta_event_block(event.0, self.device, self.id) })
    }

    /// Blocks the host until all queued work has completed.
    ///
    /// # Errors
    /// If the device reports an error, which may come from earlier work.
    pub fn synchronize(self) -> Result<(), TorchError> {
        // SAFETY: borrows nothing.
        check(unsafe { ffi::regatta_stream_synchronize(self.device, self.id) })
    }
}

/// A point in a stream.
#[derive(Debug)]
pub struct Event(*mut c_void);

// SAFETY: an event may be used from any thread; recording it requires exclusive access.
unsafe impl Send for Event {}
// SAFETY: methods that take `&self` only query the device.
unsafe impl Sync for Event {}

impl Event {
    /// Creates an event after the work that is currently queued on `stream`, which must belong to a GPU. Only a `timed` event
    /// can measure elapsed time.
    ///
    /// # Errors
    /// If the device reports an error.
    pub fn after(stream: Stream, timed: bool) -> Result<Self, TorchError> {
        let mut event = std::ptr::null_mut();
        // SAFETY: writes one pointer, which `drop` frees.
        check(unsafe { ffi::regatta_event_new(stream.device, timed, &mut event) })?;
        let mut event = Self(event);
        event.record(stream)?;
        Ok(event)
    }

    /// Moves the event after the work that is currently queued on `stream`, a stream of the same device.
    ///
    /// # Errors
    /// If the device reports an error.
    pub fn record(&mut self, stream: Stream) -> Result<(), TorchError> {
        // SAFETY: the event lives and is borrowed exclusively.
        check(unsafe { ffi::regatta_event_record(self.0, stream.device, stream.id) })
    }

    /// Returns whether the stream has passed the event.
    ///
    /// # Errors
    /// If the device reports an error, which may come from earlier work.
    pub fn is_done(&self) -> Result<bool, TorchError> {
        let mut done = false;
        // SAFETY: the event lives; writes one bool.
        check(unsafe { ffi::regatta_event_query(self.0, &mut done) })?;
        Ok(done)
    }

    /// Blocks the host until the stream has passed the event.
    ///
    /// # Errors
    /// If the device reports an error, which may come from earlier work.
    pub fn synchronize(&self) -> Result<(), TorchError> {
        // SAFETY: the event lives.
        check(unsafe { ffi::regatta_event_synchronize(self.0) })
    }

    /// Returns the milliseconds from this event to a later one. Both must be timed and passed.
    ///
    /// # Errors
    /// If an event is not timed or not passed yet.
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

/// Copies `source` to `target`, a tensor of the same shape, on `stream`. The host does not wait for copies between page-locked
/// host memory and a GPU. Neither tensor may be changed until the stream has passed the copy.
///
/// # Errors
/// If libtorch rejects the copy.
pub fn copy_non_blocking(target: &mut Tensor, source: &Tensor, stream: Stream) -> Result<(), TorchError> {
    let Stream { device, id } = stream;
    // SAFETY: both tensors live for the call; libtorch keeps page-locked memory until the stream has passed.
    check(unsafe { ffi::regatta_copy_non_blocking(target.as_ptr(), source.as_ptr(), device, id) })
}
