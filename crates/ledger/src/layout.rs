//! The layout of a ledger file in 64-bit words, and the conversion between words and bytes.

use std::ops::Range;

/// The first word, which identifies a ledger file.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"RGLEDGER");
/// The second word: the version of this layout.
pub(super) const VERSION: u64 = 1;

/// Number of entries in the ring buffer.
pub(super) const RING: usize = 1024;
/// Number of words in the header.
pub(super) const HEADER_WORDS: usize = 16;
/// Number of words in an entry.
pub(super) const ENTRY_WORDS: usize = 8;
/// Number of words in the file.
pub(super) const WORDS: usize = HEADER_WORDS + RING * ENTRY_WORDS;
/// Number of bytes in the file.
pub(super) const BYTES: usize = WORDS * size_of::<u64>();

/// The bit that marks the completion time of an unfinished entry; the other bits are the entry's sequence number.
pub(super) const UNFINISHED: u64 = 1 << 63;

const _: () =
    assert!(cfg!(target_endian = "little"), "the mapped words are the file's, which are little-endian");

/// Positions of the words in the header.
pub(super) mod header {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    pub(crate) const RANK: usize = 2;
    pub(crate) const WORLD_SIZE: usize = 3;
    /// Process ID in the lower 32 bits, the process's random number in the upper.
    pub(crate) const PROCESS_ID: usize = 4;
    pub(crate) const STEP: usize = 5;
    pub(crate) const HEARTBEAT: usize = 6;
    pub(crate) const NEXT: usize = 7;
    pub(crate) const HOST: super::Range<usize> = 8..16;
}

/// Positions of the words in an entry.
pub(super) mod entry {
    pub(crate) const SEQUENCE: usize = 0;
    pub(crate) const STEP: usize = 1;
    pub(crate) const OPERATION: usize = 2;
    pub(crate) const ELEMENT: usize = 3;
    pub(crate) const BYTES: usize = 4;
    pub(crate) const ENTERED: usize = 5;
    pub(crate) const COMPLETED: usize = 6;
}

/// Returns the words of the file that hold the entry with this sequence number.
pub(super) fn place(sequence: u64) -> Range<usize> {
    let start = HEADER_WORDS + (sequence - 1) as usize % RING * ENTRY_WORDS;
    start..start + ENTRY_WORDS
}

/// Converts words to little-endian bytes.
pub(super) fn to_bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Converts little-endian bytes to words. Trailing bytes that do not fill a word are dropped.
pub(super) fn to_words(bytes: &[u8]) -> Vec<u64> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

/// Encodes a host name, truncated or padded with zeros to the header's space.
pub(super) fn from_host(host: &str) -> [u64; header::HOST.end - header::HOST.start] {
    let mut words = [0; _];
    let bytes: Vec<u8> = host.bytes().chain([0; 7]).collect();
    for (word, value) in words.iter_mut().zip(to_words(&bytes)) {
        *word = value;
    }
    words
}

/// Decodes a host name.
pub(super) fn to_host(words: &[u64]) -> String {
    String::from_utf8_lossy(&to_bytes(words)).trim_end_matches('\0').to_owned()
}
