//! The words of a recipe for decoding and resizing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Filter for resizing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Linear in both directions.
    Bilinear,
    /// Cubic in both directions.
    Bicubic,
}

/// How JPEG images are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JpegMode {
    /// The bytes of a full decode.
    Exact,
    /// At a reduced size where that suffices, with a less precise transform.
    Fast,
}
