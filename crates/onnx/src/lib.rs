//! Networks as ONNX models (<https://onnx.ai>), for any runtime that reads the format.
//!
//! [`model`] is a pure function from a network and its tensors to the bytes of a file. The graph computes what evaluation
//! does: BatchNorm uses the running statistics and is folded into the convolution before it, and dropout is left out. It takes
//! normalised images and returns logits. Its operators (Conv, Relu, Sigmoid, Add, Mul, MaxPool, GlobalAveragePool, Reshape,
//! Flatten, Gemm) are those of operator set [`OPSET`].

mod error;

mod fold;
mod graph;

pub mod proto;

use std::collections::BTreeMap;

use prost::Message;
use regatta_anynet::{Network, Stem};

pub use error::{MAX_BYTES, OnnxError};

use proto::{
    DimensionProto, DimensionValue, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// Version of ONNX's operators: that of ONNX 1.12 (2022), which every maintained runtime reads.
pub const OPSET: i64 = 17;
/// Version of the format, as in ONNX 1.12.
pub const IR_VERSION: i64 = 8;
/// Name of the input: images `[batch, channels, height, width]`, normalised.
pub const INPUT: &str = "images";
/// Name of the output: logits `[batch, classes]`.
pub const OUTPUT: &str = "logits";
/// Name of the batch axis, if its length is chosen when the model is run.
const FREE_BATCH: &str = "batch";

/// A network's tensors by their names here, which are pycls's ([`Network::tensors`]).
pub type Tensors = BTreeMap<String, Tensor>;

/// A tensor of 32-bit floating point.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its shape.
    pub shape: Vec<i64>,
    /// Its elements in row-major order.
    pub values: Vec<f32>,
}

/// How a network is exported.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Number of images of the input; none if it is chosen when the model is run.
    pub batch: Option<u32>,
    /// Height of the images, in pixels.
    pub height_px: u32,
    /// Width of the images, in pixels.
    pub width_px: u32,
    /// Version of the program that writes the model.
    pub producer_version: String,
    /// Named texts that the file carries, with their names.
    pub metadata: Vec<(String, String)>,
}

/// Returns the content of an ONNX file with `network`, which must be valid, in evaluation mode. Tensors that it does not have are
/// ignored.
///
/// # Errors
/// A tensor that is missing or has another shape, weights that are not finite, images that a flattening stem does not take, or
/// a model of more than [`MAX_BYTES`].
pub fn model(network: &Network, tensors: &Tensors, options: &Options) -> Result<Vec<u8>, OnnxError> {
    check_size(network)?;
    check_tensors(network, tensors)?;
    check_images(network, options)?;
    let mut graph = graph::graph(network, tensors)?;
    let (height, width) = (options.height_px.into(), options.width_px.into());
    graph.input = vec![value(INPUT, options.batch, &[network.in_channels, height, width])];
    graph.output = vec![value(OUTPUT, options.batch, &[network.classes])];
    let entry = |(key, value): &(String, String)| {
        let (key, value) = (key.clone(), value.clone());
        StringStringEntryProto { key, value }
    };
    let model = ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: "regatta".to_owned(),
        producer_version: options.producer_version.clone(),
        graph: Some(graph),
        metadata_props: options.metadata.iter().map(entry).collect(),
    };
    match model.encoded_len() as u64 {
        bytes if bytes > MAX_BYTES => Err(OnnxError::TooLarge { bytes }),
        _ => Ok(model.encode_to_vec()),
    }
}

/// Checks the size of the weights before any memory is used for them.
fn check_size(network: &Network) -> Result<(), OnnxError> {
    let elements = |shape: &[i64]| shape.iter().fold(4_u64, |bytes, &side| bytes.saturating_mul(side as u64));
    let parameters = network.parameters();
    let bytes = parameters.iter().map(|it| elements(&it.shape)).fold(0, u64::saturating_add);
    if bytes > MAX_BYTES { Err(OnnxError::TooLarge { bytes }) } else { Ok(()) }
}

fn check_tensors(network: &Network, tensors: &Tensors) -> Result<(), OnnxError> {
    for (name, expected) in network.tensors() {
        let Some(tensor) = tensors.get(&name) else { return Err(OnnxError::Missing { name }) };
        let elements: i64 = expected.iter().product();
        if tensor.shape != expected || tensor.values.len() as i64 != elements {
            return Err(OnnxError::Shape { name, found: tensor.shape.clone(), expected });
        }
    }
    Ok(())
}

fn check_images(network: &Network, options: &Options) -> Result<(), OnnxError> {
    let (height, width) = (i64::from(options.height_px), i64::from(options.width_px));
    let (found, expected) = (network.in_channels * height * width, network.stem_width);
    if network.stem == Stem::Flatten && found != expected {
        return Err(OnnxError::Flattened { height, width, found, expected });
    }
    Ok(())
}

/// Describes a tensor of `batch` images.
fn value(name: &str, batch: Option<u32>, sides: &[i64]) -> ValueInfoProto {
    let batch = match batch {
        Some(images) => DimensionValue::DimValue(images.into()),
        None => DimensionValue::DimParam(FREE_BATCH.to_owned()),
    };
    let sides = sides.iter().map(|&side| DimensionValue::DimValue(side));
    let dim =
        std::iter::once(batch).chain(sides).map(|value| DimensionProto { value: Some(value) }).collect();
    let tensor_type =
        TensorTypeProto { elem_type: TensorProto::FLOAT, shape: Some(TensorShapeProto { dim }) };
    let r#type = Some(TypeProto { tensor_type: Some(tensor_type) });
    ValueInfoProto { name: name.to_owned(), r#type }
}
