//! The most probable classes of every image, gathered from all ranks, and their CSV file.

use anyhow::Result;
use regatta_comm::World;
use regatta_data::Source;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::evaluate::{BEST, EvaluatedBatch};

/// The most probable classes of this rank's images, on the device so that the host does not wait between batches.
#[derive(Default)]
pub(super) struct Collector {
    /// Each of shape `[n]`.
    labels: Vec<Tensor>,
    /// Each of shape `[n, 5]`, or fewer columns if there are fewer classes.
    classes: Vec<Tensor>,
    /// Of the same shape.
    probabilities: Vec<Tensor>,
}

/// The most probable classes of consecutive images.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Predictions {
    /// The true class of each image.
    labels: Vec<u32>,
    /// Number of classes of each image; 0 without images.
    width: usize,
    /// The most probable classes of each image, in descending order, image after image.
    classes: Vec<u32>,
    /// Their probabilities.
    probabilities: Vec<f32>,
}

/// The prediction for one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Prediction<'a> {
    /// The true class.
    pub(super) label: u32,
    /// The most probable classes, in descending order.
    pub(super) classes: &'a [u32],
    /// Their probabilities.
    pub(super) probabilities: &'a [f32],
}

impl Collector {
    /// Adds the images of a batch, by their logits `[n, classes]` and labels `[n]`.
    pub(super) fn add(&mut self, &EvaluatedBatch { logits_nk, best, labels }: &EvaluatedBatch) {
        self.probabilities.push(logits_nk.softmax(1, Kind::Double).gather(1, best, false));
        self.classes.push(best.shallow_clone());
        self.labels.push(labels.shallow_clone());
    }

    /// Copies the predictions to the host.
    ///
    /// # Errors
    /// Tensors that cannot be copied.
    pub(super) fn finish(self) -> Result<Predictions> {
        let Some(classes) = self.classes.first() else { return Ok(Predictions::default()) };
        let width = classes.size()[1] as usize;
        let integers = |tensors: &[Tensor]| -> Result<Vec<u32>> {
            let values = Tensor::cat(tensors, 0).flatten(0, -1).to_device(Device::Cpu);
            let values = Vec::<i64>::try_from(&values)?;
            Ok(values.into_iter().map(|value| value as u32).collect())
        };
        let probabilities = Tensor::cat(&self.probabilities, 0).flatten(0, -1);
        let probabilities = probabilities.to_device(Device::Cpu).to_kind(Kind::Float);
        Ok(Predictions {
            labels: integers(&self.labels)?,
            width,
            classes: integers(&self.classes)?,
            probabilities: Vec::<f32>::try_from(&probabilities)?,
        })
    }
}

impl Predictions {
    /// Returns the predictions of all ranks, in the order of ranks and therefore of images. A collective.
    ///
    /// # Errors
    /// Failed collectives.
    pub(super) fn gather(own: &Self, world: &World) -> Result<Self> {
        Ok(Self::joined(world.gather(own)?))
    }

    fn joined(parts: Vec<Self>) -> Self {
        parts.into_iter().fold(Self::default(), |mut all, part| {
            all.labels.extend(part.labels);
            all.width = all.width.max(part.width);
            all.classes.extend(part.classes);
            all.probabilities.extend(part.probabilities);
            all
        })
    }

    /// Returns the prediction for each image, in order.
    pub(super) fn images(&self) -> impl Iterator<Item = Prediction<'_>> {
        let width = self.width.max(1);
        let best = self.classes.chunks_exact(width).zip(self.probabilities.chunks_exact(width));
        let images = self.labels.iter().zip(best);
        images.map(|(&label, (classes, probabilities))| Prediction { label, classes, probabilities })
    }

    /// Returns the CSV file: a line for each image of `source`, with its name, its true class, and the most probable classes
    /// with their probabilities. Classes are names, or numbers where the data set has none; columns beyond the number of
    /// classes are empty. The line of an image that could not be read has the class and prediction of the one in its place.
    ///
    /// # Errors
    /// None in practice: the file is written to memory.
    pub(super) fn csv(&self, source: &dyn Source) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let numbered =
            |name: &str| (1..=BEST).map(move |place| format!("{name}_{place}")).collect::<Vec<_>>();
        let first = ["index", "file", "label"].map(str::to_owned).to_vec();
        writer.write_record([first, numbered("class"), numbered("probability")].concat())?;
        for (index, Prediction { label, classes, probabilities }) in self.images().enumerate() {
            let first = vec![index.to_string(), source.name(index), class_name(source, label)];
            let classes = classes.iter().map(|&class| class_name(source, class));
            let probabilities = probabilities.iter().map(ToString::to_string);
            writer.write_record([first, filled(classes), filled(probabilities)].concat())?;
        }
        Ok(writer.into_inner()?)
    }
}

/// Returns one value for each column.
fn filled(values: impl Iterator<Item = String>) -> Vec<String> {
    values.chain(std::iter::repeat(String::new())).take(BEST).collect()
}

/// Returns the name of a class, or its number where the data set has no names.
pub(super) fn class_name(source: &dyn Source, class: u32) -> String {
    let names = source.class_names().unwrap_or_default();
    names.get(class as usize).cloned().unwrap_or_else(|| class.to_string())
}

/// Predictions of images with these labels, and classes in this order, for tests.
#[cfg(test)]
pub(super) fn predicted(images: &[(u32, &[u32])]) -> Predictions {
    let width = images[0].1.len();
    let classes: Vec<u32> = images.iter().flat_map(|(_, classes)| classes.iter().copied()).collect();
    let probabilities = (0..classes.len()).map(|place| 0.5 / (1 + place % width) as f32).collect();
    Predictions { labels: images.iter().map(|(label, _)| *label).collect(), width, classes, probabilities }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use regatta_data::{ImageShape, Split, SyntheticDataset, SyntheticSettings};

    use super::*;
    use crate::evaluate::best_classes;

    #[test]
    fn the_most_probable_classes_come_first_and_parts_join_in_order() {
        let logits = |rows: &[[f64; 3]]| Tensor::from_slice2(rows);
        let part = |rows: &[[f64; 3]], labels: &[i64]| {
            let mut collector = Collector::default();
            rows.iter().zip(labels).for_each(|(row, label)| {
                let (logits_nk, labels) = (logits(&[*row]), Tensor::from_slice(&[*label]));
                let best = best_classes(&logits_nk);
                collector.add(&EvaluatedBatch { logits_nk: &logits_nk, best: &best, labels: &labels });
            });
            collector.finish().unwrap()
        };
        let zero = f64::NEG_INFINITY;
        let first = part(&[[0.0, 1f64.exp().ln() + 3f64.ln(), zero], [0.5, 0.5, 0.5]], &[2, 0]);
        assert_eq!((&first.labels[..], &first.classes[..3]), (&[2, 0][..], &[1, 0, 2][..]));
        let e = 1f64.exp();
        let expected = [3.0 * e / (1.0 + 3.0 * e), 1.0 / (1.0 + 3.0 * e), 0.0].map(|it| it as f32);
        assert!(
            first.probabilities.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6)
        );
        let all = Predictions::joined(vec![first, part(&[], &[]), part(&[[1.0, 2.0, 3.0]], &[1])]);
        let classes: Vec<_> = all.images().map(|image| (image.label, image.classes.to_vec())).collect();
        assert_eq!((classes.len(), &classes[2]), (3, &(1, vec![2, 1, 0])));
    }

    #[test]
    fn a_line_has_the_image_and_its_best_classes() {
        let shape = ImageShape { channels: 1, height: 1, width: 1 };
        let settings = SyntheticSettings { images: 2, shape, classes: 3, seed: 0 };
        let source = SyntheticDataset::new(settings, Split::Validation);
        let csv = predicted(&[(1, &[2, 1, 0]), (0, &[0, 1, 2])]).csv(&source).unwrap();
        expect![[r#"
            index,file,label,class_1,class_2,class_3,class_4,class_5,probability_1,probability_2,probability_3,probability_4,probability_5
            0,synthetic image 0,1,2,1,0,,,0.5,0.25,0.16666667,,
            1,synthetic image 1,0,0,1,2,,,0.5,0.25,0.16666667,,
        "#]]
        .assert_eq(&String::from_utf8(csv).unwrap());
    }
}
