//! CUDA graphs: GPU work that is recorded once and launched as a whole.

use std::ffi::c_void;

use crate::ffi::{self, TorchError, check};

/// A recorded sequence of kernels with fixed addresses. Memory that was allocated during recording belongs to the graph; other
/// tensors that it reads or writes must stay alive at their addresses as long as it is replayed.
#[derive(Debug)]
pub struct CudaGraph(*mut c_void);

impl CudaGraph {
    /// Records the work that `body` and its autograd threads queue on this thread's current stream, which must be a stream from
    /// the pool. Nothing is computed until the first replay. The kernels must have been warmed up before, and `body` must not
    /// wait for the device.
    ///
    /// # Errors
    /// The error that `body` returned, or an error of the device if it cannot record the work.
    pub fn record<T, E: From<TorchError>>(body: impl FnOnce() -> Result<T, E>) -> Result<(Self, T), E> {
        let mut graph = std::ptr::null_mut();
        // SAFETY: writes one pointer, which `drop` frees.
        check(unsafe { ffi::regatta_graph_begin(&mut graph) })?;
        let graph = Self(graph);
        let outcome = body();
        // SAFETY: the graph lives and was begun on this thread.
        let ended = check(unsafe { ffi::regatta_graph_end(graph.0) });
        let outcome = outcome?;
        ended?;
        Ok((graph, outcome))
    }

    /// Queues the recorded work on this thread's current stream.
    ///
    /// # Errors
    /// If CUDA rejects the launch.
    pub fn replay(&self) -> Result<(), TorchError> {
        // SAFETY: the graph lives and was ended.
        check(unsafe { ffi::regatta_graph_replay(self.0) })
    }
}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        // SAFETY: came from `regatta_graph_begin` and is freed once.
        unsafe { ffi::regatta_graph_free(self.0) };
    }
}
