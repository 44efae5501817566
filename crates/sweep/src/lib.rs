//! Sweeps: many networks of design spaces, trained and compared (Radosavovic et al. 2020).
//!
//! This crate has everything of a sweep but the processes: what is sampled, who works on what, what came out, and what follows
//! from it.

mod file;
mod plan;
mod sampler;

mod search;

pub mod job;

pub mod claims;
mod lock;

mod result;
pub mod results;

pub mod statistics;

mod folder;
mod random;

pub mod analysis;

pub use claims::{Claim, Owner};
pub use file::{FileError, LimitsSection, Mode, SearchSection, SpaceSection, StartSection, SweepFile};
pub use folder::SweepFolder;
pub use job::Work;
pub use lock::Lock;
pub use plan::{Plan, PlanError, Prepared, Trial};
pub use result::{Budget, End, TrialResult};
pub use sampler::{KeyError, KeySampler};
pub use search::{Method, Next, RungSummary, Running, Search, SearchError, TrialState};
