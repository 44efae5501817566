//! An AnyNet description built as tch layers over flat buffers: parameter names and shapes, initialisation, forward.
//! Knows nothing of ranks.

mod init;
mod layers;
mod network;
mod parameters;

pub use init::{Init, initialize};
pub use network::{Mode, Model};
pub use parameters::{Parameter, Role, Statistic, parameters, statistics};
