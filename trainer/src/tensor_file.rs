//! Reads and writes named tensors in safetensors files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Result;
use regatta_run_folder::StorageError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tch::{Device, Kind, Tensor};

/// Writes named tensors, contiguous whatever their memory format.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn write<'a>(path: &Path, tensors: impl Iterator<Item = (String, &'a Tensor)>) -> Result<()> {
    let bytes = bytes(tensors, None)?;
    Ok(std::fs::write(path, bytes).map_err(StorageError::io("write", path))?)
}

/// Serializes tensors and metadata to the content of a safetensors file.
///
/// # Errors
/// Tensors that safetensors rejects.
pub(crate) fn bytes<'a>(
    tensors: impl Iterator<Item = (String, &'a Tensor)>,
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>> {
    let dense: Vec<_> = tensors.map(|(name, tensor)| (name, Dense::of(tensor))).collect();
    let views = dense.iter().map(|(name, dense)| {
        let view =
            TensorView::new(dense.dtype, dense.shape.clone(), &dense.bytes).expect("bytes fit the shape");
        (name, view)
    });
    Ok(safetensors::serialize(views, metadata)?)
}

/// Reads every tensor of a file in its own type. Skips tensors of types that weights never have, such as bytes.
///
/// # Errors
/// A file that cannot be read or is damaged.
pub(crate) fn read_all(path: &Path) -> Result<BTreeMap<String, Tensor>, StorageError> {
    let bytes = std::fs::read(path).map_err(StorageError::io("read", path))?;
    let tensor = |(name, view): (&str, TensorView)| {
        Some((name.to_owned(), Tensor::from_data_size(view.data(), &shape(&view), kind(view.dtype())?)))
    };
    Ok(parsed(path, &bytes)?.iter().filter_map(tensor).collect())
}

/// Parses the `bytes` that were read from `path`.
fn parsed<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, StorageError> {
    let damaged = |error| StorageError::Content { path: path.to_owned(), found: format!("damaged: {error}") };
    SafeTensors::deserialize(bytes).map_err(damaged)
}

fn shape(view: &TensorView) -> Vec<i64> {
    view.shape().iter().map(|&side| side as i64).collect()
}

struct Dense {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Dense {
    fn of(tensor: &Tensor) -> Self {
        let host = tensor.detach().to_device(Device::Cpu).contiguous();
        let mut bytes = vec![0; host.numel() * host.kind().elt_size_in_bytes()];
        host.copy_data_u8(&mut bytes, host.numel());
        let shape = host.size().iter().map(|&side| side as usize).collect();
        Self { dtype: dtype(host.kind()), shape, bytes }
    }
}

fn dtype(kind: Kind) -> Dtype {
    match kind {
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        Kind::Int64 => Dtype::I64,
        other => panic!("no state is of {other:?}"),
    }
}

fn kind(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::F32 => Some(Kind::Float),
        Dtype::F64 => Some(Kind::Double),
        Dtype::I64 => Some(Kind::Int64),
        _ => None,
    }
}

/// Fills tensors from a file, which must hold exactly these names with these shapes and types.
///
/// # Errors
/// A file that cannot be read, is damaged or holds other tensors.
pub(crate) fn read<'a>(path: &Path, tensors: impl Iterator<Item = (String, &'a mut Tensor)>) -> Result<()> {
    let bytes = std::fs::read(path).map_err(StorageError::io("read", path))?;
    let other = |found: String| StorageError::Content { path: path.to_owned(), found };
    let file = parsed(path, &bytes)?;
    let mut found: HashMap<_, _> = file.iter().collect();
    for (name, tensor) in tensors {
        let Some(view) = found.remove(name.as_str()) else {
            return Err(other(format!("there is no tensor {name} in it: it is of another network")).into());
        };
        let shape = shape(&view);
        if shape != tensor.size() || view.dtype() != dtype(tensor.kind()) {
            let (have, want) = ((view.dtype(), shape), (dtype(tensor.kind()), tensor.size()));
            return Err(other(format!("{name} is {have:?} there, {want:?} in this network")).into());
        }
        let source = Tensor::from_data_size(view.data(), &shape, tensor.kind());
        tch::no_grad(|| tensor.copy_(&source));
    }
    match found.keys().next() {
        Some(name) => Err(other(format!("it has a tensor {name}, which this network does not have")).into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_round_trip_to_the_bit_in_any_memory_format() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let images = Tensor::rand([2, 3, 4, 5], (Kind::Float, Device::Cpu));
        let last = regatta_torch_ext::to_channels_last(&images);
        write(&path, [("a".to_owned(), &last)].into_iter()).unwrap();
        let mut back = regatta_torch_ext::to_channels_last(&images.zeros_like());
        read(&path, [("a".to_owned(), &mut back)].into_iter()).unwrap();
        assert!(back.equal(&images));
    }

    #[test]
    fn tensors_of_another_network_are_reported_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let two = Tensor::zeros([2], (Kind::Float, Device::Cpu));
        write(&path, [("a".to_owned(), &two)].into_iter()).unwrap();
        let attempt = |name: &str, size: i64| {
            let mut tensor = Tensor::zeros([size], (Kind::Float, Device::Cpu));
            let error = read(&path, [(name.to_owned(), &mut tensor)].into_iter()).unwrap_err();
            error.to_string().replace(&path.display().to_string(), "FILE")
        };
        assert_eq!(attempt("b", 2), "FILE: there is no tensor b in it: it is of another network");
        assert_eq!(attempt("a", 3), "FILE: a is (F32, [2]) there, (F32, [3]) in this network");
        let error = read(&path, std::iter::empty()).unwrap_err();
        assert!(error.to_string().contains("it has a tensor a,"), "{error}");
    }
}
