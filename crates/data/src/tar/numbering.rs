//! Numbers the images of shards by their keys, if these are the numbers from 0.

use super::sample::key_of;
use crate::names::NameList;

/// Returns the number of each image; empty if each has that of its position, or if the keys are not exactly the numbers 0 to n-1.
pub(super) fn of(names: &NameList) -> Vec<u32> {
    let mut is_taken = vec![false; names.len()];
    let numbered = names.iter().map(|name| {
        let number = number_of(name)?;
        let place = is_taken.get_mut(number as usize)?;
        (!std::mem::replace(place, true)).then_some(number)
    });
    let numbers: Vec<u32> = numbered.collect::<Option<_>>().unwrap_or_default();
    if numbers.iter().zip(0..).all(|(&number, position)| number == position) { Vec::new() } else { numbers }
}

/// Returns the position of each number.
pub(super) fn inverse(numbers: &[u32]) -> Vec<u32> {
    let mut positions = vec![0; numbers.len()];
    for (&number, position) in numbers.iter().zip(0..) {
        positions[number as usize] = position;
    }
    positions
}

/// Returns the number that a member's key is in decimal digits.
pub(super) fn number_of(name: &[u8]) -> Option<u32> {
    let (key, _) = key_of(name)?;
    key.iter().all(u8::is_ascii_digit).then(|| str::from_utf8(key).ok()?.parse().ok()).flatten()
}
