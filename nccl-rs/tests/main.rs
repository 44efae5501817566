//! The binding against NVIDIA's library, as far as it goes without a GPU, and against the double in `double/`.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod double;
mod real;
