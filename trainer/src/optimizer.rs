//! SGD and AdamW on the flat buffers, with optimizer state in the same layout.

use anyhow::Result;
use regatta_comm::FlatBuffer;
use regatta_settings::{self as settings, OptimSettings};
use regatta_torch_ext::{AdamW, Sgd, fused_adamw, fused_sgd};
use tch::{Device, Kind, Tensor};

use crate::replica::Replica;

/// The slices of all buffers with the same weight decay.
#[derive(Debug)]
struct Group {
    weight_decay: f64,
    parameters: Vec<Tensor>,
    gradients: Vec<Tensor>,
    /// One list for each state buffer.
    state: Vec<Vec<Tensor>>,
}

/// An update rule with its state.
#[derive(Debug)]
pub(crate) struct Optimizer {
    rule: settings::Optimizer,
    /// State by its name in checkpoints: `momentum`, or `exp_avg` and `exp_avg_sq`.
    pub(crate) state: Vec<(&'static str, FlatBuffer)>,
    /// The learning rate, on the device: a recorded step reads it there.
    lr: Tensor,
    /// Updates made, which AdamW's bias correction counts: a float32 scalar on the device, exact up to 2^24.
    updates: Tensor,
    groups: Vec<Group>,
}

impl Optimizer {
    /// Creates the optimizer of the replica's parameters, with zeroed state.
    pub(crate) fn new(settings: &OptimSettings, replica: &Replica) -> Self {
        let names: &[&str] = match settings.optimizer {
            settings::Optimizer::Sgd { .. } => &["momentum"],
            settings::Optimizer::AdamW { .. } => &["exp_avg", "exp_avg_sq"],
        };
        let state: Vec<_> = names.iter().map(|&name| (name, replica.parameters.zeros_like())).collect();
        let group = |(decayed, weight_decay)| {
            let slices = |buffer: &FlatBuffer| buffer.slices(&replica.layout, decayed);
            Group {
                weight_decay,
                parameters: slices(&replica.parameters),
                gradients: slices(&replica.gradients),
                state: state.iter().map(|(_, buffer)| slices(buffer)).collect(),
            }
        };
        let decays = [(true, settings.weight_decay), (false, settings.weight_decay_norm_bias)];
        let groups = decays.map(group).into();
        let device = replica.parameters.flat.device();
        let lr = Tensor::zeros([], (if device == Device::Cpu { Kind::Double } else { Kind::Float }, device));
        let updates = Tensor::zeros([], (Kind::Float, device));
        Self { rule: settings.optimizer.clone(), state, lr, updates, groups }
    }

    /// Sets the number of updates made so far, after a checkpoint was restored.
    pub(crate) fn set_updates(&mut self, updates: u64) {
        _ = self.updates.fill_(updates as f64);
    }

    /// Sets the learning rate of the next steps.
    pub(crate) fn set_lr(&mut self, lr: f64) {
        _ = self.lr.fill_(lr);
    }

    /// Updates every parameter from its gradient. Changes nothing if `found_inf`, a float32 scalar on the device, is 1.
    ///
    /// # Errors
    /// Tensors that libtorch rejects, and device errors.
    pub(crate) fn step(&mut self, found_inf: &Tensor) -> Result<()> {
        let lr = &self.lr;
        _ = self.updates.g_add_(&(1 - found_inf));
        for Group { weight_decay, parameters, gradients, state } in &self.groups {
            let weight_decay = *weight_decay;
            match self.rule {
                settings::Optimizer::Sgd { momentum, nesterov } => {
                    let constants = Sgd { momentum, nesterov, weight_decay };
                    fused_sgd(parameters, gradients, &state[0], lr, found_inf, constants)?;
                }
                settings::Optimizer::AdamW { beta1, beta2, eps } => {
                    let constants = AdamW { beta1, beta2, weight_decay, eps };
                    let (first, second) = (&state[0], &state[1]);
                    fused_adamw(
                        parameters,
                        gradients,
                        first,
                        second,
                        lr,
                        &self.updates,
                        found_inf,
                        constants,
                    )?;
                }
            }
        }
        Ok(())
    }
}
