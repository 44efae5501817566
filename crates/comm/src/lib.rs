//! The world of ranks (one alone, MPI, NCCL), the watchdog, flat parameter buffers, gradient buckets and the reducer.

mod environment;
mod error;
mod held_signals;

mod world;

mod communicator;
#[cfg(feature = "mpi")]
mod mpi_world;
mod single;
mod start;

mod end;

mod agreement;
mod exchange;
mod gpus;
mod nccl_lane;

mod held_up;
mod watchdog;

mod flat;
mod reducer;

pub use agreement::{broadcast_and_prove_equal, first_failed, prove_same_recipe};
pub use end::{end_job, exit_after};
pub use environment::{CpuShare, Launch, core_numbers, cpu_share};
pub use error::CommError;
pub use flat::FlatBuffer;
pub use gpus::every_rank_has_its_own;
pub use held_signals::take_held_signals;
pub use reducer::Reducer;
pub use watchdog::OnFailure;
pub use world::World;
