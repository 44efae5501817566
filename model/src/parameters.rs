//! Names and shapes of what a network learns, in forward order. The names are those of pycls, the reference code of the
//! RegNet paper: `stem.conv.weight`, `s1.b2.f.a_bn.bias`, `s1.b1.proj.weight`, `head.fc.weight`.

use regatta_anynet::{Block, Network};

/// One learned tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Name in checkpoints.
    pub name: String,
    /// Shape: `[out, in/groups, k, k]`, `[classes, width]` or `[width]`.
    pub shape: Vec<i64>,
    /// Number of its block in forward order: stem 0, blocks from 1, head last.
    pub block: usize,
    /// What it is, and with it its weight decay and its initialisation.
    pub role: Role,
}

/// What a parameter does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Weight of a convolution.
    ConvWeight,
    /// Bias of a convolution that sums over `fan_in` inputs.
    ConvBias {
        /// Inputs of each output: in/groups · k².
        fan_in: i64,
    },
    /// Scale of a BatchNorm.
    NormWeight,
    /// Shift of a BatchNorm.
    NormBias,
    /// Weight of the classifier.
    LinearWeight,
    /// Bias of the classifier, which sums over `fan_in` inputs.
    LinearBias {
        /// Inputs of the classifier.
        fan_in: i64,
    },
}

impl Parameter {
    /// Weights take the full weight decay; BatchNorm and biases one of their own.
    pub fn decayed(&self) -> bool {
        matches!(self.role, Role::ConvWeight | Role::LinearWeight)
    }
}

/// One running statistic of a BatchNorm: a vector of `width` elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistic {
    /// Name in checkpoints, ending in `running_mean` or `running_var`.
    pub name: String,
    /// Channels.
    pub width: i64,
}

impl Statistic {
    /// Means start at 0, variances at 1.
    pub fn initial_value(&self) -> f64 {
        if self.name.ends_with("var") { 1.0 } else { 0.0 }
    }
}

/// A convolution and the BatchNorm behind it.
#[derive(Debug, Clone)]
pub(crate) struct ConvNorm {
    pub(crate) conv: String,
    pub(crate) norm: String,
    pub(crate) in_width: i64,
    pub(crate) out_width: i64,
    pub(crate) kernel: i64,
    pub(crate) stride: i64,
    pub(crate) groups: i64,
}

pub(crate) fn stem(network: &Network) -> ConvNorm {
    ConvNorm {
        conv: "stem.conv".into(),
        norm: "stem.bn".into(),
        in_width: network.in_channels,
        out_width: network.stem_width,
        kernel: 3,
        stride: 2,
        groups: 1,
    }
}

/// The bottleneck's 1x1, 3x3 grouped and 1x1, and the projection where the shape changes.
pub(crate) fn residual(block: &Block) -> ([ConvNorm; 3], Option<ConvNorm>) {
    let f = |letter: &str, in_width, out_width, kernel, stride, groups| ConvNorm {
        conv: format!("{}.f.{letter}", block.name),
        norm: format!("{}.f.{letter}_bn", block.name),
        in_width,
        out_width,
        kernel,
        stride,
        groups,
    };
    let inner = block.bottleneck_width;
    let path = [
        f("a", block.in_width, inner, 1, 1, 1),
        f("b", inner, inner, 3, block.stride, block.groups),
        f("c", inner, block.width, 1, 1, 1),
    ];
    let projection = block.projection.then(|| ConvNorm {
        conv: format!("{}.proj", block.name),
        norm: format!("{}.bn", block.name),
        in_width: block.in_width,
        out_width: block.width,
        kernel: 1,
        stride: block.stride,
        groups: 1,
    });
    (path, projection)
}

/// Every convolution with its BatchNorm, in forward order, with the number of its block.
fn conv_norms(network: &Network) -> Vec<(usize, ConvNorm)> {
    let mut all = vec![(0, stem(network))];
    for (index, block) in network.blocks().iter().enumerate() {
        let (path, projection) = residual(block);
        all.extend(path.into_iter().chain(projection).map(|conv_norm| (index + 1, conv_norm)));
    }
    all
}

/// Everything that `network` learns, in forward order.
pub fn parameters(network: &Network) -> Vec<Parameter> {
    let mut all = Vec::new();
    let mut push = |name: String, shape: &[i64], block, role| {
        all.push(Parameter { name, shape: shape.to_vec(), block, role });
    };
    for (block, unit) in conv_norms(network) {
        let ConvNorm { in_width, out_width, kernel, groups, .. } = unit;
        let shape = [out_width, in_width / groups, kernel, kernel];
        push(format!("{}.weight", unit.conv), &shape, block, Role::ConvWeight);
        if network.conv_bias {
            let fan_in = shape[1..].iter().product();
            push(format!("{}.bias", unit.conv), &[out_width], block, Role::ConvBias { fan_in });
        }
        push(format!("{}.weight", unit.norm), &[out_width], block, Role::NormWeight);
        push(format!("{}.bias", unit.norm), &[out_width], block, Role::NormBias);
    }
    let (head, width) = (network.blocks().len() + 1, head_width(network));
    push("head.fc.weight".into(), &[network.classes, width], head, Role::LinearWeight);
    push("head.fc.bias".into(), &[network.classes], head, Role::LinearBias { fan_in: width });
    all
}

/// The running mean and variance of every BatchNorm, in forward order.
pub fn statistics(network: &Network) -> Vec<Statistic> {
    let of = |(_, unit): &(usize, ConvNorm)| {
        ["running_mean", "running_var"]
            .map(|kind| Statistic { name: format!("{}.{kind}", unit.norm), width: unit.out_width })
    };
    conv_norms(network).iter().flat_map(of).collect()
}

/// Width of the features that the classifier sees.
fn head_width(network: &Network) -> i64 {
    network.stages.last().map_or(network.stem_width, |stage| stage.width)
}
