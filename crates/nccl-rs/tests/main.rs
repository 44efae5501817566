//! Tests of the bindings against NVIDIA's library, as far as possible without a GPU, and against the double in `nccl-double/`.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod on_the_double;
mod real;
