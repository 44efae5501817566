//! Work of a GPU that is recorded once and launched as a whole.

use std::ffi::c_void;

use crate::ffi::{self, TorchError, check};

/// A recorded sequence of kernels over fixed addresses. What it allocated while it was recorded stays its own; tensors
/// that it reads and writes must live where they were as long as it is replayed.
#[derive(Debug)]
pub struct CudaGraph(*mut c_void);

impl CudaGraph {
    /// Records what `body` queues on this thread's current stream, which must be one of the pool's, and on the threads of
    /// autograd behind it. Nothing is computed yet: the first replay does. Kernels must have been warmed up before, and
    /// `body` must not wait for the device.
    ///
    /// # Errors
    /// That `body` returned, or that the device refused to record what it queued.
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

    /// Queues the whole of it on this thread's current stream.
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
