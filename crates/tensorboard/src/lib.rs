//! Event files that TensorBoard reads: scalars, texts, images, histograms and hyper-parameters of a run.
//!
//! An [`EventWriter`] appends to one file of a run's folder; every attempt at the run has a file of its own. What it appends are
//! values ([`scalar`], [`text`], [`image`], [`Histogram::value`], [`hparams`]), each under a tag and all at one step. Scalars,
//! images and histograms have the older of TensorBoard's two forms, which every reader of event files understands.

mod writer;

mod histogram;
pub mod hparams;
mod value;

pub mod proto;
mod record;

pub use histogram::Histogram;
pub use value::{image, scalar, text};
pub use writer::EventWriter;
