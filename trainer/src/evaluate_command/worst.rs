//! The images that were classified worst, and their thumbnails.

use std::sync::Arc;

use anyhow::Result;
use regatta_data::{Filter, ImageShape, Resizer, Size, Source, Split, encode_png};
use regatta_run_folder::WorstImage;
use regatta_settings::Recipe;

use super::predictions::{Prediction, Predictions, class_name};
use crate::data_command::{SplitName, shown_image};
use crate::input::images_of_size;

/// Number of images.
const MOST: usize = 24;
/// Longest side of a thumbnail in pixels.
const SIDE_PX: usize = 96;

/// Returns the wrongly classified images whose wrong class is most probable, the worst first, with a PNG file of each as the network
/// was given it. Images that cannot be read are left out.
///
/// # Errors
/// None in practice: the files are written to memory.
pub(super) fn worst_images(
    predictions: &Predictions,
    (source, split): (&Arc<dyn Source>, SplitName),
    recipe: &Recipe,
) -> Result<(Vec<WorstImage>, Vec<Vec<u8>>)> {
    let px = recipe.data.resolution_px;
    let images = images_of_size(recipe, Arc::clone(source), Split::Validation, px);
    let mut found = (Vec::new(), Vec::new());
    for (index, prediction) in surest_errors(predictions) {
        let Ok(rgb) = shown_image(&images, recipe, (0, index)) else { continue };
        found.0.push(described(index, &prediction, &**source, split));
        found.1.push(thumbnail(&rgb, images.shape())?);
    }
    Ok(found)
}

/// Returns the number and the prediction of each of the images whose wrong class is most probable.
fn surest_errors(predictions: &Predictions) -> Vec<(usize, Prediction<'_>)> {
    let is_wrong = |(_, image): &(usize, Prediction)| image.classes.first() != Some(&image.label);
    let mut wrong: Vec<_> = predictions.images().enumerate().filter(is_wrong).collect();
    // A stable order: of equal probabilities, the first image.
    wrong.sort_by(|(_, one), (_, other)| other.probabilities[0].total_cmp(&one.probabilities[0]));
    wrong.truncate(MOST);
    wrong
}

fn described(index: usize, prediction: &Prediction, source: &dyn Source, split: SplitName) -> WorstImage {
    WorstImage {
        index: index as u64,
        name: source.name(index),
        label: class_name(source, prediction.label),
        predicted: class_name(source, prediction.classes[0]),
        probability: f64::from(prediction.probabilities[0]),
        file: WorstImage::file_name(split.name(), index),
    }
}

/// Returns an image in RGB as PNG, with sides of at most [`SIDE_PX`].
fn thumbnail(rgb: &[u8], shape: ImageShape) -> Result<Vec<u8>> {
    let size = |width: usize, height: usize| Size { width: width as u32, height: height as u32 };
    let (from, longest) = (size(shape.width, shape.height), shape.width.max(shape.height));
    if longest <= SIDE_PX {
        return Ok(encode_png(rgb, from)?);
    }
    let side = |px: usize| (px * SIDE_PX / longest).max(1);
    let to = size(side(shape.width), side(shape.height));
    let mut small = vec![0; 3 * to.width as usize * to.height as usize];
    Resizer::new().resize(rgb, from, Filter::Bilinear, true, &mut small, to);
    Ok(encode_png(&small, to)?)
}

#[cfg(test)]
mod tests {
    use super::super::predictions::predicted;
    use super::*;

    #[test]
    fn only_errors_are_listed_the_surest_first() {
        let mut images = vec![(0, &[0, 1][..]), (1, &[0, 1]), (2, &[0, 2])];
        images.extend((0..2 * MOST).map(|_| (1, &[2, 1][..])));
        let predictions = predicted(&images);
        let indices: Vec<usize> = surest_errors(&predictions).into_iter().map(|(index, _)| index).collect();
        assert_eq!(indices, (1..=MOST).collect::<Vec<_>>(), "all are equally sure");
    }

    #[test]
    fn thumbnails_are_small() {
        let shape = |width, height| ImageShape { channels: 3, height, width };
        let sides = |width: usize, height: usize| {
            let png = thumbnail(&vec![7; 3 * width * height], shape(width, height)).unwrap();
            [16, 20].map(|at| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()))
        };
        assert_eq!((sides(28, 28), sides(224, 112)), ([28, 28], [96, 48]));
    }
}
