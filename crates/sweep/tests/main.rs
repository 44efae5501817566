//! Tests of sweeps.

mod result;

mod sampler;
