//! Subsets of a source.

use std::sync::Arc;

use regatta_data::{DataError, Encoding, ImageShape, Source, Split, Subset};

/// Images that are numbered, sorted by class, a hundred of each.
struct Sorted(usize);

impl Source for Sorted {
    fn len(&self) -> usize {
        self.0
    }

    fn classes(&self) -> usize {
        self.0 / 100
    }

    fn encoding(&self) -> Encoding {
        Encoding::Pixels(ImageShape { channels: 1, height: 1, width: 8 })
    }

    fn fetch(&self, index: usize, stored: &mut Vec<u8>) -> Result<i64, DataError> {
        stored.clear();
        stored.extend((index as u64).to_le_bytes());
        Ok(index as i64 / 100)
    }
}

/// The numbers of the images, and their labels.
fn images(of: usize, images: usize, split: Split) -> Vec<(u64, i64)> {
    let subset = Subset::new(Arc::new(Sorted(of)), images, split);
    let mut stored = Vec::new();
    let fetch = |index| {
        let label = subset.fetch(index, &mut stored).unwrap();
        (u64::from_le_bytes(stored[..].try_into().unwrap()), label)
    };
    (0..subset.len()).map(fetch).collect()
}

#[test]
fn a_smaller_subset_is_part_of_a_larger_one() {
    let all = images(1000, 1000, Split::Train);
    assert!(all.iter().map(|(number, _)| *number).eq(0..1000));
    let mut larger = all;
    for size in [999, 500, 100, 1] {
        let smaller = images(1000, size, Split::Train);
        assert_eq!(smaller.len(), size);
        assert!(smaller.is_sorted_by(|a, b| a < b), "in order, without duplicates");
        assert!(smaller.iter().all(|image| larger.contains(image)));
        larger = smaller;
    }
}

#[test]
fn a_subset_of_sorted_images_has_all_classes() {
    for split in [Split::Train, Split::Validation] {
        let labels: Vec<i64> = images(1000, 200, split).iter().map(|(_, label)| *label).collect();
        for class in 0..10 {
            let count = labels.iter().filter(|&&label| label == class).count();
            // 20 are expected, with a standard deviation of 4.
            assert!((4..=36).contains(&count), "{count} images of class {class}");
        }
    }
}

/// Results of earlier runs and sweeps belong to these images.
#[test]
fn the_images_of_a_subset_never_change() {
    let numbers: Vec<u64> = images(1000, 8, Split::Train).iter().map(|(number, _)| *number).collect();
    expect_test::expect!["[30, 44, 178, 224, 345, 360, 428, 668]"].assert_eq(&format!("{numbers:?}"));
}

#[test]
fn splits_of_one_size_have_different_subsets() {
    assert_ne!(images(1000, 100, Split::Train), images(1000, 100, Split::Validation));
}
