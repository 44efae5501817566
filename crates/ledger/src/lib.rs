//! The collective ledger: a record of the collectives that each rank entered, and the diagnosis of a hang from the
//! ledgers of several ranks.
//!
//! A rank that hangs or was killed cannot report why. Each rank therefore keeps a [`Ledger`] in node-local memory, which
//! outlives the process, and its watchdog publishes a copy that other hosts can read. A [`Snapshot`] is the content of
//! either; [`judge`] compares the snapshots of several ranks and names the rank that is behind.
//!
//! The file is a header of 16 words followed by a ring buffer of 1024 entries of 8 words. Each word is a little-endian `u64`:
//!
//! ```text
//! header   magic, version, rank, world size, process ID and random number, step, heartbeat, next sequence number,
//!          host name in 64 bytes, padded with zeros
//! entry    sequence number, step, operation, element type, bytes, time entered, time completed, unused
//! ```
//!
//! Times are nanoseconds of Unix time. Sequence number n is stored in entry (n - 1) mod 1024. The sequence number of an
//! entry is 0 while the entry is rewritten. The completion time of an unfinished entry is its sequence number with the most
//! significant bit set, so that a late completion cannot mark the entry that has replaced its own.

mod collective;
mod verdict;

mod memory;
mod snapshot;
mod writer;

mod layout;
mod mapping;
mod sentence;

pub use collective::{Collective, Element, Entry, Operation};
pub use memory::{LOCAL_MEMORY, name_in_memory};
pub use snapshot::{ALIVE, Snapshot, silent_for};
pub use verdict::{Verdict, judge, mismatch};
pub use writer::{Ledger, publish_leftover};
