//! Sweeps: many networks of design spaces, trained and compared (Radosavovic et al. 2020).
//!
//! This crate has everything of a sweep but the processes: what is sampled, who works on what, what came out, and what follows
//! from it.

mod sampler;

mod search;

mod result;

pub use result::{Budget, End, TrialResult};
pub use sampler::{KeyError, KeySampler};
pub use search::{Method, Next, RungSummary, Running, Search, SearchError, TrialState};
