//! `[optim]`: its keys, the update rule that they select, and their checks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::OptimizerName;
use crate::error::RecipeError;
use crate::interval::{ABOVE_ZERO, AT_LEAST_ZERO, BELOW_ONE, Checked};
use crate::place::Places;

/// `[optim]`: the optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawOptim {
    /// The update rule. Required.
    pub name: Option<OptimizerName>,
    /// Learning rate for the global batch, reached at the end of the warm-up. Required: a number above 0.
    pub lr: f64,
    /// Learning rate of the classifier's weight and bias, above 0; it follows the same schedule. Default: lr.
    pub head_lr: Option<f64>,
    /// Momentum, 0 to below 1 (sgd only). Default: 0.0.
    pub momentum: f64,
    /// Whether to use Nesterov momentum (sgd only). Default: false.
    pub nesterov: bool,
    /// Weight decay of convolution and classifier weights: L2 for sgd, decoupled for adamw. Default: 0.0.
    pub weight_decay: f64,
    /// Weight decay of BatchNorm's scales and shifts. Default: 0.0.
    pub weight_decay_norm: f64,
    /// Weight decay of the biases of convolutions and of the classifier. Default: 0.0.
    pub weight_decay_bias: f64,
    /// Decay rate of the first moment, 0 to below 1 (adamw only). Default: 0.9.
    pub beta1: f64,
    /// Decay rate of the second moment, 0 to below 1 (adamw only). Default: 0.999.
    pub beta2: f64,
    /// Term added to the denominator for numerical stability (adamw only). Default: 1e-8.
    pub eps: f64,
}

impl Default for RawOptim {
    fn default() -> Self {
        Self {
            name: None,
            lr: 0.0,
            head_lr: None,
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            weight_decay_norm: 0.0,
            weight_decay_bias: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        }
    }
}

/// Resolved `[optim]`: the optimizer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OptimSettings {
    /// The update rule with its own parameters.
    #[serde(flatten)]
    pub optimizer: Optimizer,
    /// Learning rate after the warm-up, above 0.
    pub lr: f64,
    /// That of the classifier, above 0, if it has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_lr: Option<f64>,
    /// Weight decay of convolution and classifier weights, at least 0.
    pub weight_decay: f64,
    /// Weight decay of BatchNorm's scales and shifts, at least 0.
    pub weight_decay_norm: f64,
    /// Weight decay of the biases of convolutions and of the classifier, at least 0.
    pub weight_decay_bias: f64,
}

/// An update rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Optimizer {
    /// Stochastic gradient descent with L2 weight decay.
    Sgd {
        /// Momentum, in [0, 1).
        momentum: f64,
        /// Whether to use Nesterov momentum; `momentum` is then above 0.
        nesterov: bool,
    },
    /// Adam with decoupled weight decay.
    AdamW {
        /// Decay of the first moment, in [0, 1).
        beta1: f64,
        /// Decay of the second moment, in [0, 1).
        beta2: f64,
        /// Term added to the denominator, above 0.
        eps: f64,
    },
}

impl RawOptim {
    /// Resolves the update rule.
    ///
    /// # Errors
    /// A key that does not belong to the chosen update rule.
    pub(crate) fn resolve(self, places: &Places) -> Result<OptimSettings, RecipeError> {
        let sgd = Optimizer::Sgd { momentum: self.momentum, nesterov: self.nesterov };
        let optimizer = match self.name {
            None => sgd,
            Some(OptimizerName::Sgd) => {
                let keys = ["optim.beta1", "optim.beta2", "optim.eps"];
                places.refuse_typed(keys, "optim.name", r#""adamw""#)?;
                sgd
            }
            Some(OptimizerName::AdamW) => {
                // Default values are accepted, so that overrides can turn a recipe for sgd into one for adamw.
                let is_set = [("optim.momentum", self.momentum != 0.0), ("optim.nesterov", self.nesterov)];
                let keys = is_set.into_iter().filter_map(|(key, is_set)| is_set.then_some(key));
                places.refuse_typed(keys, "optim.name", r#""sgd""#)?;
                Optimizer::AdamW { beta1: self.beta1, beta2: self.beta2, eps: self.eps }
            }
        };
        Ok(OptimSettings {
            optimizer,
            lr: self.lr,
            head_lr: self.head_lr,
            weight_decay: self.weight_decay,
            weight_decay_norm: self.weight_decay_norm,
            weight_decay_bias: self.weight_decay_bias,
        })
    }
}

impl OptimSettings {
    /// Rejects values out of their range, and Nesterov momentum without a momentum.
    pub(crate) fn check(&self, places: &Places) -> Checked {
        places.require_in(&ABOVE_ZERO, "optim.lr", self.lr)?;
        if let Some(lr) = self.head_lr {
            places.require_in(&ABOVE_ZERO, "optim.head_lr", lr)?;
        }
        places.require_in(&AT_LEAST_ZERO, "optim.weight_decay", self.weight_decay)?;
        places.require_in(&AT_LEAST_ZERO, "optim.weight_decay_norm", self.weight_decay_norm)?;
        places.require_in(&AT_LEAST_ZERO, "optim.weight_decay_bias", self.weight_decay_bias)?;
        match self.optimizer {
            Optimizer::Sgd { momentum, nesterov } => {
                places.require_in(&BELOW_ONE, "optim.momentum", momentum)?;
                if nesterov && momentum == 0.0 {
                    let problem =
                        "optim.nesterov = true needs a momentum: set optim.momentum, for example to 0.9";
                    return Err(places.conflict("optim.nesterov", problem.to_owned()));
                }
                Ok(())
            }
            Optimizer::AdamW { beta1, beta2, eps } => {
                places.require_in(&BELOW_ONE, "optim.beta1", beta1)?;
                places.require_in(&BELOW_ONE, "optim.beta2", beta2)?;
                places.require_in(&ABOVE_ZERO, "optim.eps", eps)
            }
        }
    }
}
