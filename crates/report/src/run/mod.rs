//! The report of one or several runs: their files, what follows from them, and the page that shows it.
//!
//! [`RunFiles::read`] does the I/O. [`Summary`], [`differences`] and [`Document`] are pure functions of what it returns.

mod files;

mod document;
mod html;
mod index;

mod attempts;
mod curves;
mod evaluation;
mod ranks;
mod recipe;
mod summary;

mod downsample;
mod records;

pub use attempts::AttemptData;
pub use curves::{Columns, Curves, Series};
pub use document::{Document, RunData};
pub use downsample::chosen;
pub use evaluation::{Evaluation, Pair};
pub use files::RunFiles;
pub use index::{index, waiting};
pub use ranks::{HeatMap, Ranks};
pub use recipe::{Difference, differences};
pub use records::{Line, Records};
pub use summary::{RunState, Summary};
