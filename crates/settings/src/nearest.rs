//! The name that was probably meant by one that does not exist.

use strsim::damerau_levenshtein;

/// Edits (letters replaced, added, left out or swapped) between a mistyped name and the one that was meant.
const MAX_EDITS: usize = 2;
/// Shorter ones say too little: half of the words there are contain them, or are an edit away.
const TELLING_LENGTH: usize = 5;

/// The first of `known`, lower-case words, that is nearest to `name`, if one is near: by edits, or because one holds the other.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let name = name.to_lowercase();
    let begins_alike = |known: &&str| known.starts_with(&name) || name.starts_with(*known);
    let holds_it = |known: &&str| name.len() >= TELLING_LENGTH && known.contains(&name);
    let is_held = |known: &&str| begins_alike(known) || holds_it(known);
    nearest_by_edits(&name, known.clone()).or_else(|| known.filter(|_| !name.is_empty()).find(is_held))
}

/// The first of `known`, lower-case words, that is the fewest edits from `name`, if those are few.
pub(crate) fn nearest_by_edits<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let edits = known.map(|known| (damerau_levenshtein(&name, known), known));
    let is_near = |(edits, known): &(usize, &str)| {
        let is_telling = name.len() >= TELLING_LENGTH || name.chars().next() == known.chars().next();
        *edits <= MAX_EDITS && 3 * edits <= name.len() && is_telling
    };
    edits.filter(is_near).min_by_key(|(edits, _)| *edits).map(|(_, known)| known)
}
