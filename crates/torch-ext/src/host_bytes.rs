//! Host memory that a GPU fetches by itself.

use tch::{Device, Kind, Tensor};

use crate::ffi::{TorchError, check};
use crate::{Stream, copy_non_blocking, ffi};

/// Bytes in host memory; page-locked where they are for a GPU.
#[derive(Debug)]
pub struct HostBytes(Tensor);

impl HostBytes {
    /// Zeros, to be copied to `device`.
    pub fn zeros(len: usize, device: Device) -> Result<Self, TorchError> {
        let plain = Tensor::zeros([len as i64], (Kind::Uint8, Device::Cpu));
        Ok(Self(if device == Device::Cpu { plain } else { pin_memory(&plain)? }))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.numel()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// To be written; a copy that was begun must be through.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        if self.is_empty() {
            return &mut []; // libtorch gives no address to nothing
        }
        // SAFETY: the tensor is dense host memory of this many bytes, nobody else has it, and `self` is borrowed
        // exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.0.data_ptr().cast(), self.0.numel()) }
    }

    /// Begins to copy the first bytes, as many as `target` has, on `stream`.
    pub fn copy_to(&self, target: &mut Tensor, stream: Stream) -> Result<(), TorchError> {
        let source = self.0.narrow(0, 0, target.numel() as i64);
        copy_non_blocking(target, &source, stream)
    }
}

/// A copy of a host tensor in page-locked memory, from which a GPU fetches without the host's waiting; libtorch keeps that
/// memory until the copies that were begun from it are through.
pub fn pin_memory(host: &Tensor) -> Result<Tensor, TorchError> {
    let mut pinned = std::ptr::null_mut();
    // SAFETY: the source lives; writes one pointer, to a tensor that is then ours.
    check(unsafe { ffi::regatta_pin_memory(host.as_ptr(), &mut pinned) })?;
    // SAFETY: a new tensor, owned by nobody else.
    Ok(unsafe { Tensor::from_ptr(pinned) })
}
