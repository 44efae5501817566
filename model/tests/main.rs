//! Tests of networks as tch layers: names, shapes, initial values, forward and backward passes.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod built;

use std::sync::{Mutex, MutexGuard, PoisonError};

use regatta_anynet::{Group, Init, Network, Role, regnetx32};
use regatta_model::{Mode, Model, initialize};
use tch::{Device, Kind, Tensor};

const FP32: (Kind, Device) = (Kind::Float, Device::Cpu);

/// Guards libtorch's random number generator, which the tests of one process share.
static GENERATOR: Mutex<()> = Mutex::new(());

/// A network with its own tensors. While it exists, no other test draws random numbers.
struct Fixture {
    _generator: MutexGuard<'static, ()>,
    parameters: Vec<Tensor>,
    batch: Vec<Tensor>,
    model: Model,
}

impl Fixture {
    fn new(network: &Network, init: Init) -> Self {
        let _generator = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
        let specs = network.parameters();
        let mut values: Vec<_> = specs.iter().map(|p| Tensor::zeros(&p.shape, FP32)).collect();
        initialize(&specs, &mut values, init, 7);
        let values: Vec<_> = values.into_iter().map(|tensor| tensor.set_requires_grad(true)).collect();
        let vectors = || -> Vec<_> {
            network.statistics().iter().map(|s| Tensor::full([s.width], s.initial_value(), FP32)).collect()
        };
        let (batch, running) = (vectors(), vectors());
        let model = Model::new(network, &values, &batch, &running);
        Self { _generator, parameters: values, batch, model }
    }
}

fn small() -> Network {
    let mut network = regnetx32(1, 10);
    network.stages[0].depth = 1;
    network.stages[1].depth = 1;
    network
}

#[test]
fn names_are_those_of_pycls() {
    let names: Vec<_> = small().parameters().into_iter().map(|p| p.name).collect();
    for expected in [
        "stem.conv.weight",
        "stem.bn.bias",
        "s1.b1.f.b.bias",
        "s1.b1.f.c_bn.weight",
        "s2.b1.proj.weight",
        "s2.b1.bn.weight",
        "head.fc.bias",
    ] {
        assert!(names.iter().any(|name| name == expected), "{expected} is missing");
    }
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), names.len());
    assert_eq!(small().statistics()[1].name, "stem.bn.running_var");
}

#[test]
fn each_parameter_is_in_the_group_of_its_layer() {
    for parameter in small().parameters() {
        let (name, is_weight) = (&parameter.name, parameter.shape.len() > 1);
        let expected = match (name.starts_with("head.fc"), is_weight) {
            (true, true) => Group::HeadWeight,
            (true, false) => Group::HeadBias,
            (false, true) => Group::Weight,
            (false, false) if name.contains("bn.") => Group::Norm,
            (false, false) => Group::Bias,
        };
        assert_eq!(parameter.group(), expected, "{name}");
    }
}

#[test]
fn frozen_blocks_keep_their_statistics_and_take_no_gradient() {
    let network = small();
    let frozen = network.blocks_through(1);
    assert_eq!((frozen, network.blocks_through(0), network.blocks_through(2)), (2, 0, 3));
    let mut fixture = Fixture::new(&network, Init::XavierUniform);
    for (parameter, tensor) in network.parameters().iter().zip(&fixture.parameters) {
        _ = tensor.set_requires_grad(parameter.block >= frozen);
    }
    let before: Vec<_> = fixture.batch.iter().map(Tensor::copy).collect();
    fixture.model = fixture.model.freeze(frozen);
    let images = Tensor::rand([4, 1, 24, 24], FP32);
    let logits = fixture.model.forward(&images, Mode::Training);
    logits.square().sum(Kind::Float).backward();
    for (parameter, tensor) in network.parameters().iter().zip(&fixture.parameters) {
        assert_eq!(tensor.grad().defined(), parameter.block >= frozen, "{}", parameter.name);
    }
    for (statistic, (before, now)) in network.statistics().iter().zip(before.iter().zip(&fixture.batch)) {
        assert_eq!(now.equal(before), statistic.block < frozen, "{}", statistic.name);
    }
    let evaluated = fixture.model.forward(&images, Mode::Evaluation);
    fixture.model = fixture.model.freeze(0);
    assert!(evaluated.equal(&fixture.model.forward(&images, Mode::Evaluation)));
}

#[test]
fn initial_values_follow_the_rule() {
    let network = regnetx32(1, 10);
    for init in [Init::HeFanOut, Init::XavierUniform] {
        let fixture = Fixture::new(&network, init);
        for (parameter, values) in network.parameters().iter().zip(&fixture.parameters) {
            let (std, max) = (values.std(false).double_value(&[]), values.abs().max().double_value(&[]));
            let name = &parameter.name;
            match (init, parameter.role) {
                (_, Role::NormWeight) => assert_eq!((std, max), (0.0, 1.0), "{name}"),
                (_, Role::NormBias) => assert_eq!(max, 0.0, "{name}"),
                (Init::HeFanOut, Role::LinearBias { .. }) => assert_eq!(max, 0.0, "{name}"),
                (Init::HeFanOut, Role::ConvWeight) => {
                    let expected = (2.0 / (parameter.shape[0] * parameter.shape[2].pow(2)) as f64).sqrt();
                    assert!((std / expected - 1.0).abs() < 0.2, "{name}: {std} for {expected}");
                }
                (Init::HeFanOut, Role::LinearWeight) => {
                    assert!((std / 0.01 - 1.0).abs() < 0.2, "{name}: {std}")
                }
                (Init::XavierUniform, Role::ConvWeight | Role::LinearWeight) => {
                    let fans = (parameter.shape[0] + parameter.shape[1])
                        * parameter.shape[2..].iter().product::<i64>();
                    let bound = (6.0 / fans as f64).sqrt();
                    assert!(max <= bound && max > 0.8 * bound, "{name}: {max} for {bound}");
                }
                (_, Role::ConvBias { fan_in }) | (Init::XavierUniform, Role::LinearBias { fan_in }) => {
                    assert!(max <= 1.0 / (fan_in as f64).sqrt() && max > 0.0, "{name}");
                }
            }
        }
    }
}

#[test]
fn training_stores_the_batch_statistics_and_gives_every_parameter_a_gradient() {
    let network = small();
    let fixture = Fixture::new(&network, Init::XavierUniform);
    let images = Tensor::rand([4, 1, 24, 24], FP32);
    let logits = fixture.model.forward(&images, Mode::Training);
    assert_eq!(logits.size(), [4, 10]);
    logits.square().sum(Kind::Float).backward();
    for (parameter, tensor) in network.parameters().iter().zip(&fixture.parameters) {
        assert!(tensor.grad().defined(), "{} has no gradient", parameter.name);
    }
    // With momentum 1 and the unbiased variance, these are exactly the statistics of the batch.
    let stem = images.conv2d(&fixture.parameters[0], Some(&fixture.parameters[1]), [2, 2], [1, 1], [1, 1], 1);
    let var = stem.var_dim([0i64, 2, 3].as_slice(), true, false);
    assert!(var.allclose(&fixture.batch[1], 1e-5, 1e-7, false));
}

#[test]
fn evaluation_uses_the_running_statistics_and_is_independent_per_image() {
    let network = small();
    let fixture = Fixture::new(&network, Init::XavierUniform);
    let images = Tensor::rand([3, 1, 24, 24], FP32);
    let together = fixture.model.forward(&images, Mode::Evaluation);
    let alone = fixture.model.forward(&images.narrow(0, 1, 1), Mode::Evaluation);
    assert!(together.narrow(0, 1, 1).allclose(&alone, 1e-4, 1e-5, false));
    assert!(fixture.batch.iter().step_by(2).all(|mean| mean.abs().max().double_value(&[]) == 0.0));
}

#[test]
fn the_observer_sees_the_layers_in_order_with_their_shapes() {
    let network = small();
    let fixture = Fixture::new(&network, Init::HeFanOut);
    let mut seen = Vec::new();
    let images = Tensor::rand([2, 1, 24, 24], FP32);
    _ = fixture.model.forward_observed(&images, Mode::Evaluation, &mut |name, output| {
        seen.push((name.to_owned(), output.size()));
    });
    let rows = network.summary(2, 24, 24).unwrap().rows;
    for (name, size) in seen.iter().filter(|(name, _)| rows.iter().any(|row| row.name == *name)) {
        let row = rows.iter().find(|row| row.name == *name).unwrap();
        assert_eq!(&row.output_shape[..], &size[..], "{name}");
    }
    assert_eq!(seen.first().unwrap().0, "stem.conv");
    assert_eq!(seen.last().unwrap().0, "head.fc");
}
