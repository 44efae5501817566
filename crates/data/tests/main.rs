//! What the data crate promises, by topic.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod augment;
mod batch;
mod idx;
mod sampler;
mod synthetic;
