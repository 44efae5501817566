//! Tests of sweeps.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod file;
mod plan;
mod sampler;

mod search;

mod analysis;
mod statistics;

mod claims;
mod result;
