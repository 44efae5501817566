//! An AnyNet description built as tch layers over flat buffers: initialisation and forward. Knows nothing of ranks.

mod init;
mod layers;
mod network;

pub use init::initialize;
pub use network::{Mode, Model};
