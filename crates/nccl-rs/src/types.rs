//! NCCL's enumerations as integers, so that a value added by a later NCCL is a plain number and not undefined behaviour.

use std::ffi::c_void;
use std::fmt;

/// The status returned by an NCCL function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Status(pub i32);

impl Status {
    /// The call completed.
    pub const SUCCESS: Self = Self(0);
    /// A CUDA call failed.
    pub const UNHANDLED_CUDA_ERROR: Self = Self(1);
    /// A system call failed.
    pub const SYSTEM_ERROR: Self = Self(2);
    /// NCCL itself failed.
    pub const INTERNAL_ERROR: Self = Self(3);
    /// An argument is invalid.
    pub const INVALID_ARGUMENT: Self = Self(4);
    /// The usage is invalid, such as two ranks on one GPU.
    pub const INVALID_USAGE: Self = Self(5);
    /// A peer failed or its connection is lost.
    pub const REMOTE_ERROR: Self = Self(6);
    /// The call was started and has not completed (non-blocking communicators only).
    pub const IN_PROGRESS: Self = Self(7);
}

/// The element type of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct DataType(pub i32);

impl DataType {
    /// Signed 8-bit integers.
    pub const INT8: Self = Self(0);
    /// Unsigned 8-bit integers.
    pub const UINT8: Self = Self(1);
    /// Signed 32-bit integers.
    pub const INT32: Self = Self(2);
    /// Signed 64-bit integers.
    pub const INT64: Self = Self(4);
    /// IEEE half precision.
    pub const FLOAT16: Self = Self(6);
    /// IEEE single precision.
    pub const FLOAT32: Self = Self(7);
    /// IEEE double precision.
    pub const FLOAT64: Self = Self(8);
    /// bfloat16.
    pub const BFLOAT16: Self = Self(9);
}

/// How a reduction combines elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct ReduceOp(pub i32);

impl ReduceOp {
    /// The sum.
    pub const SUM: Self = Self(0);
    /// The product.
    pub const PROD: Self = Self(1);
    /// The maximum.
    pub const MAX: Self = Self(2);
    /// The minimum.
    pub const MIN: Self = Self(3);
    /// The mean.
    pub const AVG: Self = Self(4);
}

/// A `cudaStream_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Stream(pub *mut c_void);

impl Stream {
    /// CUDA's default stream.
    pub const DEFAULT: Self = Self(std::ptr::null_mut());
}

// SAFETY: a stream handle is a plain value that any thread may pass to CUDA.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

/// The identifier that all ranks of a communicator share. Its bytes may be sent over any transport.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct UniqueId(pub [u8; 128]);

impl fmt::Debug for UniqueId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "UniqueId({:02x?}…)", &self.0[..8])
    }
}

/// A version of NCCL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major version.
    pub major: u32,
    /// Minor version.
    pub minor: u32,
    /// Patch version.
    pub patch: u32,
}

impl Version {
    /// Decodes the number of `ncclGetVersion`, in which the minor version has one digit up to NCCL 2.8.
    pub(crate) fn from_code(code: i32) -> Self {
        let code = code.unsigned_abs();
        match code {
            0..10_000 => Self { major: code / 1000, minor: code / 100 % 10, patch: code % 100 },
            _ => Self { major: code / 10_000, minor: code / 100 % 100, patch: code % 100 },
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_decoded_in_both_formats() {
        for (code, text) in [(22809, "2.28.9"), (21800, "2.18.0"), (2804, "2.8.4"), (2708, "2.7.8")] {
            assert_eq!(Version::from_code(code).to_string(), text);
        }
        assert!(Version::from_code(2804) < Version::from_code(21800));
    }
}
