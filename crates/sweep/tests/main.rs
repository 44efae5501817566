//! Tests of sweeps.

mod file;
mod sampler;

mod search;

mod statistics;

mod claims;
mod plan;
mod result;
