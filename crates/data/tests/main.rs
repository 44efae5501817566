//! Tests of the data crate, by topic.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod against_torchvision;
mod augment;
mod cifar;
mod device_draw;
mod idx;
mod images;
mod known;
mod loader;
mod sampler;
mod synthetic;
mod transforms;
