//! Reports from the records of a run folder.

pub mod curves;
