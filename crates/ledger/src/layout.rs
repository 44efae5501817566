//! The words of a ledger's file: where each lies, and how they become bytes and back.

use std::ops::Range;

/// The first word: marks the file.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"RGLEDGER");
/// The second word: the number of this layout.
pub(super) const VERSION: u64 = 1;

/// Number of entries in the ring.
pub(super) const RING: usize = 1024;
/// Number of words before the ring.
pub(super) const HEADER_WORDS: usize = 16;
/// Number of words of an entry.
pub(super) const ENTRY_WORDS: usize = 8;
/// Number of words of the file.
pub(super) const WORDS: usize = HEADER_WORDS + RING * ENTRY_WORDS;
/// Number of bytes of the file.
pub(super) const BYTES: usize = WORDS * size_of::<u64>();

/// Set in the time completed of an entry that is not finished; the other bits are its sequence number.
pub(super) const UNFINISHED: u64 = 1 << 63;

const _: () =
    assert!(cfg!(target_endian = "little"), "the mapped words are the file's, which are little-endian");

/// Words of the header.
pub(super) mod header {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    pub(crate) const RANK: usize = 2;
    pub(crate) const WORLD_SIZE: usize = 3;
    /// In the lower half; the process's random number in the upper.
    pub(crate) const PROCESS_ID: usize = 4;
    pub(crate) const STEP: usize = 5;
    pub(crate) const HEARTBEAT: usize = 6;
    pub(crate) const NEXT: usize = 7;
    pub(crate) const HOST: super::Range<usize> = 8..16;
}

/// Words of an entry.
pub(super) mod entry {
    pub(crate) const SEQUENCE: usize = 0;
    pub(crate) const STEP: usize = 1;
    pub(crate) const OPERATION: usize = 2;
    pub(crate) const ELEMENT: usize = 3;
    pub(crate) const BYTES: usize = 4;
    pub(crate) const ENTERED: usize = 5;
    pub(crate) const COMPLETED: usize = 6;
}

/// The words that an entry with this sequence number has in the file.
pub(super) fn place(sequence: u64) -> Range<usize> {
    let start = HEADER_WORDS + (sequence - 1) as usize % RING * ENTRY_WORDS;
    start..start + ENTRY_WORDS
}

/// The bytes of words.
pub(super) fn to_bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The words of bytes. Bytes at the end that make no whole word are left out.
pub(super) fn to_words(bytes: &[u8]) -> Vec<u64> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

/// The words of a host's name, cut off or padded with zeros to their number.
pub(super) fn from_host(host: &str) -> [u64; header::HOST.end - header::HOST.start] {
    let mut words = [0; _];
    let bytes: Vec<u8> = host.bytes().chain([0; 7]).collect();
    for (word, value) in words.iter_mut().zip(to_words(&bytes)) {
        *word = value;
    }
    words
}

/// The name of a host from its words.
pub(super) fn to_host(words: &[u64]) -> String {
    String::from_utf8_lossy(&to_bytes(words)).trim_end_matches('\0').to_owned()
}
