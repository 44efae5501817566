//! Finds where in a sweep file an error is, and describes what the TOML reader found.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// Describes an error of the reader, with the types' names in words and the line in which it was found.
pub(super) fn describe(message: &str, line: &str) -> String {
    const WORDS: [(&str, &str); 3] = [
        ("expected u64", "expected a whole number"),
        ("expected usize", "expected a whole number"),
        ("an array of length 2", "a list of the smallest and the largest value"),
    ];
    let message = message.trim().replace('\n', ", ");
    let message = WORDS.iter().fold(message, |message, (from, to)| message.replace(from, to));
    if line.trim().is_empty() { message } else { format!("{message}, in: {}", line.trim()) }
}

/// Returns the line of a byte range, counted from 1.
pub(super) fn line_at(text: &str, span: &Range<usize>) -> usize {
    1 + text[..span.start.min(text.len())].matches('\n').count()
}

/// Returns the line of a key such as `space[1].limits.flops`, or of the nearest enclosing key that the file has.
pub(super) fn line_of(text: &str, key: &str) -> usize {
    let Ok(table) = DeTable::parse(text) else { return 1 };
    let mut line = 1;
    let mut here: Option<&DeTable<'_>> = Some(table.get_ref());
    for part in key.split('.') {
        let Some(table) = here else { break };
        let (name, index) = match part.split_once('[') {
            Some((name, rest)) => (name, rest.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref().as_ref() == name) else { break };
        let value = match (value.get_ref(), index) {
            (DeValue::Array(entries), Some(index)) => entries.get(index).unwrap_or(value),
            _ => value,
        };
        line = line_at(text, &if index.is_some() { value.span() } else { key.span() });
        here = match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => None,
        };
    }
    line
}
