//! An AnyNet description built as tch layers over flat buffers: initialisation, forward, the names that others give its
//! tensors. Knows nothing of ranks.

mod init;
mod layers;
mod names;
mod network;

pub use init::{Init, initialize};
pub use names::Naming;
pub use network::{Mode, Model};
