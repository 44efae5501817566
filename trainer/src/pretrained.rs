//! Weights to start from: a safetensors file with the names of pycls, torchvision or timm.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use regatta_anynet::{Naming, Network};
use regatta_run_folder::StorageError;
use tch::{Kind, Tensor};

use crate::failure::{Unusable, Usage};
use crate::replica::Replica;
use crate::tensor_file;

/// The classifier, which may have other classes there.
const CLASSIFIER: &str = "head.fc.";
/// Names that a message lists.
const SHOWN: usize = 6;

/// What a file has for a network.
#[derive(Debug)]
pub(crate) struct Pretrained {
    path: PathBuf,
    /// Whose names the file has.
    pub(crate) naming: Naming,
    /// By their place among the network's parameters and then its statistics.
    pub(crate) found: Vec<(usize, Tensor)>,
    /// Tensors of the classifier, where the file has none for as many classes: it starts anew.
    pub(crate) new_classifier: Vec<String>,
    /// What the file has besides.
    pub(crate) unused: Vec<String>,
}

impl Pretrained {
    /// Reads the file. Everything of the network but its classifier must be there.
    pub(crate) fn read(path: &Path, network: &Network) -> Result<Self> {
        require_safetensors(path)?;
        let mut file = tensor_file::read_all(path).map_err(|error| unusable(path, error))?;
        strip_wrapper(&mut file);
        let ours = network.tensors();
        let naming = naming_of(&file, &ours);

        let (mut missing, mut misshapen, mut new_classifier, mut found) = (vec![], vec![], vec![], vec![]);
        for (index, (name, shape)) in ours.iter().enumerate() {
            let theirs = naming.name(name);
            match file.remove(&theirs) {
                None if name.starts_with(CLASSIFIER) => new_classifier.push(theirs),
                None => missing.push(theirs),
                Some(tensor) if tensor.size() == *shape => found.push((index, tensor)),
                Some(tensor) if name.starts_with(CLASSIFIER) && tensor.size().get(1..) == shape.get(1..) => {
                    new_classifier.push(theirs);
                }
                Some(tensor) => {
                    misshapen.push(format!("{theirs} is {:?} there, {shape:?} here", tensor.size()))
                }
            }
        }
        if !missing.is_empty() || !misshapen.is_empty() {
            bail!(Usage(other_network(path, &missing, &misshapen)));
        }
        reject_non_finite(path, naming, &ours, &found)?;
        let unused = file.into_keys().filter(|name| !name.ends_with("num_batches_tracked")).collect();
        Ok(Self { path: path.to_owned(), naming, found, new_classifier, unused })
    }

    /// Puts them into the replica's parameters and statistics, and logs what was and was not loaded.
    pub(crate) fn fill(&self, replica: &mut Replica) {
        let mut views: Vec<_> =
            replica.parameters.views.iter_mut().chain(&mut replica.running.views).collect();
        for (index, tensor) in &self.found {
            tch::no_grad(|| views[*index].copy_(tensor));
        }
        let Self { path, naming, found, new_classifier, unused } = self;
        let (path, library) = (path.display(), naming.library());
        tracing::info!("pretrained: {} tensors from {path}, with {library}'s names", found.len());
        if !new_classifier.is_empty() {
            tracing::info!(
                "pretrained: the classifier starts anew, since the file has none for these classes: {} not loaded",
                new_classifier.join(", ")
            );
        }
        if !unused.is_empty() {
            tracing::info!("pretrained: in the file, but not in this network: {}", unused.join(", "));
        }
    }
}

/// Pickles run whatever code is in them, so none is ever opened.
fn require_safetensors(path: &Path) -> Result<()> {
    let shown = path.display();
    let unusable = |why: String| Usage(format!("model.pretrained = {shown}: {why}; give a safetensors file"));
    // Opening a pipe would wait for a writer.
    if path.metadata().is_ok_and(|it| !it.is_file()) {
        bail!(unusable("not a regular file".into()));
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(2).read_to_end(&mut start));
    read.map_err(|error| unusable(format!("cannot be read: {error}")))?;
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    // PyTorch's files are zip archives, the older ones begin with a pickle's protocol.
    if ["pt", "pth", "pyth", "bin", "ckpt", "pkl"].contains(&ending)
        || start == *b"PK"
        || start == [0x80, 0x02]
    {
        let safe = path.with_extension("safetensors");
        bail!(Usage(format!(
            "model.pretrained = {shown}: that is a pickle, which may hold any code and is not opened here; convert it with\n  \
             import torch, safetensors.torch as st; s = torch.load({shown:?}, map_location=\"cpu\", weights_only=True)\n  \
             s = s.get(\"model_state\", s.get(\"state_dict\", s)); st.save_file({{k: v.contiguous() for k, v in s.items()}}, \
             {safe:?})\n\
             and set model.pretrained to {safe:?}",
            shown = shown.to_string(),
        )));
    }
    Ok(())
}

/// A file that is no whole safetensors file.
fn unusable(path: &Path, error: StorageError) -> Unusable {
    let found = match error {
        StorageError::Io { source, .. } => format!("cannot be read: {source}"),
        StorageError::Content { found, .. } => found,
    };
    Unusable(format!("model.pretrained = {}: {found}", path.display()))
}

/// Weights of a run that diverged, which would only show in this run's loss.
fn reject_non_finite(
    path: &Path,
    naming: Naming,
    ours: &[(String, Vec<i64>)],
    found: &[(usize, Tensor)],
) -> Result<()> {
    let bad: Vec<_> = found
        .iter()
        .filter_map(|(index, tensor)| {
            // As the network takes them, whose numbers are fp32 as a rule: what overflows there is of no use either.
            let finite = tensor.to_kind(Kind::Float).isfinite().sum(Kind::Int64).int64_value(&[]);
            let (bad, all) = (tensor.numel() as i64 - finite, tensor.numel());
            (bad > 0).then(|| format!("{} ({bad} of {all} numbers)", naming.name(&ours[*index].0)))
        })
        .collect();
    if !bad.is_empty() {
        let (path, bad) = (path.display(), listed(&bad));
        bail!(Unusable(format!("model.pretrained = {path}: NaN, or infinite in fp32: {bad}")));
    }
    Ok(())
}

/// Takes off the prefix that wrappers such as DistributedDataParallel put before every name.
fn strip_wrapper(file: &mut BTreeMap<String, Tensor>) {
    for prefix in ["module.", "model."] {
        if !file.is_empty() && file.keys().all(|name| name.starts_with(prefix)) {
            let stripped = std::mem::take(file).into_iter();
            *file = stripped.map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor)).collect();
        }
    }
}

/// Whose names most of the network's tensors have in the file.
fn naming_of(file: &BTreeMap<String, Tensor>, ours: &[(String, Vec<i64>)]) -> Naming {
    let found =
        |naming: &Naming| ours.iter().filter(|(name, _)| file.contains_key(&naming.name(name))).count();
    Naming::ALL.into_iter().rev().max_by_key(found).expect("there are several")
}

fn other_network(path: &Path, missing: &[String], misshapen: &[String]) -> String {
    let mut text = format!("model.pretrained = {}: the weights are of another network", path.display());
    if !misshapen.is_empty() {
        text += &format!("; {}", listed(misshapen));
    }
    if !missing.is_empty() {
        text += &format!("; not there: {}", listed(missing));
    }
    text
}

fn listed(names: &[String]) -> String {
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use regatta_anynet::{Stage, regnetx32};
    use tch::{Device, Kind};

    use super::*;

    fn network() -> Network {
        let stage = Stage { group_width: 8, ..Stage::plain(1, 16, 2) };
        Network { stages: vec![stage], ..regnetx32(1, 10) }
    }

    /// A file of the network's parameters and statistics, each under the name that `named` gives it.
    fn file(kind: Kind, named: impl Fn(&str) -> String) -> BTreeMap<String, Tensor> {
        let tensors = network().tensors().into_iter();
        tensors.map(|(name, shape)| (named(&name), Tensor::ones(&shape, (kind, Device::Cpu)))).collect()
    }

    fn read(tensors: &BTreeMap<String, Tensor>) -> Result<Pretrained> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        tensor_file::write(&path, tensors.iter().map(|(name, tensor)| (name.clone(), tensor))).unwrap();
        Pretrained::read(&path, &network())
    }

    #[test]
    fn each_naming_is_recognised_also_behind_a_wrapper() {
        for naming in Naming::ALL {
            for prefix in ["", "module.", "model."] {
                let tensors = file(Kind::Float, |name| format!("{prefix}{}", naming.name(name)));
                let weights = read(&tensors).unwrap();
                assert_eq!((weights.naming, weights.found.len()), (naming, tensors.len()), "{prefix}");
                assert!(weights.new_classifier.is_empty() && weights.unused.is_empty());
            }
        }
    }

    #[test]
    fn what_the_network_has_not_is_told() {
        let mut tensors = file(Kind::Double, str::to_owned);
        tensors.insert("head.extra.weight".into(), Tensor::ones([1], (Kind::Float, Device::Cpu)));
        tensors.insert("stem.bn.num_batches_tracked".into(), Tensor::from(7_i64));
        assert_eq!(read(&tensors).unwrap().unused, ["head.extra.weight"]);
    }

    #[test]
    fn a_classifier_of_other_classes_is_left_out_and_one_of_another_width_refused() {
        let mut tensors = file(Kind::Float, str::to_owned);
        tensors.insert("head.fc.weight".into(), Tensor::ones([7, 16], (Kind::Float, Device::Cpu)));
        tensors.insert("head.fc.bias".into(), Tensor::ones([7], (Kind::Float, Device::Cpu)));
        assert_eq!(read(&tensors).unwrap().new_classifier, ["head.fc.weight", "head.fc.bias"]);
        tensors.remove("head.fc.bias");
        tensors.remove("head.fc.weight");
        assert_eq!(read(&tensors).unwrap().new_classifier, ["head.fc.weight", "head.fc.bias"], "a backbone");
        tensors.insert("head.fc.weight".into(), Tensor::ones([7, 32], (Kind::Float, Device::Cpu)));
        let error = read(&tensors).unwrap_err().to_string();
        assert!(
            error.ends_with("of another network; head.fc.weight is [7, 32] there, [10, 16] here"),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_finite_is_refused_by_name() {
        let tensors = file(Kind::Double, |name| Naming::Torchvision.name(name));
        let spoil = |name: &str, value: f64| {
            let mut first = tensors[&Naming::Torchvision.name(name)].flatten(0, -1).narrow(0, 0, 1);
            _ = first.fill_(value);
            read(&tensors)
        };
        assert!(spoil("stem.conv.weight", 1e30).is_ok());
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            let error = spoil("stem.conv.weight", value).unwrap_err();
            assert!(error.is::<Unusable>());
            let error = error.to_string();
            assert!(
                error.ends_with("x.safetensors: NaN, or infinite in fp32: stem.0.weight (1 of 288 numbers)"),
                "{error}"
            );
        }
        let error = spoil("stem.bn.running_var", f64::NAN).unwrap_err().to_string();
        assert!(error.ends_with("numbers), stem.1.running_var (1 of 32 numbers)"), "{error}");
        let mut classifier = file(Kind::Float, str::to_owned);
        classifier.insert("head.fc.bias".into(), Tensor::full([7], f64::NAN, (Kind::Float, Device::Cpu)));
        classifier.insert("other".into(), Tensor::from(f64::NAN));
        classifier.remove("head.fc.weight");
        assert!(read(&classifier).is_ok(), "what is not loaded may be anything");
    }

    #[test]
    fn a_file_of_something_else_says_what_is_not_there() {
        let tensors =
            BTreeMap::from([("fc1.weight".to_owned(), Tensor::ones([1], (Kind::Float, Device::Cpu)))]);
        let error = read(&tensors).unwrap_err().to_string();
        assert!(
            error.contains("of another network; not there: stem.conv.weight, stem.conv.bias, "),
            "{error}"
        );
    }
}
