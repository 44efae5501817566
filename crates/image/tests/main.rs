//! Tests of the image crate, by topic.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod damage;
mod formats;
mod reference;
mod resize;
