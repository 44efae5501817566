//! Exports a network as an ONNX model.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use regatta_anynet::Network;
use regatta_onnx::{OPSET, OnnxError, Options};
use regatta_run_folder::StorageError;
use tch::{Kind, Tensor};

use super::metadata::{Preparation, of_network};
use super::{Source, onnxruntime};
use crate::failure::Usage;

/// Returns the content of the model's file, for a fixed number of images or any, and what is said about it.
///
/// # Errors
/// Another resolution for a flattening stem, weights that do not fit the network, or a model that is too large.
pub(super) fn export(
    source: &Source,
    (batch, resolution_px): (Option<u32>, Option<u32>),
    out: &Path,
) -> Result<(Vec<u8>, String)> {
    let Source { recipe, network, .. } = source;
    let preparation = Preparation::new(&recipe.data, resolution_px);
    let options = Options {
        batch,
        height_px: preparation.crop_px,
        width_px: preparation.crop_px,
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        metadata: of_network(source, preparation),
    };
    let bytes = model(network, &source.tensors, &options).map_err(|error| failed(error, source))?;
    let said = format!(
        "{} of step {} as an ONNX model, operator set {OPSET}\n\n{}",
        source.file.display(),
        source.step,
        onnxruntime::lines(source, preparation, batch, out)
    );
    Ok((bytes, said))
}

/// Returns the content of an ONNX file with `network` and these tensors, in 32 bits.
///
/// # Errors
/// Tensors that do not fit the network, or a model that is too large.
pub(crate) fn model(
    network: &Network,
    tensors: &BTreeMap<String, Tensor>,
    options: &Options,
) -> Result<Vec<u8>, OnnxError> {
    let tensor = |(name, tensor): (&String, &Tensor)| {
        let mut values = vec![0.0; tensor.numel()];
        tensor.to_kind(Kind::Float).contiguous().copy_data(&mut values, tensor.numel());
        (name.clone(), regatta_onnx::Tensor { shape: tensor.size(), values })
    };
    regatta_onnx::model(network, &tensors.iter().map(tensor).collect(), options)
}

/// Says what is wrong with the weights of `source`, or with the command.
fn failed(error: OnnxError, source: &Source) -> anyhow::Error {
    match error {
        OnnxError::Missing { .. } | OnnxError::Shape { .. } | OnnxError::NotFinite { .. } => {
            StorageError::Content { path: source.file.clone(), found: error.to_string() }.into()
        }
        OnnxError::Flattened { .. } => {
            let side = source.recipe.data.val_resolution_px;
            Usage(format!(
                "--resolution: a flattening stem takes only images of {side} pixels, as in training"
            ))
            .into()
        }
        OnnxError::TooLarge { .. } => Usage(error.to_string()).into(),
    }
}
