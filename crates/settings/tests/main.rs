//! Tests of recipes: loading, resolution and error messages.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod dataset;
mod imagenet;
mod impossible;
mod layers;
mod refusals;
mod resolution;
mod resume;
mod roundtrip;
mod schema;
mod shipped;
mod support;
mod world;
