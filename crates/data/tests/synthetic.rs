//! Synthetic images are a function of their seed, and a classifier can tell their classes apart.

use regatta_data::{ImageShape, Source, Split, SyntheticDataset, SyntheticSettings};

fn settings(
    images: usize,
    channels: usize,
    height: usize,
    width: usize,
    classes: usize,
) -> SyntheticSettings {
    SyntheticSettings { images, shape: ImageShape { channels, height, width }, classes, seed: 11 }
}

fn read(dataset: &SyntheticDataset, index: usize) -> (Vec<u8>, i64) {
    let mut pixels = Vec::new();
    let label = dataset.fetch(index, &mut pixels).unwrap();
    (pixels, label)
}

/// Mean of the training images of each class.
fn centroids(train: &SyntheticDataset) -> Vec<Vec<f32>> {
    let mut sums = vec![vec![0.0; read(train, 0).0.len()]; train.classes()];
    for index in 0..train.len() {
        let (pixels, label) = read(train, index);
        sums[label as usize].iter_mut().zip(pixels).for_each(|(sum, pixel)| *sum += f32::from(pixel));
    }
    let per_class = (train.len() / train.classes()) as f32;
    sums.iter().map(|sum| sum.iter().map(|value| value / per_class).collect()).collect()
}

fn nearest(centroids: &[Vec<f32>], pixels: &[u8]) -> usize {
    let distance = |centroid: &[f32]| -> f32 {
        centroid.iter().zip(pixels).map(|(c, &p)| (c - f32::from(p)).powi(2)).sum()
    };
    let class_by_distance =
        |a: &usize, b: &usize| distance(&centroids[*a]).total_cmp(&distance(&centroids[*b]));
    (0..centroids.len()).min_by(class_by_distance).unwrap()
}

#[test]
fn classes_learned_from_the_training_images_are_found_in_the_validation_images() {
    for (channels, size, classes) in [(1, 28, 10), (3, 32, 100)] {
        let train = SyntheticDataset::new(settings(5 * classes, channels, size, size, classes), Split::Train);
        let validation =
            SyntheticDataset::new(settings(200, channels, size, size, classes), Split::Validation);
        let centroids = centroids(&train);
        let right = (0..200).map(|index| read(&validation, index));
        let right = right.filter(|(pixels, label)| nearest(&centroids, pixels) == *label as usize).count();
        assert!(right >= 190, "{right} of 200 at {classes} classes");
    }
}

#[test]
fn images_repeat_and_differ_between_indices_splits_and_seeds() {
    let settings = settings(20, 3, 5, 7, 2);
    let train = SyntheticDataset::new(settings, Split::Train);
    let again = SyntheticDataset::new(settings, Split::Train);
    let validation = SyntheticDataset::new(settings, Split::Validation);
    let other = SyntheticDataset::new(SyntheticSettings { seed: 12, ..settings }, Split::Train);
    assert_eq!(read(&train, 3), read(&again, 3));
    assert_eq!(train.class_names(), None);
    for different in [read(&train, 5), read(&validation, 3), read(&other, 3)] {
        assert_ne!(read(&train, 3).0, different.0);
        assert_eq!(different.1, 1);
    }
}

#[test]
fn any_shape_works() {
    for (channels, height, width) in [(1, 1, 1), (3, 2, 9), (4, 33, 1), (2, 3, 5)] {
        let dataset = SyntheticDataset::new(settings(4, channels, height, width, 3), Split::Train);
        let (pixels, label) = read(&dataset, 3);
        assert_eq!((pixels.len(), label), (channels * height * width, 0));
    }
}

#[test]
fn pixels_are_centred_as_their_normalisation_says() {
    let dataset = SyntheticDataset::new(settings(500, 3, 32, 32, 500), Split::Train);
    let all: Vec<f64> =
        (0..500).flat_map(|index| read(&dataset, index).0).map(|b| f64::from(b) / 255.0).collect();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let variance = all.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / all.len() as f64;
    assert!((mean - 0.5).abs() < 0.02, "{mean}");
    assert!((variance.sqrt() - 0.2).abs() < 0.02, "{}", variance.sqrt());
}
