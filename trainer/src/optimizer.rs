//! SGD and AdamW on the flat buffers, with optimizer state in the same layout.

use anyhow::Result;
use regatta_anynet as anynet;
use regatta_comm::FlatBuffer;
use regatta_settings::{self as settings, OptimSettings};
use regatta_torch_ext::{AdamW, Sgd, fused_adamw, fused_sgd};
use tch::{Device, Kind, Tensor};

use crate::replica::Replica;

/// A learning rate on the device, where a recorded step reads it.
#[derive(Debug)]
struct Rate {
    /// Its ratio to `optim.lr`, which it keeps throughout the schedule.
    factor: f64,
    value: Tensor,
}

/// What the parameters that one kernel call updates have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Constants {
    weight_decay: f64,
    /// Index of the learning rate.
    rate: usize,
}

impl Constants {
    fn of(group: anynet::Group, settings: &OptimSettings) -> Self {
        let weight_decay = match group {
            anynet::Group::Weight | anynet::Group::HeadWeight => settings.weight_decay,
            anynet::Group::Norm => settings.weight_decay_norm,
            anynet::Group::Bias | anynet::Group::HeadBias => settings.weight_decay_bias,
        };
        Self { weight_decay, rate: usize::from(group.is_of_head() && settings.head_lr.is_some()) }
    }
}

/// The slices of all buffers with the same constants.
#[derive(Debug)]
struct Group {
    constants: Constants,
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
    /// The learning rate, and that of the classifier if it has its own.
    rates: Vec<Rate>,
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
        let group = |(constants, groups): (Constants, Vec<anynet::Group>)| {
            let slices = |buffer: &FlatBuffer| buffer.slices(&replica.layout, &groups);
            Group {
                constants,
                parameters: slices(&replica.parameters),
                gradients: slices(&replica.gradients),
                state: state.iter().map(|(_, buffer)| slices(buffer)).collect(),
            }
        };
        let groups = alike(settings).into_iter().map(group).filter(|it| !it.parameters.is_empty()).collect();
        let device = replica.parameters.flat.device();
        let updates = Tensor::zeros([], (Kind::Float, device));
        let factors = std::iter::once(1.0).chain(settings.head_lr.map(|lr| lr / settings.lr));
        let rates = factors.map(|factor| Rate { factor, value: rate_on(device) }).collect();
        Self { rule: settings.optimizer.clone(), state, rates, updates, groups }
    }

    /// Sets the number of updates made so far, after a checkpoint was restored.
    pub(crate) fn set_updates(&mut self, updates: u64) {
        _ = self.updates.fill_(updates as f64);
    }

    /// Sets the learning rate of the next steps, and the classifier's in proportion.
    pub(crate) fn set_lr(&mut self, lr: f64) {
        for Rate { factor, value } in &mut self.rates {
            _ = value.fill_(lr * *factor);
        }
    }

    /// Updates every parameter from its gradient. Changes nothing if `found_inf`, a float32 scalar on the device, is 1.
    ///
    /// # Errors
    /// Tensors that libtorch rejects, and device errors.
    pub(crate) fn step(&mut self, found_inf: &Tensor) -> Result<()> {
        _ = self.updates.g_add_(&(1 - found_inf));
        for Group { constants, parameters, gradients, state } in &self.groups {
            let Constants { weight_decay, rate } = *constants;
            let lr = &self.rates[rate].value;
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

/// Returns the groups of parameters that are updated alike, so that each kernel call updates as many as possible.
fn alike(settings: &OptimSettings) -> Vec<(Constants, Vec<anynet::Group>)> {
    let mut alike: Vec<(Constants, Vec<anynet::Group>)> = Vec::new();
    for group in anynet::Group::ALL {
        let constants = Constants::of(group, settings);
        match alike.iter_mut().find(|(others, _)| *others == constants) {
            Some((_, groups)) => groups.push(group),
            None => alike.push((constants, vec![group])),
        }
    }
    alike
}

/// Returns a learning rate of the element type that the fused kernels read on `device`.
fn rate_on(device: Device) -> Tensor {
    Tensor::zeros([], (if device == Device::Cpu { Kind::Double } else { Kind::Float }, device))
}
