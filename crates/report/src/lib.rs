//! What a run folder holds, drawn for people.

pub mod curves;
