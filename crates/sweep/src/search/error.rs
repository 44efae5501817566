//! Errors of a search's numbers, with the accepted values.

use super::{Method, Search};

/// A number of a search that is out of range. Keys are relative to the search.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// A number that is too small.
    #[error("{key} is {value}, must be at least {least}")]
    TooSmall {
        /// The key.
        key: &'static str,
        /// Its value.
        value: u64,
        /// The smallest value accepted.
        least: u64,
    },

    /// Budgets of which no trial could be promoted to a larger one.
    #[error(
        "min_epochs is {min_epochs}, must be below max_epochs ({max_epochs}), so that there is something to stop early; \
         without, method = \"random\" trains every sample to the end"
    )]
    NoPromotion {
        /// The smallest budget.
        min_epochs: u64,
        /// The largest one.
        max_epochs: u64,
    },

    /// So few samples that none reaches the highest rung.
    #[error(
        "samples is {samples}, must be at least {}, for one to reach max_epochs: the rungs are {}, and 1 in {reduction} is promoted; \
         a larger min_epochs has fewer rungs",
        least.map_or("2^64".to_owned(), |least| least.to_string()),
        listed(rungs)
    )]
    TooFewSamples {
        /// Number of samples.
        samples: u64,
        /// The smallest number of samples accepted; None for more than any number.
        least: Option<u64>,
        /// Epochs of the rungs.
        rungs: Vec<u64>,
        /// Ratio of the numbers of trials of neighbouring rungs.
        reduction: u64,
    },
}

/// Checks the numbers of a search.
pub(super) fn check(search: &Search) -> Result<(), SearchError> {
    let Search { method, reduction, min_epochs, max_epochs, samples } = *search;
    at_least("samples", samples, 1)?;
    at_least("max_epochs", max_epochs, 1)?;
    at_least("reduction", reduction, 2)?;
    if method == Method::Random {
        return Ok(());
    }
    at_least("min_epochs", min_epochs, 1)?;
    if min_epochs >= max_epochs {
        return Err(SearchError::NoPromotion { min_epochs, max_epochs });
    }
    let rungs = search.rungs();
    let least = reduction.checked_pow(rungs.len() as u32 - 1);
    if least.is_none_or(|least| samples < least) {
        return Err(SearchError::TooFewSamples { samples, least, rungs, reduction });
    }
    Ok(())
}

fn at_least(key: &'static str, value: u64, least: u64) -> Result<(), SearchError> {
    if value < least { Err(SearchError::TooSmall { key, value, least }) } else { Ok(()) }
}

/// Formats rungs as `1, 3 and 9 epochs`.
fn listed(rungs: &[u64]) -> String {
    let numbers: Vec<String> = rungs.iter().map(u64::to_string).collect();
    match numbers.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last} epochs", others.join(", ")),
        _ => format!("{} epochs", numbers.join(", ")),
    }
}
