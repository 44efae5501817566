//! Tests of the published networks, the book's network, error messages and the generator.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod generator;

mod fit;

mod published;

mod blocks;

mod memory;

mod naming;

mod regnetx32;

mod refusals;
