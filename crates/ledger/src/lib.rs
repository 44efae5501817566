//! The collective ledger: what a rank entered together with the others, and what several ledgers prove.
//!
//! A rank that hangs cannot say why, and one that was killed says nothing. So each keeps a [`Ledger`] in node-local
//! memory, which outlives the process, and its watchdog publishes a copy that other hosts can read. A [`Snapshot`]
//! is what either says; [`judge`] compares those of several ranks and names the one that is behind.
//!
//! The file is a header of 16 words and a ring of 1024 entries of 8 words, each word a little-endian `u64`:
//!
//! ```text
//! header   magic, version, rank, world size, process number, step, heartbeat, next sequence number,
//!          name of the host in 64 bytes, padded with zeros
//! entry    sequence number, step, operation, element, bytes, time entered, time completed, unused
//! ```
//!
//! Times are nanoseconds of unix time. Sequence number n lies in entry (n - 1) mod 1024. An entry's sequence number
//! is 0 while it is rewritten. The time completed of an unfinished entry is its sequence number with the topmost bit
//! set, so that a completion which comes too late cannot hit the entry that took the place.

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
pub use snapshot::Snapshot;
pub use verdict::{Verdict, judge, mismatch};
pub use writer::{Ledger, publish_left};
