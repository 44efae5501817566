//! Tests of the trainer's binary as users run it: real processes, MPI ranks and signals.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod worlds;

mod image_files;
mod precise;
mod resume;

mod checkpoints;
mod extension;

mod damage;
mod torture_storage;

mod memory_bounds;
mod precision;

mod signals;

mod hangs;
mod over_nccl;

mod refusals;
mod wrong_inputs;

mod startup;

mod failures;

mod run_folder;
mod tensorboard;

mod terminal;

mod weights;

mod evaluate;
mod fine_tuning;
mod onnx;

mod torture;
