//! Names and shapes of a network's parameters and BatchNorm statistics, in forward order.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::block::{Block, ConvNorm, Part, Shortcut, SqueezeExcite};
use crate::network::Network;

/// A trainable tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Name in checkpoints, as in pycls: `s1.b2.f.a_bn.bias`.
    pub name: String,
    /// Shape: `[out, in/groups, k, k]`, `[classes, width]` or `[width]`.
    pub shape: Vec<i64>,
    /// Number of its block in forward order: stem 0, blocks from 1, head last.
    pub block: usize,
    /// Its role, which determines its group and initialisation.
    pub role: Role,
}

/// Role of a parameter.
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

/// Parameters that an optimizer updates alike: each group may have a weight decay, and the classifier a learning rate, of its
/// own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Weights of convolutions.
    Weight,
    /// Scales and shifts of BatchNorm.
    Norm,
    /// Biases of convolutions.
    Bias,
    /// The weight of the classifier.
    HeadWeight,
    /// The bias of the classifier.
    HeadBias,
}

impl Group {
    /// All groups, in the order in which a bucket holds them.
    pub const ALL: [Self; 5] = [Self::Weight, Self::HeadWeight, Self::Norm, Self::Bias, Self::HeadBias];

    /// Returns whether the classifier's parameters are in it.
    pub fn is_of_head(self) -> bool {
        matches!(self, Self::HeadWeight | Self::HeadBias)
    }
}

impl Parameter {
    /// Returns the group that it is updated with.
    pub fn group(&self) -> Group {
        match self.role {
            Role::ConvWeight => Group::Weight,
            Role::ConvBias { .. } => Group::Bias,
            Role::NormWeight | Role::NormBias => Group::Norm,
            Role::LinearWeight => Group::HeadWeight,
            Role::LinearBias { .. } => Group::HeadBias,
        }
    }

    /// Returns its number of elements.
    pub fn elements(&self) -> i64 {
        self.shape.iter().product()
    }
}

/// Initialisation of weights. BatchNorm is always initialised to the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// As in the RegNet paper's code (pycls): convolutions N(0, √(2/fan_out)) with fan_out = k²·out, classifier N(0, 0.01)
    /// with biases 0; biases of convolutions (squeeze-and-excitation's) as in PyTorch's layers: uniform in ±1/√fan_in.
    HeFanOut,
    /// As in Dive into Deep Learning (8.8): weights uniform in ±√(6/(fan_in + fan_out)), biases as in PyTorch's layers:
    /// uniform in ±1/√fan_in.
    XavierUniform,
}

/// One running statistic of a BatchNorm: a vector of `width` elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistic {
    /// Name in checkpoints, ending in `running_mean` or `running_var`.
    pub name: String,
    /// Channels.
    pub width: i64,
    /// Number of its block, as in [`Parameter::block`].
    pub block: usize,
}

impl Statistic {
    /// Returns the initial value: 0 for means, 1 for variances.
    pub fn initial_value(&self) -> f64 {
        if self.name.ends_with("var") { 1.0 } else { 0.0 }
    }
}

impl Network {
    /// Returns the network's parameters in forward order. The network must be valid.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut list = List { parameters: Vec::new(), block: 0, conv_bias: self.conv_bias };
        let blocks = self.blocks();
        for (number, block) in blocks.iter().enumerate() {
            list.block = number;
            list.block(block);
        }
        list.block = blocks.len();
        list.linear("head.fc", self.classes, self.head_width());
        list.parameters
    }

    /// Returns the running mean and variance of every BatchNorm, in forward order. The network must be valid.
    pub fn statistics(&self) -> Vec<Statistic> {
        let blocks = self.blocks();
        let norms = blocks.iter().enumerate().flat_map(|(number, block)| {
            let path = block.path.iter().filter_map(|part| match part {
                Part::Conv(conv) => Some(conv),
                Part::SqueezeExcite(_) | Part::MaxPool { .. } | Part::Flatten { .. } => None,
            });
            path.chain(block.projection()).map(move |conv| (number, conv))
        });
        norms
            .flat_map(|(block, conv)| {
                ["running_mean", "running_var"].map(|kind| Statistic {
                    name: format!("{}.{kind}", conv.norm),
                    width: conv.out_width,
                    block,
                })
            })
            .collect()
    }
}

impl Network {
    /// Returns names and shapes of the tensors in a weights file: the parameters, then the statistics.
    pub fn tensors(&self) -> Vec<(String, Vec<i64>)> {
        let parameters = self.parameters().into_iter().map(|it| (it.name, it.shape));
        let statistics = self.statistics().into_iter().map(|it| (it.name, vec![it.width]));
        parameters.chain(statistics).collect()
    }
}

impl Block {
    /// Returns the shortcut's convolution, if there is one.
    pub fn projection(&self) -> Option<&ConvNorm> {
        match &self.shortcut {
            Shortcut::Projection(conv) => Some(conv),
            Shortcut::Identity | Shortcut::None => None,
        }
    }
}

/// Collects the parameters of a network.
struct List {
    parameters: Vec<Parameter>,
    block: usize,
    conv_bias: bool,
}

impl List {
    fn block(&mut self, block: &Block) {
        for part in &block.path {
            match part {
                Part::Conv(conv) => self.conv_norm(conv),
                Part::SqueezeExcite(se) => self.squeeze_excite(se),
                Part::MaxPool { .. } | Part::Flatten { .. } => (),
            }
        }
        if let Some(projection) = block.projection() {
            self.conv_norm(projection);
        }
    }

    fn conv_norm(&mut self, unit: &ConvNorm) {
        let ConvNorm { in_width, out_width, kernel, groups, .. } = *unit;
        self.conv(&unit.name, [out_width, in_width / groups, kernel, kernel], self.conv_bias);
        self.push(format!("{}.weight", unit.norm), &[out_width], Role::NormWeight);
        self.push(format!("{}.bias", unit.norm), &[out_width], Role::NormBias);
    }

    fn squeeze_excite(&mut self, se: &SqueezeExcite) {
        let [squeeze, excite] = se.convolutions();
        self.conv(&squeeze, [se.squeeze_width, se.width, 1, 1], true);
        self.conv(&excite, [se.width, se.squeeze_width, 1, 1], true);
    }

    fn conv(&mut self, name: &str, shape: [i64; 4], bias: bool) {
        self.push(format!("{name}.weight"), &shape, Role::ConvWeight);
        if bias {
            let fan_in = shape[1..].iter().product();
            self.push(format!("{name}.bias"), &shape[..1], Role::ConvBias { fan_in });
        }
    }

    fn linear(&mut self, name: &str, outputs: i64, fan_in: i64) {
        self.push(format!("{name}.weight"), &[outputs, fan_in], Role::LinearWeight);
        self.push(format!("{name}.bias"), &[outputs], Role::LinearBias { fan_in });
    }

    fn push(&mut self, name: String, shape: &[i64], role: Role) {
        self.parameters.push(Parameter { name, shape: shape.to_vec(), block: self.block, role });
    }
}

impl SqueezeExcite {
    /// Returns the names of the squeeze and of the excitation convolution.
    pub fn convolutions(&self) -> [String; 2] {
        [format!("{}.f_ex.0", self.name), format!("{}.f_ex.2", self.name)]
    }
}
