//! A batch holds the asked images in the asked order, whatever its buffers held before.

use regatta_data::{
    Augment, Batch, Dataset, ImageShape, Split, SyntheticDataset, SyntheticSettings, fill_batch,
};

const SHAPE: ImageShape = ImageShape { channels: 2, height: 3, width: 4 };

fn dataset() -> SyntheticDataset {
    let settings = SyntheticSettings { images: 10, shape: SHAPE, classes: 4, seed: 1 };
    SyntheticDataset::new(settings, Split::Train)
}

#[test]
fn images_and_labels_stand_in_the_order_of_their_indices() {
    let (dataset, mut batch) = (dataset(), Batch::default());
    for indices in [&[7, 0, 7, 9][..], &[5], &[], &[1, 2, 3]] {
        fill_batch(&dataset, indices, None, &mut batch);
        let mut expected = Batch::default();
        for &index in indices {
            let mut pixels = vec![0; SHAPE.bytes()];
            expected.labels.push(dataset.read(index, &mut pixels));
            expected.images_nhwc.extend(pixels);
        }
        assert_eq!(batch, expected);
    }
}

#[test]
fn a_smaller_batch_keeps_the_buffers() {
    let (dataset, mut batch) = (dataset(), Batch::default());
    fill_batch(&dataset, &[0, 1, 2, 3], None, &mut batch);
    let buffers = (batch.images_nhwc.as_ptr(), batch.labels.as_ptr());
    fill_batch(&dataset, &[4, 5], None, &mut batch);
    assert_eq!((batch.images_nhwc.as_ptr(), batch.labels.as_ptr()), buffers);
}

#[test]
fn an_images_augmentation_does_not_depend_on_its_batch() {
    let augment = Augment { seed: 2, horizontal_flip_probability: 0.5, random_crop_padding_px: 2 };
    let (dataset, mut together, mut alone) = (dataset(), Batch::default(), Batch::default());
    fill_batch(&dataset, &[8, 6, 4], Some((&augment, 5)), &mut together);
    fill_batch(&dataset, &[6], Some((&augment, 5)), &mut alone);
    assert_eq!(together.images_nhwc[SHAPE.bytes()..2 * SHAPE.bytes()], alone.images_nhwc);
    fill_batch(&dataset, &[6], None, &mut together);
    assert_ne!(together.images_nhwc, alone.images_nhwc);
}
