//! Tests of sweeps.

mod result;

mod sampler;

mod search;
