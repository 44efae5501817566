//! A saved evaluation as the page shows it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use regatta_run_folder::{EvaluationRecord, WorstImage};
use serde::Serialize;

/// Most classes of a confusion matrix on the page; with more, the pairs that are confused most are listed.
const MOST_CLASSES: usize = 50;
/// Most pairs that are listed.
const MOST_PAIRS: usize = 50;

/// An evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// What was found; without the matrix if it is too large.
    #[serde(flatten)]
    pub record: EvaluationRecord,
    /// The pairs of classes that are confused most, if the matrix is known.
    pub pairs: Vec<Pair>,
    /// The worst images as `data:` addresses.
    pub pictures: Vec<Option<String>>,
}

/// Images of one class that were taken for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The true class.
    pub label: String,
    /// The class that they were taken for.
    pub predicted: String,
    /// Number of the images.
    pub images: u64,
    /// Number of all images of the true class.
    pub of: u64,
}

impl Evaluation {
    /// Prepares a record and the PNG files of its worst images.
    pub(super) fn of(record: &EvaluationRecord, images: &[Option<Vec<u8>>]) -> Self {
        let mut record = record.clone();
        let pairs = pairs(&record);
        let classes = record.classes.len();
        let is_drawn = |matrix: &Vec<Vec<u64>>| {
            classes <= MOST_CLASSES
                && matrix.len() == classes
                && matrix.iter().all(|row| row.len() == classes)
        };
        record.confusion = record.confusion.filter(is_drawn);
        record.worst.iter_mut().for_each(|image: &mut WorstImage| image.file.clear());
        let address = |png: &Vec<u8>| format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png));
        Self { record, pairs, pictures: images.iter().map(|png| png.as_ref().map(address)).collect() }
    }
}

fn pairs(record: &EvaluationRecord) -> Vec<Pair> {
    let Some(matrix) = &record.confusion else { return Vec::new() };
    let name =
        |class: usize| record.classes.get(class).map_or_else(|| class.to_string(), |it| it.name.clone());
    let confused = |label: usize, row: &Vec<u64>| {
        let others = row.iter().copied().enumerate();
        let others = others.filter(move |&(class, images)| class != label && images > 0);
        others.map(move |(class, images)| (images, label, class)).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = matrix.iter().enumerate().flat_map(|(label, row)| confused(label, row)).collect();
    all.sort_by_key(|&(images, label, class)| (std::cmp::Reverse(images), label, class));
    let pair = |&(images, label, class): &(u64, usize, usize)| Pair {
        label: name(label),
        predicted: name(class),
        images,
        of: matrix[label].iter().sum(),
    };
    all.iter().take(MOST_PAIRS).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use regatta_run_folder::ClassResult;

    use super::*;

    #[test]
    fn beyond_a_readable_matrix_only_the_most_confused_pairs_remain() {
        let class = |name: usize| ClassResult { name: format!("c{name}"), images: 9, top1: None, top5: None };
        let record = |classes: usize| {
            let mut matrix = vec![vec![0; classes]; classes];
            (matrix[1][0], matrix[2][1], matrix[1][1]) = (3, 5, 6);
            EvaluationRecord {
                schema: Default::default(),
                evaluated_at: String::new(),
                split: "val".into(),
                weights: "model".into(),
                step: Some(1),
                resolution_px: 28,
                flip: false,
                images: 9,
                top1: 0.5,
                top5: 0.5,
                loss: 1.0,
                classes: (0..classes).map(class).collect(),
                confusion: Some(matrix),
                worst: Vec::new(),
            }
        };
        for (classes, is_there) in [(3, true), (50, true), (51, false)] {
            let evaluation = Evaluation::of(&record(classes), &[]);
            assert_eq!(evaluation.record.confusion.is_some(), is_there);
            let pair = |label: &str, predicted: &str, images, of| Pair {
                label: label.into(),
                predicted: predicted.into(),
                images,
                of,
            };
            assert_eq!(evaluation.pairs, [pair("c2", "c1", 5, 5), pair("c1", "c0", 3, 9)]);
        }
    }
}
