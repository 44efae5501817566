//! Tests of sweeps.

mod result;
