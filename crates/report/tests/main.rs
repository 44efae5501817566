//! Integration tests of the reports, by topic.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod browser;
mod curves;
