//! Tests that run for long, at moments that chance chooses: only where they are asked for.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Whether long tests are asked for, by `REGATTA_TORTURE=1`; says that one is skipped otherwise.
pub fn torture_is_asked_for() -> bool {
    let is_asked = std::env::var("REGATTA_TORTURE").is_ok_and(|value| value == "1");
    if !is_asked {
        println!("skipped: it takes minutes: REGATTA_TORTURE=1 runs it");
    }
    is_asked
}

/// A number below `bound`, another one each time.
pub fn any_below(bound: u64) -> u64 {
    // The standard library seeds its hashers at random.
    RandomState::new().build_hasher().finish() % bound
}
