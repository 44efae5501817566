//! The feed delivers micro-batches in order, loads a bounded number of them ahead across epochs and evaluations, and an
//! unreadable image ends the run only when its micro-batch is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regatta_comm::World;
use regatta_data::{DataError, Encoding, ImageShape, LoaderSettings, OnBadImage, Source};
use regatta_run_folder::ExitCode;
use regatta_settings::Recipe;
use tch::Device;

use super::networks::{FOUR_STAGES, recipe, replica};
use super::{alone, training_feed};
use crate::control::Requests;
use crate::datasets::Datasets;
use crate::debug::Inspector;
use crate::failure::{describe, exit_code};
use crate::feed::{Feed, Purpose, Segment};
use crate::step::{Learner, StepSource};

const UNREADABLE: usize = 5;

/// A hundred images, of which one cannot be read; counts how many were fetched.
#[derive(Default)]
struct Damaged(Arc<AtomicUsize>);

impl Source for Damaged {
    fn len(&self) -> usize {
        100
    }

    fn classes(&self) -> usize {
        100
    }

    fn encoding(&self) -> Encoding {
        Encoding::Pixels(ImageShape { channels: 3, height: 28, width: 28 })
    }

    fn fetch(&self, index: usize, stored: &mut Vec<u8>) -> Result<i64, DataError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        if index == UNREADABLE {
            let source = std::io::Error::other("Input/output error");
            return Err(DataError::Read { path: "cat.jpeg".into(), source });
        }
        stored.clear();
        stored.resize(3 * 28 * 28, index as u8);
        Ok(index as i64)
    }
}

fn fp32() -> Recipe {
    recipe(FOUR_STAGES, &["train.precision=fp32", "data.synthetic_classes=100"].map(str::to_owned))
}

#[test]
fn an_unreadable_image_ends_the_run_in_its_step_and_no_earlier() {
    let _alone = alone();
    let mut recipe = fp32();
    recipe.train.global_batch_size = 4;
    let feed = training_feed(&recipe, Damaged::default(), &[&[0, 1], &[2, 3], &[4, UNREADABLE], &[6, 0]]);
    let mut source = StepSource { feed, inspector: Inspector { enabled: false } };
    let world = World::alone();
    let mut learner = Learner::new(&recipe, replica(&recipe), &world).unwrap();
    let mut step =
        |first| learner.step(first..first + 2, 4, recipe.optim.lr, Requests::default(), &mut source);
    assert!(step(0).unwrap().pending.outcome().unwrap().updated);
    let error = step(2).unwrap_err();
    assert_eq!(exit_code(&error), ExitCode::Data);
    assert_eq!(
        describe(&error),
        "cannot read training image 5, image 5: cannot read cat.jpeg: Input/output error"
    );
}

/// Segments of (purpose, epoch, micro-batches of two images that begin with these).
type Segments<'a> = &'a [(Purpose, u64, &'static [usize])];

/// A feed of these segments, and the number of images fetched.
fn feed(settings: LoaderSettings, segments: Segments) -> (Feed, Arc<AtomicUsize>) {
    feed_of(&fp32(), settings, segments)
}

fn feed_of(recipe: &Recipe, settings: LoaderSettings, segments: Segments) -> (Feed, Arc<AtomicUsize>) {
    let fetched = Arc::new(AtomicUsize::new(0));
    let source = || -> Arc<dyn Source> { Arc::new(Damaged(Arc::clone(&fetched))) };
    let datasets = Datasets::without_lists(source(), source());
    let segments: Vec<_> = segments.to_vec();
    let segments = segments.into_iter().map(|(purpose, epoch, firsts)| {
        let micro_batches = firsts.iter().map(|&first| vec![first, first + 1]);
        Ok(Segment { purpose, epoch, micro_batches: Box::new(micro_batches) })
    });
    (Feed::new(recipe, &datasets, settings, Device::Cpu, segments).unwrap(), fetched)
}

fn labels(feed: &mut Feed) -> Option<Vec<i64>> {
    feed.next().unwrap().map(|(_, labels)| Vec::try_from(labels).unwrap())
}

fn wait_for(fetched: &AtomicUsize, count: usize) {
    while fetched.load(Ordering::SeqCst) < count {
        std::thread::yield_now();
    }
}

const SEGMENTS: [(Purpose, u64, &[usize]); 3] = [
    (Purpose::Training, 4, &[10, 20, 30]),
    (Purpose::Evaluation, 4, &[40, 50]),
    (Purpose::Training, 5, &[60, 70]),
];

#[test]
fn the_next_segments_are_loaded_while_one_is_consumed() {
    let (mut feed, fetched) = feed(LoaderSettings { workers: 2, ..LoaderSettings::default() }, &SEGMENTS);
    feed.begin(Purpose::Training, 4).unwrap();
    assert_eq!(labels(&mut feed), Some(vec![10, 11]));
    feed.prefetch();
    // Four micro-batches ahead: two of this epoch, two of the evaluation.
    wait_for(&fetched, 10);
    assert_eq!((labels(&mut feed), labels(&mut feed)), (Some(vec![20, 21]), Some(vec![30, 31])));
    feed.prefetch();
    wait_for(&fetched, 14);
    assert_eq!(labels(&mut feed), None, "the evaluation has not begun");
    assert_eq!(feed.epoch(), 4);
    feed.begin(Purpose::Evaluation, 4).unwrap();
    assert_eq!((labels(&mut feed), labels(&mut feed)), (Some(vec![40, 41]), Some(vec![50, 51])));
    assert_eq!(labels(&mut feed), None);
    feed.begin(Purpose::Training, 5).unwrap();
    assert_eq!((feed.epoch(), labels(&mut feed)), (5, Some(vec![60, 61])));
    assert_eq!((labels(&mut feed), labels(&mut feed)), (Some(vec![70, 71]), None));
    assert_eq!(fetched.load(Ordering::SeqCst), 14, "no image is read twice");
    assert!(feed.begin(Purpose::Evaluation, 5).is_err());
}

#[test]
fn what_is_left_of_a_segment_is_dropped_when_a_later_one_begins() {
    for prefetch_batches in [1, 2, 4, 8] {
        for taken in 0..4 {
            let settings = LoaderSettings { prefetch_batches, workers: 2, ..LoaderSettings::default() };
            let (mut feed, _) = feed(settings, &SEGMENTS);
            feed.begin(Purpose::Training, 4).unwrap();
            for _ in 0..taken {
                labels(&mut feed);
                feed.prefetch();
            }
            // Past the evaluation, too.
            feed.begin(Purpose::Training, 5).unwrap();
            let rest = [labels(&mut feed), labels(&mut feed), labels(&mut feed)];
            assert_eq!(rest, [Some(vec![60, 61]), Some(vec![70, 71]), None], "{prefetch_batches} {taken}");
        }
    }
}

/// Three sizes are in the loader at once: of an epoch, its evaluation and the next epoch. The workers crop to the size, or the
/// device resizes.
#[test]
fn each_epoch_has_images_of_its_size() {
    let list = "resolution = [{ after_epochs = 0, px = 64 }, { after_epochs = 4, px = 32 }, { after_epochs = 5, px = 40 }]";
    let text = FOUR_STAGES.replace("resolution_px = 64", list).replace("epochs = 1", "epochs = 6");
    for more in [&[][..], &["augment.random_resized_crop_scale=[0.5,1.0]"]] {
        let sets = [&["data.synthetic_classes=100", "data.val_resolution_px=48"], more].concat();
        let recipe = recipe(&text, &sets.into_iter().map(str::to_owned).collect::<Vec<_>>());
        for prefetch_batches in [1, 8] {
            let settings = LoaderSettings { prefetch_batches, workers: 2, ..LoaderSettings::default() };
            let (mut feed, _) = feed_of(&recipe, settings, &SEGMENTS);
            for ((split, epoch, micro_batches), px) in SEGMENTS.into_iter().zip([32, 48, 40]) {
                feed.begin(split, epoch).unwrap();
                for &first in micro_batches {
                    let (images_nchw, labels) = feed.next().unwrap().unwrap();
                    let first = first as i64;
                    assert_eq!(Vec::<i64>::try_from(labels).unwrap(), [first, first + 1]);
                    assert_eq!(images_nchw.size(), [2, 3, px, px], "{split:?} {epoch}");
                    feed.prefetch();
                }
                assert!(feed.next().unwrap().is_none());
            }
        }
    }
}

#[test]
fn no_more_is_loaded_ahead_than_asked() {
    const ALL: &[usize] = &[10, 12, 14, 16, 18, 20, 22, 24, 26, 28];
    for prefetch_batches in [1, 3] {
        let settings = LoaderSettings { prefetch_batches, workers: 3, ..LoaderSettings::default() };
        let (mut feed, fetched) = feed(settings, &[(Purpose::Training, 0, ALL)]);
        feed.begin(Purpose::Training, 0).unwrap();
        for taken in 1..=ALL.len() {
            assert!(labels(&mut feed).is_some());
            feed.prefetch();
            // Those that were taken, one in the uploader, and those in the loader.
            let allowed = 2 * (taken + 1 + prefetch_batches);
            assert!(fetched.load(Ordering::SeqCst) <= allowed, "{taken} of {prefetch_batches}");
        }
    }
}

#[test]
fn a_failure_in_the_next_segment_waits_until_it_begins() {
    let segments: [(Purpose, u64, &[usize]); 3] =
        [(Purpose::Training, 0, &[0, 2]), (Purpose::Evaluation, 0, &[8, 4]), (Purpose::Training, 1, &[0])];
    let (mut feed, fetched) = feed(LoaderSettings::default(), &segments);
    feed.begin(Purpose::Training, 0).unwrap();
    assert_eq!(labels(&mut feed), Some(vec![0, 1]));
    wait_for(&fetched, 8);
    assert_eq!((labels(&mut feed), labels(&mut feed)), (Some(vec![2, 3]), None));
    feed.begin(Purpose::Evaluation, 0).unwrap();
    assert_eq!(labels(&mut feed), Some(vec![8, 9]));
    feed.prefetch();
    let error = feed.next().unwrap_err();
    assert_eq!(
        describe(&error),
        "cannot read validation image 5, image 5: cannot read cat.jpeg: Input/output error"
    );
}

#[test]
fn replaced_images_are_counted_when_their_micro_batch_is_taken() {
    let on_bad_image = OnBadImage::Skip { max_fraction: 0.1 };
    let settings = LoaderSettings { on_bad_image, ..LoaderSettings::default() };
    let (mut feed, fetched) = feed(settings, &[(Purpose::Training, 0, &[0, 4, 6])]);
    feed.begin(Purpose::Training, 0).unwrap();
    labels(&mut feed);
    wait_for(&fetched, 6);
    assert_eq!(feed.take_replaced(), 0);
    let replaced = labels(&mut feed).unwrap();
    assert!(replaced[0] == 4 && replaced[1] != 5, "{replaced:?}");
    assert_eq!((feed.take_replaced(), feed.take_replaced()), (1, 0));
}

#[test]
fn a_step_counts_the_images_that_were_replaced() {
    let _alone = alone();
    let on_bad_image = OnBadImage::Skip { max_fraction: 0.1 };
    let settings = LoaderSettings { on_bad_image, ..LoaderSettings::default() };
    let (mut feed, _) = feed(settings, &[(Purpose::Training, 0, &[0, 4, 0, 2])]);
    feed.begin(Purpose::Training, 0).unwrap();
    let mut source = StepSource { feed, inspector: Inspector { enabled: false } };
    let (recipe, world) = (fp32(), World::alone());
    let mut learner = Learner::new(&recipe, replica(&recipe), &world).unwrap();
    let mut step =
        |first| learner.step(first..first + 2, 4, recipe.optim.lr, Requests::default(), &mut source);
    let bad_images = [step(0), step(2)].map(|step| step.unwrap().pending.outcome().unwrap().bad_images);
    assert_eq!(bad_images, [1, 0]);
}
