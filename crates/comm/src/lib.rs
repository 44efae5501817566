//! Communicators (one rank, MPI, NCCL), the watchdog, flat parameter buffers, gradient buckets and the reducer.

mod environment;
mod error;
mod held_signals;

mod agreement;
mod communicator;
#[cfg(feature = "mpi")]
mod mpi_world;
mod single;
mod start;

mod end;

mod gpus;
mod nccl_lane;
mod nccl_world;

mod held_up;
mod recorded;
mod watchdog;

mod flat;
mod reducer;

pub use agreement::{broadcast_and_prove_equal, broadcast_text, first_failed, prove_same_recipe};
pub use communicator::Communicator;
pub use end::{end_job, exit_after};
pub use environment::{CpuShare, Launch, core_numbers, cpu_share};
pub use error::CommError;
pub use flat::FlatBuffer;
pub use gpus::every_rank_has_its_own;
pub use held_signals::take_held_signals;
pub use nccl_lane::NcclLane;
pub use nccl_world::NcclWorld;
pub use reducer::Reducer;
pub use single::Single;
pub use start::join_world;
pub use watchdog::{OnFailure, Watchdog};
