//! Communication overlaps backward, measured on the test double of NCCL with real networks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nccl::Nccl;
use nccl_double::Double;
use regatta_comm::{Launch, Reducer, World};
use regatta_ledger::Operation;
use regatta_model::Mode;
use regatta_settings::{Backend, GradientCompression};
use tch::{Device, Kind, Tensor};

use super::alone;
use super::networks::{FOUR_STAGES, REGNETX32, recipe, replica};
use crate::loss::summed_loss;

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// Buckets complete in the order in which they are reduced, and their all-reduces start before backward ends.
#[test]
fn buckets_are_reduced_in_order_while_backward_runs() {
    let _alone = alone();
    let double = Double::build();
    let nccl = Nccl::open_at(&double.path()).unwrap();
    let buckets = ["comm.first_bucket_mib=0.01", "comm.bucket_cap_mib=0.05"].map(str::to_owned);
    for (name, text) in [("regnetx32", REGNETX32), ("four_stages", FOUR_STAGES)] {
        let recipe = recipe(text, &buckets);
        let replica = replica(&recipe);
        let timeout = Duration::from_secs(30);
        let fails = |_, error: &_, _| panic!("{error}");
        let world = World::join(Backend::Nccl, &Launch::default(), timeout, fails).unwrap();
        world.start_nccl(&nccl, &nccl.unique_id().unwrap(), Device::Cpu).unwrap();
        assert!(world.sums_over_ranks());
        let (layout, specs) = (&replica.layout, &replica.specs);
        let (parameters, gradients) = (&replica.parameters, &replica.gradients);
        let mut reducer =
            Reducer::new(layout, specs, parameters, gradients, GradientCompression::None, &world).unwrap();

        let side = i64::from(recipe.data.resolution_px);
        let shape = [8, recipe.network().in_channels, side, side];
        let images = Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let labels = Tensor::zeros([8], (Kind::Int64, Device::Cpu));
        reducer.arm();
        let logits = replica.logits(&replica.model, &images, Mode::Training).unwrap();
        let loss = summed_loss(&logits, &labels, 0.0);
        loss.backward();
        let backward_ended = now_ns();
        reducer.reduce(&world).unwrap();

        let buckets = layout.buckets.len();
        assert!(buckets > 2, "{name} has {buckets} buckets");
        assert_eq!(reducer.completion_order(), (0..buckets).collect::<Vec<_>>(), "{name}");
        let ledger = world.ledger().unwrap();
        let mut entries = ledger.snapshot().entries;
        entries.retain(|entry| entry.collective.operation == Operation::AllReduce);
        let bytes: Vec<_> = layout.buckets.iter().map(|bucket| 4 * bucket.len() as u64).collect();
        assert_eq!(entries.iter().map(|entry| entry.collective.bytes).collect::<Vec<_>>(), bytes, "{name}");
        let [first, .., last] = &entries[..] else { panic!("{name} has several") };
        assert!(first.entered_ns < last.entered_ns && last.entered_ns < backward_ended, "{name}");
        assert!(entries.iter().all(|entry| entry.completed_ns.is_some()), "{name}");
        world.finish_nccl().unwrap();
        ledger.remove();
    }
}
