//! Host memory from which a GPU can copy asynchronously.

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

    /// Starts copying the first bytes to `target` on `stream`, as many as `target` holds.
    ///
    /// # Errors
    /// If libtorch rejects the copy.
    pub fn copy_to(&self, target: &mut Tensor, stream: Stream) -> Result<(), TorchError> {
        let source = self.0.narrow(0, 0, target.numel() as i64);
        copy_non_blocking(target, &source, stream)
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
