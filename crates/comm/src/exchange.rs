//! Typed collectives, which broadcast or gather values of any serde type.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{CommError, World};

impl World {
    /// Returns the value of rank 0 on every rank; the values of the other ranks are dropped. A collective.
    ///
    /// # Errors
    /// If the value cannot be serialized, or cannot be deserialized as a `T` on this rank.
    pub fn share<T: Serialize + DeserializeOwned>(&self, value: T) -> Result<T, CommError> {
        let mut bytes = if self.rank() == 0 { encode(&value, 0)? } else { Vec::new() };
        let mut length = (bytes.len() as u64).to_le_bytes();
        self.broadcast(&mut length);
        bytes.resize(u64::from_le_bytes(length) as usize, 0);
        self.broadcast(&mut bytes);
        decode(&bytes, 0)
    }

    /// Gathers the values of all ranks on every rank, in rank order. A collective.
    ///
    /// # Errors
    /// If the value cannot be serialized, or the value of another rank cannot be deserialized as a `T`.
    pub fn gather<T: Serialize + DeserializeOwned>(&self, value: &T) -> Result<Vec<T>, CommError> {
        let mut own = encode(value, self.rank())?;
        let lengths = self.all_gather(&(own.len() as u64).to_le_bytes());
        let length = |bytes: &Vec<u8>| bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        let lengths: Vec<usize> = lengths.iter().map(length).collect();
        own.resize(lengths.iter().copied().max().unwrap_or(0), 0);
        let gathered = self.all_gather(&own);
        let values = gathered.iter().zip(lengths).enumerate();
        values.map(|(rank, (bytes, length))| decode(&bytes[..length], rank)).collect()
    }
}

/// Serializes a value with postcard, which preserves the bits of every number, NaN and infinity included, and stores no
/// field names.
fn encode<T: Serialize>(value: &T, rank: usize) -> Result<Vec<u8>, CommError> {
    postcard::to_allocvec(value).map_err(|error| unreadable::<T>(rank, &error.to_string()))
}

fn decode<T: DeserializeOwned>(bytes: &[u8], rank: usize) -> Result<T, CommError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(unreadable::<T>(rank, "trailing bytes")),
        Err(error) => Err(unreadable::<T>(rank, &error.to_string())),
    }
}

fn unreadable<T>(rank: usize, reason: &str) -> CommError {
    CommError::Unreadable { rank, what: std::any::type_name::<T>(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: Serialize + DeserializeOwned>(value: &T) -> T {
        decode(&encode(value, 0).unwrap(), 0).unwrap()
    }

    #[test]
    fn numbers_keep_their_bits() {
        let numbers = [0.1, -0.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE / 3.0];
        assert_eq!(round_trip(&numbers).map(f64::to_bits), numbers.map(f64::to_bits));
        assert_eq!(round_trip(&(u64::MAX, i64::MIN, None::<u8>)), (u64::MAX, i64::MIN, None));
    }

    #[test]
    fn values_of_another_type_are_rejected_and_name_their_rank() {
        let error = |bytes: &[u8]| decode::<(u8, String)>(bytes, 3).unwrap_err().to_string();
        let complete = encode(&(7u8, "name"), 3).unwrap();
        let start = "the value that rank 3 sent cannot be read as (u8, alloc::string::String)";
        let remedy = "start the same build of the trainer on all ranks";
        let expected = |reason| format!("{start} ({reason}): {remedy}");
        assert_eq!(error(&[&complete[..], &[0]].concat()), expected("trailing bytes"));
        let short = error(&complete[..4]);
        assert!(short.starts_with(start) && short.ends_with(remedy), "{short}");
    }
}
