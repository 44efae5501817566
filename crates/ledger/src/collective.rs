//! A collective (operation, element type, bytes) and its entry in the ledger.

use std::fmt;

/// A collective operation. The numbers are part of the file format: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Operation {
    /// Sums a tensor over all ranks and gives the sum to all ranks.
    AllReduce = 1,
    /// Sums a few integer counters over all ranks and gives the sums to all ranks.
    AllReduceCounts = 2,
    /// Gives one rank's tensor to all ranks.
    Broadcast = 3,
    /// Gives every rank's tensor to all ranks.
    AllGather = 4,
    /// Sums a tensor over all ranks and gives each rank one part of the sum.
    ReduceScatter = 5,
    /// Waits for all ranks and moves no data.
    Barrier = 6,
}

impl Operation {
    /// Returns the operation with this number in the file format.
    pub(super) fn from_number(number: u64) -> Option<Self> {
        use Operation::{AllGather, AllReduce, AllReduceCounts, Barrier, Broadcast, ReduceScatter};
        let all = [AllReduce, AllReduceCounts, Broadcast, AllGather, ReduceScatter, Barrier];
        all.into_iter().find(|operation| *operation as u64 == number)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllReduce => "all_reduce",
            Self::AllReduceCounts => "all_reduce_counts",
            Self::Broadcast => "broadcast",
            Self::AllGather => "all_gather",
            Self::ReduceScatter => "reduce_scatter",
            Self::Barrier => "barrier",
        })
    }
}

/// The element type of a tensor. The numbers are part of the file format: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Element {
    /// IEEE single precision.
    F32 = 1,
    /// IEEE double precision.
    F64 = 2,
    /// IEEE half precision.
    F16 = 3,
    /// bfloat16, the upper 16 bits of single precision.
    Bf16 = 4,
    /// 64-bit signed integer.
    I64 = 5,
    /// Unsigned byte.
    U8 = 6,
}

impl Element {
    /// Returns the element type with this number in the file format.
    pub(super) fn from_number(number: u64) -> Option<Self> {
        let all = [Self::F32, Self::F64, Self::F16, Self::Bf16, Self::I64, Self::U8];
        all.into_iter().find(|element| *element as u64 == number)
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I64 => "i64",
            Self::U8 => "u8",
        })
    }
}

/// A collective as one rank calls it. All ranks must call the same collective under the same sequence number.
///
/// Displays as `all_reduce of 4.0 MiB in f32`; `{:#}` gives the exact number of bytes. Size and element type are omitted
/// if no bytes move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Collective {
    /// The operation.
    pub operation: Operation,
    /// The element type.
    pub element: Element,
    /// Size of this rank's data in bytes.
    pub bytes: u64,
}

impl fmt::Display for Collective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, element, bytes } = *self;
        match bytes {
            0 => write!(f, "{operation}"),
            _ if f.alternate() => write!(f, "{operation} of {bytes} B in {element}"),
            _ => write!(f, "{operation} of {} in {element}", size(bytes)),
        }
    }
}

/// Formats a number of bytes in the largest binary unit that does not exceed it.
fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => format!("{:.1} {unit}", bytes as f64 / (1_u64 << shift) as f64),
        None => format!("{bytes} B"),
    }
}

/// An entry of a ledger: a collective that the rank entered. Displays as
/// `collective 813 (all_reduce of 4.0 MiB in f32, step 102)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Sequence number of the collective on its rank, counted from 1.
    pub sequence: u64,
    /// Training step in which the collective was entered.
    pub step: u64,
    /// The collective.
    pub collective: Collective,
    /// Time at which it was entered, in nanoseconds of Unix time.
    pub entered_ns: u64,
    /// Time at which it completed on this rank, in nanoseconds of Unix time; `None` while it is unfinished.
    pub completed_ns: Option<u64>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "collective {} ({}, step {})", self.sequence, self.collective, self.step)
    }
}
