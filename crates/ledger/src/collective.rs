//! What a rank enters: an operation on so many bytes of elements, and its entry in the ledger.

use std::fmt;

/// An operation that all ranks enter together. The numbers stand in files: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Operation {
    /// The sum of a tensor over all ranks, to all ranks.
    AllReduce = 1,
    /// The sum of a few counters over all ranks, to all ranks.
    AllReduceCounts = 2,
    /// A tensor of one rank, to all ranks.
    Broadcast = 3,
    /// Every rank's tensor, to all ranks.
    AllGather = 4,
    /// The sum of a tensor over all ranks, a part of it to each rank.
    ReduceScatter = 5,
    /// Nothing but the wait for all ranks.
    Barrier = 6,
}

impl Operation {
    /// The operation with this number in a file.
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

/// The type of a tensor's elements. The numbers stand in files: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Element {
    /// Single precision.
    F32 = 1,
    /// Double precision.
    F64 = 2,
    /// IEEE half precision.
    F16 = 3,
    /// The upper half of single precision.
    Bf16 = 4,
    /// Signed integer of 8 bytes.
    I64 = 5,
    /// Byte.
    U8 = 6,
}

impl Element {
    /// The element with this number in a file.
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

/// A collective as a rank calls it. Under one sequence number all ranks must call the same.
///
/// Its text is `all_reduce of 4.0 MiB in f32`, with `{:#}` to the byte, and without size and element if it moves no
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Collective {
    /// What is done.
    pub operation: Operation,
    /// With elements of which type.
    pub element: Element,
    /// With how many bytes of them on this rank.
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

/// A size for people, in the largest unit of which there is a whole one.
fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => format!("{:.1} {unit}", bytes as f64 / (1_u64 << shift) as f64),
        None => format!("{bytes} B"),
    }
}

/// One line of a ledger: a collective that the rank entered. Its text is
/// `collective 813 (all_reduce of 4.0 MiB in f32, step 102)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The how-many-th collective of the rank, counted from 1.
    pub sequence: u64,
    /// The training step in which it was entered.
    pub step: u64,
    /// What was entered.
    pub collective: Collective,
    /// When, in nanoseconds of unix time.
    pub entered_ns: u64,
    /// When it was finished on this rank; none if it is not.
    pub completed_ns: Option<u64>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "collective {} ({}, step {})", self.sequence, self.collective, self.step)
    }
}
