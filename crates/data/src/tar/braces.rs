//! Expands the patterns that name shards, such as `train-{000000..000146}.tar` or `{train,extra}-{0..9}.tar`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::error::TarError;

/// Most shards of a pattern.
const MOST: usize = 1_000_000;

/// Returns the shards that `pattern` names below `folder`, in the order in which a shell expands it: a range keeps the number of
/// digits of its ends, and the last braces change fastest.
///
/// # Errors
/// An invalid pattern; a shard that does not exist or is named twice.
pub fn expand_shards(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, TarError> {
    let refused = |reason| TarError::Pattern { pattern: pattern.to_owned(), reason };
    let shards: Vec<_> = expand(pattern).map_err(refused)?.iter().map(|name| folder.join(name)).collect();
    let mut seen = HashSet::new();
    for shard in &shards {
        if !shard.is_file() {
            return Err(TarError::Missing { shard: shard.clone() });
        }
        if !seen.insert(shard) {
            return Err(TarError::Twice { shard: shard.clone() });
        }
    }
    Ok(shards)
}

/// Checks a pattern without looking for the shards that it names.
///
/// # Errors
/// What is wrong with the pattern.
pub fn check_shard_pattern(pattern: &str) -> Result<(), &'static str> {
    expand(pattern).map(drop)
}

fn expand(pattern: &str) -> Result<Vec<String>, &'static str> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some((literal, braces)) = rest.split_once('{') {
        let (inside, after) = braces.split_once('}').ok_or("a { without }")?;
        if literal.contains('}') || inside.contains('{') {
            return Err("braces must be closed, and not lie in other braces");
        }
        let choices = choices(inside)?;
        if names.len() * choices.len() > MOST {
            return Err("it names more than a million shards");
        }
        let with = |name: &String| choices.iter().map(|choice| format!("{name}{literal}{choice}")).collect();
        names = names.iter().flat_map::<Vec<_>, _>(with).collect();
        rest = after;
    }
    if rest.contains('}') {
        return Err("a } without {");
    }
    if pattern.is_empty() {
        return Err("it is empty");
    }
    names.iter_mut().for_each(|name| name.push_str(rest));
    Ok(names)
}

/// Returns what stands between braces: `a,b` or `000..146`.
fn choices(inside: &str) -> Result<Vec<String>, &'static str> {
    let Some((first, last)) = inside.split_once("..") else {
        return match inside.contains(',') {
            true => Ok(inside.split(',').map(ToOwned::to_owned).collect()),
            false => Err("braces are {first..last} or {a,b}"),
        };
    };
    let number = |text: &str| {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse::<usize>().ok()).flatten().ok_or("a range goes from a number to a number")
    };
    let (from, to) = (number(first)?, number(last)?);
    if to < from {
        return Err("a range must not go down");
    }
    if to - from >= MOST {
        return Err("it names more than a million shards");
    }
    let padded = |text: &str| text.len() > 1 && text.starts_with('0');
    let width = if padded(first) || padded(last) { first.len().max(last.len()) } else { 0 };
    Ok((from..=to).map(|number| format!("{number:0width$}")).collect())
}
