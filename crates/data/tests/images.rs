//! Images stand in the asked order whatever the buffers held before, and one that cannot be read is named.

use std::sync::Arc;

use regatta_data::{
    Augment, DataError, Encoding, ImageShape, Images, Scratch, Source, Split, SyntheticDataset,
    SyntheticSettings, Transform, TransformSettings,
};

const SHAPE: ImageShape = ImageShape { channels: 2, height: 3, width: 4 };
const AUGMENT: Augment = Augment { seed: 2, horizontal_flip_probability: 0.5, random_crop_padding_px: 2 };

fn dataset() -> SyntheticDataset {
    let settings = SyntheticSettings { images: 10, shape: SHAPE, classes: 4, seed: 1 };
    SyntheticDataset::new(settings, Split::Train)
}

fn images(source: impl Source + 'static, augment: Option<Augment>) -> Images {
    let settings = augment.map_or(TransformSettings::default(), |augment| TransformSettings {
        seed: augment.seed,
        horizontal_flip_probability: augment.horizontal_flip_probability,
        random_crop_padding_px: augment.random_crop_padding_px,
        ..TransformSettings::default()
    });
    let transform = Transform::new(source.encoding(), Split::Train, settings);
    Images::new(Arc::new(source), Split::Train, transform)
}

/// Their pixels and labels, in a buffer that held something else.
fn read(images: &Images, epoch: u64, indices: &[usize]) -> (Vec<u8>, Vec<i64>) {
    let mut pixels = vec![77; indices.len() * SHAPE.bytes()];
    let labels = images.read_all(epoch, indices, &mut Scratch::default(), &mut pixels).unwrap();
    (pixels, labels)
}

#[test]
fn images_and_labels_stand_in_the_order_of_their_indices() {
    let (dataset, images) = (dataset(), images(dataset(), None));
    for indices in [&[7, 0, 7, 9][..], &[5], &[], &[1, 2, 3]] {
        let (mut expected, mut expected_labels) = (Vec::new(), Vec::new());
        for &index in indices {
            let mut stored = Vec::new();
            expected_labels.push(dataset.fetch(index, &mut stored).unwrap());
            expected.extend(stored);
        }
        assert_eq!(read(&images, 0, indices), (expected, expected_labels));
    }
}

#[test]
#[should_panic(expected = "a buffer as long as its images")]
fn a_buffer_of_another_length_is_refused() {
    _ = images(dataset(), None).read_all(0, &[0, 1], &mut Scratch::default(), &mut [0; 5]);
}

#[test]
fn an_images_augmentation_does_not_depend_on_its_batch() {
    let augmented = images(dataset(), Some(AUGMENT));
    let together = read(&augmented, 5, &[8, 6, 4]).0;
    let alone = read(&augmented, 5, &[6]).0;
    assert_eq!(together[SHAPE.bytes()..2 * SHAPE.bytes()], alone);
    assert_ne!(read(&images(dataset(), None), 5, &[6]).0, alone);
}

#[test]
fn several_threads_read_what_one_reads() {
    let images = &images(dataset(), Some(AUGMENT));
    let indices: Vec<usize> = (0..10).collect();
    let alone = read(images, 3, &indices).0;
    let halves = std::thread::scope(|scope| {
        let halves = [&indices[..5], &indices[5..]];
        halves.map(|half| scope.spawn(move || read(images, 3, half).0)).map(|worker| worker.join().unwrap())
    });
    assert_eq!(halves.concat(), alone);
}

/// Images of any size, of which the second is not there.
struct Uneven;

impl Source for Uneven {
    fn len(&self) -> usize {
        3
    }

    fn classes(&self) -> usize {
        2
    }

    fn encoding(&self) -> Encoding {
        Encoding::Pixels(SHAPE)
    }

    fn fetch(&self, index: usize, stored: &mut Vec<u8>) -> Result<i64, DataError> {
        if index == 1 {
            let source = std::io::Error::other("Input/output error");
            return Err(DataError::Read { path: "cat.jpeg".into(), source });
        }
        stored.clear();
        stored.resize(SHAPE.bytes() - index, 9);
        Ok(1)
    }
}

#[test]
fn an_image_that_cannot_be_read_is_named_with_its_cause() {
    let mut pixels = vec![0; 2 * SHAPE.bytes()];
    let mut refused = |split, indices: &[usize]| {
        let images = Images::new(
            Arc::new(Uneven),
            split,
            Transform::new(Uneven.encoding(), split, TransformSettings::default()),
        );
        let error = images.read_all(0, indices, &mut Scratch::default(), &mut pixels).unwrap_err();
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    };
    assert_eq!(
        refused(Split::Train, &[0, 1]),
        "cannot read training image 1, image 1: cannot read cat.jpeg: Input/output error"
    );
    assert_eq!(
        refused(Split::Validation, &[2, 0]),
        "cannot read validation image 2, image 2: 22 bytes where an image of 3x4 pixels and 2 channels has 24"
    );
}
