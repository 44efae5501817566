//! The names of a network's tensors in other libraries.
//!
//! This project and its checkpoints use pycls's names. BatchNorm's buffers are renamed as well:
//! `s1.b1.f.a_bn.running_mean` is `trunk_output.block1.block1-0.f.a.1.running_mean` in torchvision.

/// A library's naming scheme for tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// Those of pycls, the RegNet paper's code: `s1.b1.f.a.weight`.
    Pycls,
    /// Those of torchvision: `trunk_output.block1.block1-0.f.a.0.weight`.
    Torchvision,
    /// Those of timm: `s1.b1.conv1.conv.weight`.
    Timm,
}

impl Naming {
    /// All naming schemes.
    pub const ALL: [Self; 3] = [Self::Pycls, Self::Torchvision, Self::Timm];

    /// Returns the library's name.
    pub fn library(self) -> &'static str {
        match self {
            Naming::Pycls => "pycls",
            Naming::Torchvision => "torchvision",
            Naming::Timm => "timm",
        }
    }

    /// Returns the naming scheme of a library.
    pub fn of(library: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|naming| naming.library() == library)
    }

    /// Returns the library's name of the tensor that this project calls `name`, such as `s1.b2.f.a_bn.weight`.
    pub fn name(self, name: &str) -> String {
        if self == Naming::Pycls {
            return name.to_owned();
        }
        let (layer, tensor) = name.rsplit_once('.').expect("a tensor belongs to a layer");
        let parts: Vec<&str> = layer.splitn(3, '.').collect();
        let layer = match (self, &parts[..]) {
            (Naming::Torchvision, ["head", rest]) => (*rest).to_owned(),
            (Naming::Torchvision, ["stem", rest]) => format!("stem.{}", torchvision_stem(rest)),
            (Naming::Torchvision, [stage, block, rest]) => {
                let (stage, block) = (number(stage), number(block));
                let rest = torchvision(rest);
                format!("trunk_output.block{stage}.block{stage}-{}.{rest}", block - 1)
            }
            (_, [stage, block, rest]) => format!("{stage}.{block}.{}", timm(rest)),
            _ => layer.to_owned(),
        };
        format!("{layer}.{tensor}")
    }
}

/// Returns the number in the name of a stage or block: 12 for `b12`.
fn number(part: &str) -> usize {
    part[1..].parse().expect("stages and blocks are numbered")
}

fn torchvision_stem(layer: &str) -> &str {
    match layer {
        "conv" => "0",
        "bn" => "1",
        other => other,
    }
}

/// Translates the name of a layer within a block: `f.a`, `f.a_bn`, `f.se.f_ex.0`, `proj`, `bn`.
fn torchvision(layer: &str) -> String {
    match layer {
        "proj" => "proj.0".to_owned(),
        "bn" => "proj.1".to_owned(),
        "f.se.f_ex.0" => "f.se.fc1".to_owned(),
        "f.se.f_ex.2" => "f.se.fc2".to_owned(),
        other => match other.strip_suffix("_bn") {
            Some(conv) => format!("{conv}.1"),
            None => format!("{other}.0"),
        },
    }
}

fn timm(layer: &str) -> String {
    let layer = layer.strip_prefix("f.").unwrap_or(layer);
    match layer {
        "proj" => "downsample.conv".to_owned(),
        "bn" => "downsample.bn".to_owned(),
        "se.f_ex.0" => "se.fc1".to_owned(),
        "se.f_ex.2" => "se.fc2".to_owned(),
        other => {
            let (letter, kind) = match other.strip_suffix("_bn") {
                Some(letter) => (letter, "bn"),
                None => (other, "conv"),
            };
            let number = letter.bytes().next().map_or(0, |letter| letter - b'a' + 1);
            format!("conv{number}.{kind}")
        }
    }
}
