//! A step whose gradients are not finite changes only the loss scale, and the next step continues as if it had not happened.

use regatta_comm::World;
use regatta_data::{ImageShape, Split, SyntheticDataset, SyntheticSettings};
use regatta_settings::Recipe;
use tch::{Device, Tensor};

use super::average::FIRST;
use super::networks::{FOUR_STAGES, recipe, replica};
use super::{alone, assert_equal_to_the_bit, training_feed};
use crate::control::{Requests, StepOutcome};
use crate::debug::Inspector;
use crate::loss_scale::{LossScale, LossScaleState};
use crate::step::{Learner, StepSource};

/// A learner with weights so large that gradients times 1e38 overflow, while the loss is finite.
fn learner<'a>(recipe: &'a Recipe, world: &'a World) -> Learner<'a> {
    let mut replica = replica(recipe);
    tch::no_grad(|| _ = replica.parameters.flat.g_mul_scalar_(100.0));
    Learner::new(recipe, replica, world).unwrap()
}

fn step(learner: &mut Learner, recipe: &Recipe) -> StepOutcome {
    let shape = ImageShape { channels: 3, height: 28, width: 28 };
    let classes = recipe.network().classes as usize;
    let dataset =
        SyntheticDataset::new(SyntheticSettings { images: 4, shape, classes, seed: 3 }, Split::Train);
    let feed = training_feed(recipe, dataset, &[&[0, 1, 2, 3]]);
    let mut source = StepSource { feed, inspector: Inspector { enabled: false } };
    let mut launched = learner.step(0..1, 4, recipe.optim.lr, Requests::default(), &mut source).unwrap();
    learner.update_average(&mut launched, FIRST).unwrap();
    launched.pending.outcome().unwrap()
}

/// Everything that an update changes.
fn state(learner: &Learner) -> Vec<Tensor> {
    let replica = &learner.replica;
    let state = learner.optimizer.state.iter().map(|(_, buffer)| &buffer.flat);
    let ema = learner.ema.iter().flat_map(|ema| [&ema.parameters.flat, &ema.running.flat]);
    let all = [&replica.parameters.flat, &replica.running.flat].into_iter().chain(state).chain(ema);
    all.map(|flat| flat.detach().copy()).collect()
}

#[test]
fn a_step_that_overflows_changes_only_the_loss_scale() {
    let _alone = alone();
    tch::set_num_threads(1);
    for optimizer in ["sgd", "adamw"] {
        let common = ["train.ema_decay=0.9", "train.clip_grad_norm=0.5", "train.precision=fp32"];
        let sets: Vec<_> =
            common.iter().map(|it| it.to_string()).chain([format!("optim.name={optimizer}")]).collect();
        let recipe = recipe(FOUR_STAGES, &sets);
        let world = World::alone();
        let (mut skipping, mut straight) = (learner(&recipe, &world), learner(&recipe, &world));

        let scale = LossScaleState { scale: 1e38, finite_steps: 7 };
        skipping.loss_scale = Some(LossScale::new(scale, Device::Cpu));
        let before = state(&skipping);
        let outcome = step(&mut skipping, &recipe);
        assert_eq!(outcome.loss_scale, Some(f64::from(5e37_f32)));
        assert!(!outcome.grad_norm.is_finite());
        assert!(!outcome.updated && outcome.loss_sum.is_finite(), "{optimizer}: {outcome:?}");
        for (before, after) in before.iter().zip(state(&skipping)) {
            assert_equal_to_the_bit(optimizer, &after, before);
        }
        let halved = LossScaleState { scale: 5e37, finite_steps: 0 };
        assert_eq!(skipping.loss_scale.take().map(|scale| scale.state()), Some(halved));

        // AdamW's number of updates must not change either, or the first real step would differ.
        assert!(step(&mut skipping, &recipe).updated && step(&mut straight, &recipe).updated);
        for (one, other) in state(&skipping).iter().zip(state(&straight)) {
            assert_equal_to_the_bit(optimizer, one, &other);
        }
    }
}
