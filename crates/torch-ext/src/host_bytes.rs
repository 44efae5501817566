//! Host memory from which a GPU can copy asynchronously, and its division into parts that other threads fill.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::ffi::{TorchError, check};
use crate::{Stream, copy_non_blocking, ffi};

/// Bytes in host memory, page-locked if they are to be copied to a GPU.
#[derive(Debug)]
pub struct HostBytes(Tensor);

impl HostBytes {
    /// Allocates `len` zero bytes, to be copied to `device`.
    ///
    /// # Errors
    /// If page-locked memory cannot be allocated.
    pub fn zeros(len: usize, device: Device) -> Result<Self, TorchError> {
        let plain = Tensor::zeros([len as i64], (Kind::Uint8, Device::Cpu));
        Ok(Self(if device == Device::Cpu { plain } else { pin_memory(&plain)? }))
    }

    /// Returns the number of bytes.
    pub fn len(&self) -> usize {
        self.0.numel()
    }

    /// Returns whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes for writing. A copy started earlier must have completed.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        if self.is_empty() {
            return &mut []; // an empty tensor has no address
        }
        // SAFETY: the tensor is dense host memory of this many bytes, it is not shared, and `self` is borrowed
        // exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.0.data_ptr().cast(), self.0.numel()) }
    }

    /// Divides the bytes from `start` on into `count` chunks of `chunk_len` bytes each, in order, for other threads to write.
    /// A copy started earlier must have completed. [`SplitHostBytes::join`] gives the memory back once every chunk was dropped.
    ///
    /// # Panics
    /// If the bytes do not suffice.
    pub fn split(self, start: usize, chunk_len: usize, count: usize) -> (SplitHostBytes, Vec<HostChunk>) {
        let end = chunk_len.checked_mul(count).and_then(|bytes| bytes.checked_add(start));
        assert!(end.is_some_and(|end| end <= self.len()), "chunks within the bytes");
        let address = Address(self.0.data_ptr().cast());
        let memory = Arc::new(Memory(self));
        let chunk = |k| HostChunk {
            memory: Arc::clone(&memory),
            address,
            start: start + k * chunk_len,
            len: chunk_len,
        };
        let chunks = (0..count).map(chunk).collect();
        (SplitHostBytes(memory), chunks)
    }

    /// Starts copying the first bytes to `target` on `stream`, as many as `target` holds.
    ///
    /// # Errors
    /// If libtorch rejects the copy.
    pub fn copy_to(&self, target: &mut Tensor, stream: Stream) -> Result<(), TorchError> {
        let source = self.0.narrow(0, 0, target.numel() as i64);
        copy_non_blocking(target, &source, stream)
    }
}

/// Memory that was divided into chunks, until they are dropped.
#[derive(Debug)]
pub struct SplitHostBytes(Arc<Memory>);

impl SplitHostBytes {
    /// Returns the memory as a whole. Gives `self` back while a chunk still exists.
    ///
    /// # Errors
    /// If not every chunk was dropped.
    pub fn join(self) -> Result<HostBytes, Self> {
        Arc::try_unwrap(self.0).map(|Memory(bytes)| bytes).map_err(Self)
    }
}

/// Memory that chunks keep allocated. Nothing reads or writes it through this type while it is shared.
#[derive(Debug)]
struct Memory(HostBytes);

// SAFETY: no method takes a shared reference to the tensor inside. The only uses from another thread are cloning and dropping
// the `Arc`, the last of which frees the tensor, and libtorch's tensors may be freed on any thread (tch: `Tensor: Send`).
unsafe impl Sync for Memory {}

/// The address of the first byte.
#[derive(Debug, Clone, Copy)]
struct Address(*mut u8);

// SAFETY: an address; each chunk dereferences it within its own part only.
unsafe impl Send for Address {}

/// A part of page-locked memory that one thread at a time may write. It does not overlap with any other chunk.
#[derive(Debug)]
pub struct HostChunk {
    /// Keeps the memory allocated.
    #[expect(dead_code, reason = "held, not read")]
    memory: Arc<Memory>,
    address: Address,
    start: usize,
    len: usize,
}

impl AsMut<[u8]> for HostChunk {
    fn as_mut(&mut self) -> &mut [u8] {
        if self.len == 0 {
            return &mut [];
        }
        // SAFETY: `split` made this chunk of bytes inside the memory, which `memory` keeps allocated and which no `HostBytes`
        // accesses before all chunks are dropped; chunks do not overlap, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.address.0.add(self.start), self.len) }
    }
}

/// Copies a host tensor to page-locked memory, from which a GPU can copy asynchronously. libtorch keeps this memory allocated
/// until all copies from it have completed.
///
/// # Errors
/// If page-locked memory cannot be allocated.
pub fn pin_memory(host: &Tensor) -> Result<Tensor, TorchError> {
    let mut pinned = std::ptr::null_mut();
    // SAFETY: the source lives; writes one pointer, to a tensor that the caller owns.
    check(unsafe { ffi::regatta_pin_memory(host.as_ptr(), &mut pinned) })?;
    // SAFETY: a new tensor without another owner.
    Ok(unsafe { Tensor::from_ptr(pinned) })
}
