//! Pretrained weights: a safetensors file with the tensor names of pycls, torchvision or timm.

use std::collections::BTreeMap;
use std::fmt;
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

/// Prefix of the classifier, which may have another number of classes in the file.
const CLASSIFIER: &str = "head.fc.";
/// Maximum number of names in a message.
const SHOWN: usize = 6;

/// Where the user named a file of weights, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named<'a> {
    /// The key model.pretrained.
    InRecipe(&'a Path),
    /// The option --weights.
    AsOption(&'a Path),
}

impl Named<'_> {
    /// Returns the key or option that another file has to be given to.
    fn remedy(self) -> &'static str {
        match self {
            Self::InRecipe(_) => "set model.pretrained to",
            Self::AsOption(_) => "give --weights",
        }
    }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InRecipe(path) => write!(f, "model.pretrained = {}", path.display()),
            Self::AsOption(path) => write!(f, "--weights {}", path.display()),
        }
    }
}

/// The tensors of a file that fit a network.
#[derive(Debug)]
pub(crate) struct Pretrained {
    path: PathBuf,
    /// The library whose names the file uses.
    pub(crate) naming: Naming,
    /// Tensors by their index among the network's parameters followed by its statistics.
    pub(crate) found: Vec<(usize, Tensor)>,
    /// Tensors of the classifier that are not loaded, since the file has none for this number of classes or on request.
    pub(crate) new_classifier: Vec<String>,
    /// Why they are not loaded.
    why_new: &'static str,
    /// Other tensors in the file.
    pub(crate) unused: Vec<String>,
}

impl Pretrained {
    /// Reads the file, which must have every tensor of the network except its classifier.
    ///
    /// # Errors
    /// A file that is not safetensors, is damaged, is of another network, or holds values that are not finite.
    pub(crate) fn read(path: &Path, network: &Network) -> Result<Self> {
        Self::read_named(Named::InRecipe(path), path, network)
    }

    /// Reads the file of the option --weights, which must have the network's classifier too.
    ///
    /// # Errors
    /// Those of [`Pretrained::read`], and a classifier of other classes.
    pub(crate) fn read_complete(path: &Path, network: &Network) -> Result<Self> {
        let named = Named::AsOption(path);
        let weights = Self::read_named(named, path, network)?;
        if !weights.new_classifier.is_empty() {
            let (tensors, classes) = (weights.new_classifier.join(", "), network.classes);
            bail!(Usage(format!(
                "{named}: it has no classifier of {classes} classes (model.classes): {tensors} missing, or of another shape"
            )));
        }
        Ok(weights)
    }

    fn read_named(named: Named, path: &Path, network: &Network) -> Result<Self> {
        require_safetensors(named, path)?;
        let mut file = tensor_file::read_all(path).map_err(|error| unusable(named, error))?;
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
            bail!(Usage(other_network(named, &missing, &misshapen)));
        }
        reject_non_finite(named, naming, &ours, &found)?;
        let unused = file.into_keys().filter(|name| !name.ends_with("num_batches_tracked")).collect();
        let why_new = "the file has none for these classes";
        Ok(Self { path: path.to_owned(), naming, found, new_classifier, why_new, unused })
    }

    /// Leaves the classifier out although it fits, as `model.new_classifier` requests.
    pub(crate) fn without_classifier(mut self, network: &Network) -> Self {
        let ours = network.tensors();
        let is_classifier = |(index, _): &mut (usize, Tensor)| ours[*index].0.starts_with(CLASSIFIER);
        let left_out: Vec<_> = self.found.extract_if(.., is_classifier).collect();
        if !left_out.is_empty() {
            self.why_new = "model.new_classifier = true";
            let names = left_out.iter().map(|(index, _)| self.naming.name(&ours[*index].0));
            self.new_classifier.extend(names);
        }
        self
    }

    /// Copies the tensors into the replica's parameters and statistics, and logs what was loaded and what was not.
    pub(crate) fn fill(&self, replica: &mut Replica) {
        let mut tensors = replica.tensors(&replica.parameters, &replica.running);
        for (index, tensor) in &self.found {
            tch::no_grad(|| tensors[*index].1.copy_(tensor));
        }
        let Self { path, naming, found, new_classifier, why_new, unused } = self;
        let (path, library) = (path.display(), naming.library());
        tracing::info!("pretrained: {} tensors from {path}, with {library}'s names", found.len());
        if !new_classifier.is_empty() {
            tracing::info!(
                "pretrained: the classifier keeps its random initialization, since {why_new}: {} not loaded",
                new_classifier.join(", ")
            );
        }
        if !unused.is_empty() {
            tracing::info!("pretrained: in the file, but not in this network: {}", unused.join(", "));
        }
    }
}

/// Rejects anything but a regular file, and pickles, which may run any code when opened.
fn require_safetensors(named: Named, path: &Path) -> Result<()> {
    let unusable = |why: String| Usage(format!("{named}: {why}; give a safetensors file"));
    // Opening a pipe would block until it has a writer.
    if path.metadata().is_ok_and(|it| !it.is_file()) {
        bail!(unusable("not a regular file".into()));
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(2).read_to_end(&mut start));
    read.map_err(|error| unusable(format!("cannot be read: {error}")))?;
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    // PyTorch's files are zip archives; older ones begin with a pickle's protocol number.
    if ["pt", "pth", "pyth", "bin", "ckpt", "pkl"].contains(&ending)
        || start == *b"PK"
        || start == [0x80, 0x02]
    {
        let safe = path.with_extension("safetensors");
        bail!(Usage(format!(
            "{named}: that is a pickle, which may hold any code and is not opened here; convert it with\n  \
             import torch, safetensors.torch as st; s = torch.load({shown:?}, map_location=\"cpu\", weights_only=True)\n  \
             s = s.get(\"model_state\", s.get(\"state_dict\", s)); st.save_file({{k: v.contiguous() for k, v in s.items()}}, \
             {safe:?})\n\
             and {remedy} {safe:?}",
            shown = path.display().to_string(),
            remedy = named.remedy(),
        )));
    }
    Ok(())
}

/// Describes a file that is not a complete safetensors file.
fn unusable(named: Named, error: StorageError) -> Unusable {
    let found = match error {
        StorageError::Io { source, .. } => format!("cannot be read: {source}"),
        StorageError::Content { found, .. } => found,
    };
    Unusable(format!("{named}: {found}"))
}

/// Rejects weights of a run that diverged, which would otherwise only show in this run's loss.
fn reject_non_finite(
    named: Named,
    naming: Naming,
    ours: &[(String, Vec<i64>)],
    found: &[(usize, Tensor)],
) -> Result<()> {
    let bad: Vec<_> = found
        .iter()
        .filter_map(|(index, tensor)| {
            // In fp32, which the network's parameters usually are: values that overflow there are useless too.
            let finite = tensor.to_kind(Kind::Float).isfinite().sum(Kind::Int64).int64_value(&[]);
            let (bad, all) = (tensor.numel() as i64 - finite, tensor.numel());
            (bad > 0).then(|| format!("{} ({bad} of {all} numbers)", naming.name(&ours[*index].0)))
        })
        .collect();
    if !bad.is_empty() {
        let bad = listed(&bad);
        bail!(Unusable(format!("{named}: NaN, or infinite in fp32: {bad}")));
    }
    Ok(())
}

/// Removes the prefix that wrappers such as DistributedDataParallel put before every name.
fn strip_wrapper(file: &mut BTreeMap<String, Tensor>) {
    for prefix in ["module.", "model."] {
        if !file.is_empty() && file.keys().all(|name| name.starts_with(prefix)) {
            let stripped = std::mem::take(file).into_iter();
            *file = stripped.map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor)).collect();
        }
    }
}

/// Returns the naming under which the file has the most of the network's tensors.
fn naming_of(file: &BTreeMap<String, Tensor>, ours: &[(String, Vec<i64>)]) -> Naming {
    let found =
        |naming: &Naming| ours.iter().filter(|(name, _)| file.contains_key(&naming.name(name))).count();
    Naming::ALL.into_iter().rev().max_by_key(found).expect("there are several")
}

fn other_network(named: Named, missing: &[String], misshapen: &[String]) -> String {
    let mut text = format!("{named}: the weights belong to another network");
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

    /// Returns a file of the network's parameters and statistics, with the names that `named` returns.
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
    fn unused_tensors_are_listed() {
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
            error.ends_with("to another network; head.fc.weight is [7, 32] there, [10, 16] here"),
            "{error}"
        );
    }

    #[test]
    fn a_classifier_that_fits_is_left_out_on_request() {
        let tensors = file(Kind::Float, |name| Naming::Torchvision.name(name));
        let weights = read(&tensors).unwrap();
        let body = weights.found.len() - 2;
        let weights = weights.without_classifier(&network());
        assert_eq!(weights.new_classifier, ["fc.weight", "fc.bias"]);
        assert_eq!((weights.found.len(), weights.why_new), (body, "model.new_classifier = true"));
        let parameters = network().parameters().len();
        assert!(weights.found.iter().all(|(index, _)| !(parameters - 2..parameters).contains(index)));
    }

    #[test]
    fn tensors_that_are_not_finite_are_rejected_by_name() {
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
    fn a_file_of_another_network_is_rejected_with_the_missing_names() {
        let tensors =
            BTreeMap::from([("fc1.weight".to_owned(), Tensor::ones([1], (Kind::Float, Device::Cpu)))]);
        let error = read(&tensors).unwrap_err().to_string();
        assert!(
            error.contains("to another network; not there: stem.conv.weight, stem.conv.bias, "),
            "{error}"
        );
    }
}
