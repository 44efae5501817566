//! Tests of sweeps.

mod file;
mod sampler;

mod search;

mod claims;
mod plan;
mod result;
