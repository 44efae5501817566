//! The loader returns the same batches in the same order with any number of threads, and ends cleanly whatever happens in them.

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use regatta_data::{
    BatchRequest, DataError, Encoding, ImageShape, Images, LoadedBatch, Loader, LoaderSettings, OnBadImage,
    Scratch, Source, Split, Transform, TransformSettings, auto_workers, block_bytes, loader_bytes,
};

const SHAPE: ImageShape = ImageShape { channels: 3, height: 4, width: 5 };
const IMAGES: usize = 40;

/// A source whose image k has the bytes of its number and the label k; `before` is called first and may fail, wait or panic.
struct Stub<F>(F);

impl<F: Fn(usize) -> Result<(), DataError> + Send + Sync> Source for Stub<F> {
    fn len(&self) -> usize {
        IMAGES
    }

    fn classes(&self) -> usize {
        IMAGES
    }

    fn encoding(&self) -> Encoding {
        Encoding::Pixels(SHAPE)
    }

    fn fetch(&self, index: usize, stored: &mut Vec<u8>) -> Result<i64, DataError> {
        (self.0)(index)?;
        stored.clear();
        stored.extend((0..SHAPE.bytes()).map(|byte| (index * 7 + byte) as u8));
        Ok(index as i64)
    }
}

fn images<F>(before: F) -> Arc<Images>
where
    F: Fn(usize) -> Result<(), DataError> + Send + Sync + 'static,
{
    let settings = TransformSettings {
        seed: 5,
        horizontal_flip_probability: 0.5,
        random_crop_padding_px: 2,
        ..TransformSettings::default()
    };
    let transform = Transform::new(Encoding::Pixels(SHAPE), Split::Train, settings);
    Arc::new(Images::new(Arc::new(Stub(before)), Split::Train, transform))
}

fn unreadable() -> DataError {
    DataError::Read { path: "cat.jpeg".into(), source: std::io::Error::other("Input/output error") }
}

fn loader<C: AsMut<[u8]> + Send + 'static>(workers: usize) -> Loader<C> {
    Loader::new(LoaderSettings { workers, ..LoaderSettings::default() }).unwrap()
}

fn request(images: &Arc<Images>, epoch: u64, indices: &[usize]) -> BatchRequest<Vec<u8>> {
    let chunks = vec![vec![77; SHAPE.bytes()]; indices.len()];
    BatchRequest { images: Arc::clone(images), epoch, indices: indices.to_vec(), chunks }
}

/// Batches of several sizes and epochs; the last images come twice.
fn batches() -> Vec<(u64, Vec<usize>)> {
    let order: Vec<usize> = (0..IMAGES).map(|k| k * 17 % IMAGES).chain(30..IMAGES).collect();
    order.chunks(7).enumerate().map(|(k, indices)| (k as u64 / 3, indices.to_vec())).collect()
}

/// Labels and pixels, batch by batch.
type Read = Vec<(Vec<i64>, Vec<u8>)>;

fn read_by(loader: &mut Loader<Vec<u8>>, images: &Arc<Images>) -> Read {
    batches().iter().for_each(|(epoch, indices)| loader.submit(request(images, *epoch, indices)));
    let loaded = std::iter::from_fn(|| loader.next_batch().unwrap());
    loaded.map(|batch| (labels(&batch), batch.chunks.concat())).collect()
}

fn labels(batch: &LoadedBatch<Vec<u8>>) -> Vec<i64> {
    batch.labelled.iter().map(|labelled| labelled.label).collect()
}

fn read_alone(images: &Images) -> Read {
    let batches = batches().into_iter();
    let read = batches.map(|(epoch, indices)| {
        let mut pixels = vec![0; indices.len() * SHAPE.bytes()];
        (images.read_all(epoch, &indices, &mut Scratch::default(), &mut pixels).unwrap(), pixels)
    });
    read.collect()
}

#[test]
fn the_bytes_are_the_same_with_one_two_and_seven_workers() {
    let images = images(|_| Ok(()));
    let expected = read_alone(&images);
    for workers in [1, 2, 7] {
        let mut loader = loader(workers);
        assert_eq!(read_by(&mut loader, &images), expected, "{workers} workers");
        assert_eq!(loader.pending(), 0);
        assert!(loader.next_batch().unwrap().is_none());
    }
}

#[test]
fn batches_keep_their_order_when_images_take_different_times() {
    let images = images(|index| {
        (0..index * 7919 % 61 * 2000).for_each(|step| _ = black_box(step));
        Ok(())
    });
    let expected = read_alone(&images);
    let mut loader = loader(7);
    for _ in 0..5 {
        assert_eq!(read_by(&mut loader, &images), expected);
    }
}

/// A gate at which images wait.
#[derive(Default)]
struct Gate {
    passed: Mutex<HashSet<usize>>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self, index: usize) {
        self.passed.lock().unwrap().insert(index);
        self.changed.notify_all();
    }

    fn wait_for(&self, count: usize) {
        drop(self.changed.wait_while(self.passed.lock().unwrap(), |passed| passed.len() < count).unwrap());
    }
}

#[test]
fn a_slow_image_does_not_hold_up_the_others() {
    let gate = Arc::new(Gate::default());
    let at = Arc::clone(&gate);
    let images = images(move |index| {
        // Image 0 takes until all others are read, those of the next batch too.
        if index == 0 {
            at.wait_for(7)
        } else {
            at.pass(index)
        }
        Ok(())
    });
    let mut loader = loader(2);
    loader.submit(request(&images, 0, &[0, 1, 2, 3]));
    loader.submit(request(&images, 0, &[4, 5, 6, 7]));
    assert_eq!(labels(&loader.next_batch().unwrap().unwrap()), [0, 1, 2, 3]);
    assert_eq!(labels(&loader.next_batch().unwrap().unwrap()), [4, 5, 6, 7]);
}

#[test]
fn an_unreadable_image_fails_its_batch_alone() {
    let images = images(|index| if index == 5 || index == 6 { Err(unreadable()) } else { Ok(()) });
    for workers in [1, 2, 7] {
        let mut loader = loader(workers);
        for indices in [[0, 1, 2], [4, 5, 6], [7, 8, 9]] {
            loader.submit(request(&images, 0, &indices));
        }
        assert_eq!(labels(&loader.next_batch().unwrap().unwrap()), [0, 1, 2]);
        // The first by position, whichever was read first.
        assert_eq!(loader.next_batch().unwrap_err().to_string(), "cannot read training image 5, image 5");
        assert_eq!(labels(&loader.next_batch().unwrap().unwrap()), [7, 8, 9]);
    }
}

#[test]
fn a_panic_fails_its_batch_and_the_worker_continues() {
    let images = images(|index| if index == 1 { panic!("no image {index}") } else { Ok(()) });
    let mut loader = loader(1);
    loader.submit(request(&images, 0, &[0, 1, 2]));
    loader.submit(request(&images, 0, &[3]));
    let error = loader.next_batch().unwrap_err().to_string();
    assert_eq!(error, "a loader thread panicked at training image 1: no image 1");
    assert_eq!(labels(&loader.next_batch().unwrap().unwrap()), [3]);
}

/// A chunk that counts how many of its kind exist.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl Counted {
    fn new(living: &Arc<AtomicUsize>) -> Self {
        living.fetch_add(1, Ordering::SeqCst);
        Self(vec![0; SHAPE.bytes()], Arc::clone(living))
    }
}

impl AsMut<[u8]> for Counted {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Submits `count` batches of ten images each; returns the number of chunks that exist.
fn submit_counted(loader: &mut Loader<Counted>, images: &Arc<Images>, count: usize) -> Arc<AtomicUsize> {
    let living = Arc::default();
    for _ in 0..count {
        let chunks = (0..10).map(|_| Counted::new(&living)).collect();
        let indices = (0..10).collect();
        loader.submit(BatchRequest { images: Arc::clone(images), epoch: 0, indices, chunks });
    }
    living
}

#[test]
fn a_busy_loader_is_dropped_with_all_its_threads_and_memory() {
    let gate = Arc::new(Gate::default());
    let at = Arc::clone(&gate);
    let images = images(move |index| {
        at.pass(index);
        Ok(())
    });
    for workers in [1, 7] {
        let mut loader = loader(workers);
        let living = submit_counted(&mut loader, &images, 500);
        gate.wait_for(1);
        drop(loader);
        assert_eq!((living.load(Ordering::SeqCst), Arc::strong_count(&living)), (0, 1));
        assert_eq!(Arc::strong_count(&images), 1, "no thread holds the images");
    }
    drop(loader::<Counted>(7));
}

#[test]
fn discarding_waits_for_images_that_are_being_read() {
    let gate = Arc::new(Gate::default());
    let at = Arc::clone(&gate);
    let images = images(move |index| {
        at.pass(index);
        if index == 3 { Err(unreadable()) } else { Ok(()) }
    });
    for workers in [1, 2, 7] {
        let mut loader = loader(workers);
        let living = submit_counted(&mut loader, &images, 20);
        gate.wait_for(1);
        loader.discard(20);
        assert_eq!((loader.pending(), living.load(Ordering::SeqCst)), (0, 0));
        assert!(loader.next_batch().unwrap().is_none());
    }
    let mut loader = loader(2);
    for first in [0, 10, 20] {
        loader.submit(request(&images, 0, &[first, first + 1]));
    }
    loader.discard(2);
    assert_eq!(labels(&loader.next_batch().unwrap().unwrap()), [20, 21]);
    loader.discard(7);
    assert_eq!(loader.pending(), 0);
}

#[test]
fn a_batch_is_ready_once_it_is_loaded_or_failed() {
    let images = images(|index| if index == 2 { Err(unreadable()) } else { Ok(()) });
    let mut loader = loader(1);
    assert!(!loader.is_ready());
    for indices in [&[0, 1][..], &[2], &[]] {
        loader.submit(request(&images, 0, indices));
        while !loader.is_ready() {
            std::thread::yield_now();
        }
        assert_eq!(loader.next_batch().is_ok(), indices != [2]);
    }
}

fn skipping(workers: usize) -> Loader<Vec<u8>> {
    let on_bad_image = OnBadImage::Skip { max_fraction: 0.25 };
    Loader::new(LoaderSettings { workers, on_bad_image, ..LoaderSettings::default() }).unwrap()
}

#[test]
fn bad_images_are_replaced_by_the_same_others_each_time() {
    // Every third is bad, so some replacements are bad as well.
    let images = images(|index| if index % 3 == 0 { Err(unreadable()) } else { Ok(()) });
    let all: Vec<usize> = (0..IMAGES).collect();
    let read = |workers, batch: usize| {
        let mut loader = skipping(workers);
        all.chunks(batch).for_each(|indices| loader.submit(request(&images, 4, indices)));
        let loaded: Vec<_> = std::iter::from_fn(|| loader.next_batch().unwrap()).collect();
        let replaced: u64 = loaded.iter().map(|batch| batch.replaced).sum();
        let bad: HashSet<_> = loaded.iter().flat_map(|batch| &batch.bad).map(|bad| bad.index).collect();
        assert_eq!((replaced, bad.len()), (14, 14));
        assert!(bad.iter().all(|index| index % 3 == 0));
        let (labels, pixels): (Vec<_>, Vec<_>) =
            loaded.iter().map(|batch| (labels(batch), batch.chunks.concat())).unzip();
        (labels.concat(), pixels.concat())
    };
    let expected = read(1, 8);
    assert_eq!(read(7, 8), expected);
    assert_eq!(read(2, 3), expected);
    for (index, &label) in expected.0.iter().enumerate() {
        assert!(label % 3 != 0 && (index % 3 == 0 || label == index as i64), "{index} {label}");
    }
}

#[test]
fn a_set_without_any_good_image_fails_at_its_first() {
    let images = images(|_| Err(unreadable()));
    let mut loader = skipping(2);
    loader.submit(request(&images, 0, &[3, 4]));
    let error = loader.next_batch().unwrap_err();
    assert_eq!(error.to_string(), "7 images chosen in place of a bad one cannot be read either");
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "cannot read training image 3, image 3"
    );
}

#[test]
fn more_bad_images_than_allowed_are_an_error() {
    let skip = OnBadImage::Skip { max_fraction: 0.25 };
    assert!(
        skip.check(Split::Train, 10, 40).is_ok() && OnBadImage::Error.check(Split::Train, 40, 40).is_ok()
    );
    assert_eq!(
        skip.check(Split::Validation, 11, 40).unwrap_err().to_string(),
        "11 of 40 validation images cannot be read, more than data.max_bad_fraction = 0.25 allows; see the warnings in the \
         ranks' logs for their names"
    );
}

#[test]
fn threads_and_memory_follow_from_the_settings() {
    let cases = [((1, false), 1), ((8, false), 1), ((1, true), 1), ((2, true), 1), ((16, true), 15)];
    for ((cores, has_gpu), workers) in cases {
        assert_eq!(auto_workers(cores, has_gpu), workers, "{cores} cores");
    }
    // 8 bytes of label, 32 of draws, 60 of pixels.
    assert_eq!(block_bytes(3, SHAPE), 300);
    assert_eq!(loader_bytes(4, 3, SHAPE), 1800);
    assert_eq!(loader_bytes(4, usize::MAX, SHAPE), u64::MAX);
}
