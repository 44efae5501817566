//! Tests of sweeps.

mod file;
mod plan;
mod sampler;

mod search;

mod analysis;
mod statistics;

mod claims;
mod result;
