//! Communication between ranks: the world (single process, MPI, NCCL), the watchdog, flat parameter buffers, gradient
//! buckets and the reducer.

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

mod blocked;
mod watchdog;

mod flat;
mod reducer;

pub use agreement::{broadcast_and_verify, first_failed, verify_same_recipe};
pub use end::{end_job, exit_after, explain_exhausted_memory};
pub use environment::{CpuShare, Launch, core_numbers, cpu_share};
pub use error::CommError;
pub use flat::FlatBuffer;
pub use gpus::verify_one_gpu_per_rank;
pub use held_signals::unblock_stop_signals;
pub use reducer::Reducer;
pub use watchdog::OnFailure;
pub use world::World;
