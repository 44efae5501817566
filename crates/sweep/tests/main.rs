//! Tests of sweeps.

mod file;
mod sampler;

mod search;

mod analysis;
mod claims;
mod result;
