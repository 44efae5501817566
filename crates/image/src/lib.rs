//! Decoding of JPEG, PNG and WebP to RGB bytes, encoding of JPEG and PNG, and resizing with torchvision's filters.
//!
//! A [`Decoder`] and a [`Resizer`] belong to one thread and keep their memory from image to image. Pixels are bytes, rows from top
//! to bottom, channels innermost. Whatever the bytes of a file are, the outcome is an image or an [`ImageError`]: never a panic, and
//! neither time nor memory without bound.

mod decoder;
mod encode;
mod error;
mod format;
mod jpeg;
mod plain_cubic;
mod png_image;
mod region;
mod resize;
mod webp_image;

pub use decoder::{Decoder, Header, JpegMode};
pub use encode::{encode_jpeg, encode_png};
pub use error::ImageError;
pub use format::Format;
pub use region::{MAX_PIXELS, Region, Size};
pub use resize::{Filter, Resizer, Window};
