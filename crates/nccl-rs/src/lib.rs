//! Bindings to NVIDIA's collective communication library (NCCL), loaded at run time.
//!
//! Neither NCCL nor CUDA is needed to build or to start a program that uses this crate: [`Nccl::open`] looks for the library
//! when it is called, and its error lists what was tried. One binary therefore serves machines with and without a GPU.
//!
//! Communicators are non-blocking: every call returns immediately, [`Communicator::settle`] waits for its completion up to a
//! deadline, and [`Communicator::abort`] closes a communicator whose peers are gone. NCCL allows one thread at a time per
//! communicator, which `&mut self` enforces; to watch a communicator from a second thread, put it into a mutex.
//!
//! ```no_run
//! use std::time::{Duration, Instant};
//!
//! use nccl::{DataType, Nccl, ReduceOp, Stream, UniqueId};
//!
//! # fn send_to_all_ranks(id: UniqueId) -> UniqueId { id }
//! # fn device_buffer() -> *mut std::ffi::c_void { std::ptr::null_mut() }
//! # fn main() -> Result<(), nccl::Error> {
//! # let (rank, world_size) = (0, 1);
//! let nccl = Nccl::open()?;
//! println!("NCCL {} from {}", nccl.version(), nccl.path().display());
//!
//! // One rank creates the ID, and the program sends it to the others (over MPI, a file, a socket). Before this call each rank
//! // has made its GPU the current device of the CUDA runtime.
//! let id = send_to_all_ranks(nccl.unique_id()?);
//! let mut communicator = nccl.init_rank(&id, rank, world_size)?;
//! communicator.settle(Instant::now() + Duration::from_secs(60))?;
//!
//! let (buffer, count, stream) = (device_buffer(), 1024, Stream::DEFAULT);
//! // SAFETY: `buffer` is device memory of 1024 floats that lives until the stream has passed the collective.
//! unsafe { communicator.all_reduce(buffer, buffer, count, DataType::FLOAT32, ReduceOp::SUM, stream)? };
//! communicator.finalize(Instant::now() + Duration::from_secs(10))
//! # }
//! ```

mod library;

mod communicator;

mod error;
mod ffi;
mod types;

pub use communicator::Communicator;
pub use error::{Error, OpenError};
pub use library::{MINIMUM_VERSION, Nccl};
pub use types::{DataType, ReduceOp, Status, Stream, UniqueId, Version};
