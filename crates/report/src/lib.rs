//! Reports from the records of runs and sweeps: charts in one look, pages.

pub mod chart;

pub mod curves;

pub mod page;

pub mod run;
