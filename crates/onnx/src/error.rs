//! Errors of the export.

/// Largest file in bytes: Protocol Buffers has no larger messages.
pub const MAX_BYTES: u64 = i32::MAX as u64;

/// Why a network cannot be written as an ONNX model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OnnxError {
    /// A tensor that is missing.
    #[error("there is no tensor {name}")]
    Missing {
        /// Its name.
        name: String,
    },

    /// A tensor of another network.
    #[error("{name} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        found: Vec<i64>,
        /// The network's shape.
        expected: Vec<i64>,
    },

    /// A convolution or linear layer that is not finite, after its BatchNorm was folded into it.
    #[error("{layer} would have weights that are NaN or infinite")]
    NotFinite {
        /// Name of the layer.
        layer: String,
    },

    /// A model that does not fit into one file.
    #[error(
        "the model would take {bytes} bytes; at most {MAX_BYTES} are possible, the limit of Protocol Buffers"
    )]
    TooLarge {
        /// Size of the file, or of its weights.
        bytes: u64,
    },

    /// A network that takes images of one size alone.
    #[error(
        "images of {height}x{width} pixels have {found} values, but the flattening stem takes {expected}"
    )]
    Flattened {
        /// Height of the images.
        height: i64,
        /// Width of the images.
        width: i64,
        /// Values of an image.
        found: i64,
        /// Values that the stem takes.
        expected: i64,
    },
}
