//! Builds an AnyNet description as tch layers over flat buffers: initialization and forward pass. Independent of ranks.

mod init;
mod layers;
mod network;

pub use init::initialize;
pub use network::{Mode, Model};
