//! Decisions of a search: by hand, and as laws of simulated searches with many workers and interruptions.

use regatta_sweep::{Method, Search};

mod simulation;

mod by_hand;

mod decisions;

mod outcomes;

mod refusals;

/// The example of the papers: nine samples, of which three and then one are promoted.
fn nine_samples(method: Method) -> Search {
    Search { method, reduction: 3, min_epochs: 1, max_epochs: 9, samples: 9 }
}
