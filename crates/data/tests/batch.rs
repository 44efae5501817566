//! A batch holds the asked images in the asked order, whatever its buffer held before.

use regatta_data::{Augment, Dataset, ImageShape, Split, SyntheticDataset, SyntheticSettings, fill_batch};

const SHAPE: ImageShape = ImageShape { channels: 2, height: 3, width: 4 };

fn dataset() -> SyntheticDataset {
    let settings = SyntheticSettings { images: 10, shape: SHAPE, classes: 4, seed: 1 };
    SyntheticDataset::new(settings, Split::Train)
}

#[test]
fn images_and_labels_stand_in_the_order_of_their_indices() {
    let dataset = dataset();
    for indices in [&[7, 0, 7, 9][..], &[5], &[], &[1, 2, 3]] {
        let mut images = vec![77; indices.len() * SHAPE.bytes()];
        let labels = fill_batch(&dataset, indices, None, &mut images);
        let (mut expected, mut expected_labels) = (Vec::new(), Vec::new());
        for &index in indices {
            let mut pixels = vec![0; SHAPE.bytes()];
            expected_labels.push(dataset.read(index, &mut pixels));
            expected.extend(pixels);
        }
        assert_eq!((images, labels), (expected, expected_labels));
    }
}

#[test]
#[should_panic(expected = "a buffer as long as its images")]
fn a_buffer_of_another_length_is_refused() {
    _ = fill_batch(&dataset(), &[0, 1], None, &mut [0; 5]);
}

#[test]
fn an_images_augmentation_does_not_depend_on_its_batch() {
    let augment = Augment { seed: 2, horizontal_flip_probability: 0.5, random_crop_padding_px: 2 };
    let dataset = dataset();
    let (mut together, mut alone) = (vec![0; 3 * SHAPE.bytes()], vec![0; SHAPE.bytes()]);
    _ = fill_batch(&dataset, &[8, 6, 4], Some((&augment, 5)), &mut together);
    _ = fill_batch(&dataset, &[6], Some((&augment, 5)), &mut alone);
    assert_eq!(together[SHAPE.bytes()..2 * SHAPE.bytes()], alone);
    let mut plain = vec![0; SHAPE.bytes()];
    _ = fill_batch(&dataset, &[6], None, &mut plain);
    assert_ne!(plain, alone);
}
