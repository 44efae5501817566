//! Integration tests of the ledger, by topic.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod ledger;
mod verdict;
