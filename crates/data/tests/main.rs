//! Tests of the data crate, by topic.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod against_torchvision;
mod augment;
mod cache;
mod cifar;
mod device_draw;
mod evaluation;
mod folder;
mod fuzz;
mod idx;
mod image_files;
mod images;
mod known;
mod loader;
mod mix;
mod order;
mod reference;
mod sampler;
mod subset;
mod synthetic;
mod tar;
mod tar_bytes;
mod tar_refusals;
mod tar_sets;
mod tar_writing;
mod transforms;
