//! The feed assembles one micro-batch ahead, and an unreadable image ends the run only when its micro-batch is due.

use std::sync::atomic::{AtomicUsize, Ordering};

use regatta_comm::World;
use regatta_data::{DataError, Encoding, ImageShape, Source, Split};
use regatta_run_folder::ExitCode;
use tch::Device;

use super::alone;
use super::networks::{FOUR_STAGES, recipe, replica};
use crate::batches::Batches;
use crate::control::Requests;
use crate::debug::Inspector;
use crate::failure::{describe, exit_code};
use crate::feed::Feed;
use crate::step::{Learner, StepSource};

const UNREADABLE: usize = 5;

/// Eight images, of which one cannot be read; counts how many were fetched.
#[derive(Default)]
struct Damaged(AtomicUsize);

impl Source for Damaged {
    fn len(&self) -> usize {
        8
    }

    fn classes(&self) -> usize {
        7
    }

    fn encoding(&self) -> Encoding {
        Encoding::Pixels(ImageShape { channels: 3, height: 28, width: 28 })
    }

    fn fetch(&self, index: usize, stored: &mut Vec<u8>) -> Result<i64, DataError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        if index == UNREADABLE {
            let source = std::io::Error::other("Input/output error");
            return Err(DataError::Read { path: "cat.jpeg".into(), source });
        }
        stored.clear();
        stored.resize(3 * 28 * 28, index as u8);
        Ok(index as i64 % 7)
    }
}

#[test]
fn an_unreadable_image_ends_the_run_in_its_step_and_no_earlier() {
    let _alone = alone();
    let recipe = recipe(FOUR_STAGES, &["train.precision=fp32".to_owned()]);
    let damaged = Damaged::default();
    let batches = Batches::new(&recipe, &damaged, Split::Train, Device::Cpu).unwrap();
    let feed = Feed::new(batches, 0, [vec![0, 1], vec![2, 3], vec![4, UNREADABLE], vec![6, 7]].into_iter());
    let mut source = StepSource { feed, inspector: Inspector { enabled: false } };
    let world = World::alone();
    let mut learner = Learner::new(&recipe, replica(&recipe), &world).unwrap();
    let mut step =
        |first| learner.step(first..first + 2, 4, recipe.optim.lr, Requests::default(), &mut source);
    assert!(step(0).unwrap().pending.outcome().unwrap().updated);
    assert_eq!(damaged.0.load(Ordering::Relaxed), 6, "the second step's first micro-batch was begun");
    let error = step(2).unwrap_err();
    assert_eq!(exit_code(&error), ExitCode::Data);
    assert_eq!(describe(&error), "cannot read training image 5: cannot read cat.jpeg: Input/output error");
}

#[test]
fn the_next_micro_batch_is_prefetched_before_the_current_one_is_computed() {
    let recipe = recipe(FOUR_STAGES, &["train.precision=fp32".to_owned()]);
    let source = Damaged::default();
    let batches = Batches::new(&recipe, &source, Split::Validation, Device::Cpu).unwrap();
    let mut feed = Feed::new(batches, 0, [vec![0, 1], vec![2, 3]].into_iter());
    for fetched in [4, 4] {
        let (_, labels) = feed.next().unwrap().unwrap();
        feed.prefetch();
        assert_eq!((labels.size(), source.0.load(Ordering::Relaxed)), (vec![2], fetched));
    }
    assert!(feed.next().unwrap().is_none());
}
