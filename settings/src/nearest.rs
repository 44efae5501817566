//! The name that was probably meant by one that does not exist.

use strsim::damerau_levenshtein;

/// Edits (letters replaced, added, left out or swapped) between a mistyped name and the one that was meant.
const MAX_EDITS: usize = 2;
/// Shorter ones say too little: half of the words there are contain them, or are an edit away.
const TELLING_LENGTH: usize = 5;

/// The first of `known` that is nearest to `name`, if one is near: by edits, or because one holds the other.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known.filter_map(|known| Some((distance(name, known)?, known)));
    distances.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

fn distance(name: &str, known: &str) -> Option<usize> {
    let is_telling = name.len() >= TELLING_LENGTH;
    let begins_alike = name.chars().next() == known.chars().next();
    let edits = damerau_levenshtein(name, known);
    if edits <= MAX_EDITS && 3 * edits <= name.len() && (is_telling || begins_alike) {
        return Some(edits);
    }
    let is_start = begins_alike && (name.starts_with(known) || known.starts_with(name));
    (is_start || is_telling && known.contains(name)).then_some(MAX_EDITS + 1)
}
