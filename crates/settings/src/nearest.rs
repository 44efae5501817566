//! Suggestions for mistyped names.

use strsim::damerau_levenshtein;

/// Maximum number of edits (letters replaced, added, omitted or swapped) between a mistyped name and a suggestion.
const MAX_EDITS: usize = 2;
/// Minimum length of a name to be matched anywhere in a known one: shorter names occur in, or are one edit from, too many.
const MIN_MATCH_LENGTH: usize = 5;

/// Returns the first of `known`, lower-case words, that is nearest to `name`, if one is close: by edits, or because one
/// contains the other.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let name = name.to_lowercase();
    let begins_alike = |known: &&str| known.starts_with(&name) || name.starts_with(*known);
    let contains_it = |known: &&str| name.len() >= MIN_MATCH_LENGTH && known.contains(&name);
    let is_similar = |known: &&str| begins_alike(known) || contains_it(known);
    nearest_by_edits(&name, known.clone()).or_else(|| known.filter(|_| !name.is_empty()).find(is_similar))
}

/// Returns the first of `known`, lower-case words, with the fewest edits from `name`, if they are few.
pub(crate) fn nearest_by_edits<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let edits = known.map(|known| (damerau_levenshtein(&name, known), known));
    let is_near = |(edits, known): &(usize, &str)| {
        let is_specific = name.len() >= MIN_MATCH_LENGTH || name.chars().next() == known.chars().next();
        *edits <= MAX_EDITS && 3 * edits <= name.len() && is_specific
    };
    edits.filter(is_near).min_by_key(|(edits, _)| *edits).map(|(_, known)| known)
}
