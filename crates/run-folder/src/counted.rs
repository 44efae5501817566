//! Formatting of counts with their nouns.

use std::fmt::Display;

/// Formats a number with its noun, whose plural ends in s: `1 rank`, `2 ranks`.
pub fn counted(number: impl Display, noun: &str) -> String {
    let number = number.to_string();
    format!("{number} {noun}{}", if number == "1" { "" } else { "s" })
}

#[test]
fn one_is_singular() {
    let words = [counted(0, "step"), counted(1u64, "step"), counted(2usize, "step")];
    assert_eq!(words, ["0 steps", "1 step", "2 steps"]);
}
