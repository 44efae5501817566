//! Support for long tests with random moments, which run only on request.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Whether `REGATTA_TORTURE=1` requests the long tests; prints that the test is skipped otherwise.
pub fn torture_is_requested() -> bool {
    let is_asked = std::env::var("REGATTA_TORTURE").is_ok_and(|value| value == "1");
    if !is_asked {
        println!("skipped: it takes minutes: REGATTA_TORTURE=1 runs it");
    }
    is_asked
}

/// A random number below `bound`, different in each run.
pub fn random_below(bound: u64) -> u64 {
    // The standard library seeds its hashers randomly.
    RandomState::new().build_hasher().finish() % bound
}
