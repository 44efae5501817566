//! The result of an evaluation: over all images, class by class, and as a confusion matrix; as text and as JSON.

use std::fmt::Write;
use std::time::SystemTime;

use regatta_data::Source;
use regatta_run_folder::{ClassResult, EvaluationRecord, WorstImage, utc};
use serde::Serialize;

use super::given::Described;
use super::predictions::{Predictions, class_name};
use crate::checkpoint::WeightsKind;
use crate::data_command::SplitName;
use crate::evaluate::Evaluation;

/// With at most this many classes, all are listed in the text.
const LISTED: usize = 50;
/// Otherwise, the number of classes listed, worst first.
const WORST: usize = 10;
/// Maximum number of classes of a confusion matrix, which has a number for each pair of them.
const MAX_CONFUSED: usize = 4096;

/// The weights and images that were evaluated.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) split: SplitName,
    pub(super) resolution_px: u32,
    pub(super) flip: bool,
    pub(super) weights: Described,
}

/// The result; accuracies are fractions. The names are those of the JSON object.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// `val` or `train`.
    split: &'static str,
    images: usize,
    /// Fraction of the images whose class is the most probable one.
    top1: f64,
    /// Fraction of the images whose class is among the five most probable ones.
    top5: f64,
    /// Mean cross-entropy.
    loss: f64,
    top1_images: u64,
    top5_images: u64,
    /// Images that could not be read and were replaced.
    bad_images: u64,
    resolution_px: u32,
    /// Whether the logits of the mirror images were averaged in.
    flip: bool,
    #[serde(flatten)]
    weights: Described,
    classes: Vec<ClassResult>,
    /// Number of images by true class (rows) and most probable class (columns); none with too many classes.
    confusion: Option<Vec<Vec<u64>>>,
}

/// Counts of one class.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    images: u64,
    top1: u64,
    top5: u64,
}

impl Report {
    /// Reports the predictions of all images of `source`.
    pub(super) fn new(
        evaluation: &Evaluation,
        predictions: &Predictions,
        source: &dyn Source,
        subject: Subject,
    ) -> Self {
        let counts = count(predictions, source.classes());
        let sum = |number: fn(&Counts) -> u64| counts.iter().map(number).sum();
        let Evaluation { loss, top1, top5, bad_images } = *evaluation;
        Self {
            split: subject.split.name(),
            images: source.len(),
            top1,
            top5,
            loss,
            top1_images: sum(|class| class.top1),
            top5_images: sum(|class| class.top5),
            bad_images,
            resolution_px: subject.resolution_px,
            flip: subject.flip,
            weights: subject.weights,
            classes: (0..).zip(&counts).map(|(class, counts)| class_report(source, class, counts)).collect(),
            confusion: (source.classes() <= MAX_CONFUSED).then(|| confusion(predictions, source.classes())),
        }
    }

    /// Returns the result to save, with the images that were classified worst.
    pub(super) fn record(&self, worst: Vec<WorstImage>) -> EvaluationRecord {
        EvaluationRecord {
            schema: Default::default(),
            evaluated_at: utc(SystemTime::now()),
            split: self.split.to_owned(),
            weights: self.weights.weights.clone(),
            step: self.weights.step,
            resolution_px: self.resolution_px,
            flip: self.flip,
            images: self.images as u64,
            top1: self.top1,
            top5: self.top5,
            loss: self.loss,
            classes: self.classes.clone(),
            confusion: self.confusion.clone(),
            worst,
        }
    }

    /// Formats the result for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let Self { split, images, top1, top5, loss, resolution_px: px, .. } = self;
        let flipped = if self.flip { ", and their mirror images" } else { "" };
        let mut line = |name: &str, value: String| {
            writeln!(text, "{name:<8} {value}").expect("a String takes every write");
        };
        line("weights", self.weights_in_words());
        line("images", format!("{images} of {split}, at {px}x{px} pixels{flipped}"));
        if self.bad_images > 0 {
            line("bad", format!("{} could not be read, others took their place", self.bad_images));
        }
        line("top-1", format!("{top1:.4} ({} right)", self.top1_images));
        line("top-5", format!("{top5:.4} ({} right)", self.top5_images));
        line("loss", format!("{loss:.4}"));
        text + "\n" + &self.class_table()
    }

    fn weights_in_words(&self) -> String {
        let Described { weights, checkpoint, .. } = &self.weights;
        match checkpoint {
            Some(checkpoint) if weights == WeightsKind::Ema.name() => {
                format!("moving average in {checkpoint}")
            }
            Some(checkpoint) => checkpoint.clone(),
            None => weights.clone(),
        }
    }

    /// Lists every class, or of many classes those with the lowest accuracy.
    fn class_table(&self) -> String {
        let mut classes: Vec<&ClassResult> = self.classes.iter().collect();
        let mut text = String::new();
        if classes.len() > LISTED {
            classes.retain(|class| class.images > 0);
            classes.sort_by(|one, other| one.top1.unwrap_or(0.0).total_cmp(&other.top1.unwrap_or(0.0)));
            classes.truncate(WORST);
            text +=
                &format!("the {} of {} classes with the lowest top-1:\n", classes.len(), self.classes.len());
        }
        let width = classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).max(5);
        text += &format!("{:<width$}  images   top-1   top-5\n", "class");
        for ClassResult { name, images, top1, top5 } in classes {
            let [top1, top5] = [top1, top5].map(|it| it.map_or("-".to_owned(), |it| format!("{it:.4}")));
            text += &format!("{name:<width$}  {images:>6}  {top1:>6}  {top5:>6}\n");
        }
        text
    }
}

/// Counts the images of each class, and the hits among the most probable 1 and 5 classes.
fn count(predictions: &Predictions, classes: usize) -> Vec<Counts> {
    let mut counts = vec![Counts::default(); classes];
    for image in predictions.images() {
        let class = &mut counts[image.label as usize];
        class.images += 1;
        class.top1 += u64::from(image.classes.first() == Some(&image.label));
        class.top5 += u64::from(image.classes.contains(&image.label));
    }
    counts
}

fn confusion(predictions: &Predictions, classes: usize) -> Vec<Vec<u64>> {
    let mut confusion = vec![vec![0; classes]; classes];
    for image in predictions.images() {
        confusion[image.label as usize][image.classes[0] as usize] += 1;
    }
    confusion
}

fn class_report(source: &dyn Source, class: u32, counts: &Counts) -> ClassResult {
    let &Counts { images, top1, top5 } = counts;
    let share = |count: u64| (images > 0).then(|| count as f64 / images as f64);
    ClassResult { name: class_name(source, class), images, top1: share(top1), top5: share(top5) }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use regatta_data::{ImageShape, Split, SyntheticDataset, SyntheticSettings};

    use super::super::predictions::predicted;
    use super::*;

    fn report(classes: usize, images: &[(u32, &[u32])], flip: bool) -> Report {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let settings = SyntheticSettings { images: images.len(), shape, classes, seed: 0 };
        let source = SyntheticDataset::new(settings, Split::Validation);
        let evaluation = Evaluation { loss: 1.25, top1: 0.25, top5: 0.5, bad_images: 0 };
        let weights = Described {
            weights: "ema".into(),
            checkpoint: Some("runs/x/checkpoints/step-000000006".into()),
            step: Some(6),
        };
        let subject = Subject { split: SplitName::Val, resolution_px: 64, flip, weights };
        Report::new(&evaluation, &predicted(images), &source, subject)
    }

    /// Four images of three classes, none of class 2.
    const FOUR: [(u32, &[u32]); 4] = [(0, &[0, 1]), (0, &[1, 0]), (0, &[2, 1]), (1, &[0, 2])];

    #[test]
    fn json_has_counts_by_class_and_pairs() {
        expect![[r#"{"split":"val","images":4,"top1":0.25,"top5":0.5,"loss":1.25,"top1_images":1,"top5_images":2,"bad_images":0,"resolution_px":64,"flip":false,"weights":"ema","checkpoint":"runs/x/checkpoints/step-000000006","step":6,"classes":[{"name":"0","images":3,"top1":0.3333333333333333,"top5":0.6666666666666666},{"name":"1","images":1,"top1":0.0,"top5":0.0},{"name":"2","images":0,"top1":null,"top5":null}],"confusion":[[1,1,1],[1,0,0],[0,0,0]]}"#]]
            .assert_eq(&serde_json::to_string(&report(3, &FOUR, false)).unwrap());
    }

    #[test]
    fn text_lists_all_of_few_classes() {
        expect![[r#"
            weights  moving average in runs/x/checkpoints/step-000000006
            images   4 of val, at 64x64 pixels, and their mirror images
            top-1    0.2500 (1 right)
            top-5    0.5000 (2 right)
            loss     1.2500

            class  images   top-1   top-5
            0           3  0.3333  0.6667
            1           1  0.0000  0.0000
            2           0       -       -
        "#]]
        .assert_eq(&report(3, &FOUR, true).text());
    }

    #[test]
    fn text_lists_the_worst_of_many_classes() {
        let images: Vec<(u32, &[u32])> =
            (0..60).map(|label| (label, if label % 2 == 0 { &[7, 8][..] } else { &[1, 2] })).collect();
        let report = report(70, &images, false);
        let text = report.text();
        let (_, table) = text.split_once("\n\n").unwrap();
        let names: Vec<_> = table.lines().skip(2).map(|line| line.split(' ').next().unwrap()).collect();
        assert!(table.starts_with("the 10 of 70 classes with the lowest top-1:\n"), "{table}");
        assert_eq!(names, ["0", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    }
}
