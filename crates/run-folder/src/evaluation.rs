//! A saved evaluation: accuracy by class, confusion matrix, and the images that were classified worst.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic::write_atomic;
use crate::error::StorageError;
use crate::folder::RunFolder;
use crate::record::{nan, number};
use crate::regular::read_if_exists;
use crate::schema::Schema;

/// What `trainer evaluate --save` found; accuracies are fractions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// Version of the format.
    #[serde(default)]
    pub schema: Schema<1>,
    /// Time of the evaluation, UTC, RFC 3339.
    pub evaluated_at: String,
    /// `val` or `train`.
    pub split: String,
    /// `ema` or `model`: the weights of the checkpoint that were evaluated.
    pub weights: String,
    /// Steps done in the checkpoint.
    pub step: Option<u64>,
    /// Height and width of the network's input in pixels.
    pub resolution_px: u32,
    /// Whether the logits of the mirror images were averaged in.
    pub flip: bool,
    /// Number of images.
    pub images: u64,
    /// Fraction of the images whose class is the most probable one.
    pub top1: f64,
    /// Fraction of the images whose class is among the five most probable ones.
    pub top5: f64,
    /// Mean cross-entropy.
    #[serde(default = "nan", deserialize_with = "number")]
    pub loss: f64,
    /// The results of the classes.
    pub classes: Vec<ClassResult>,
    /// Number of images by true class (rows) and most probable class (columns); none with too many classes.
    pub confusion: Option<Vec<Vec<u64>>>,
    /// The images whose wrong class is most probable, the worst first.
    pub worst: Vec<WorstImage>,
}

/// The result of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassResult {
    /// Its name, or its number.
    pub name: String,
    /// Number of its images.
    pub images: u64,
    /// Top-1 accuracy; none without images.
    pub top1: Option<f64>,
    /// Top-5 accuracy; none without images.
    pub top5: Option<f64>,
}

/// An image that was classified wrongly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorstImage {
    /// Its number in the split.
    pub index: u64,
    /// Its name in the data set.
    pub name: String,
    /// Its true class.
    pub label: String,
    /// The class that the network found most probable.
    pub predicted: String,
    /// The probability of that class.
    #[serde(default = "nan", deserialize_with = "number")]
    pub probability: f64,
    /// Name of its PNG file in [`RunFolder::evaluations`].
    pub file: String,
}

impl EvaluationRecord {
    /// Reads the saved evaluation of a split, if there is one.
    ///
    /// # Errors
    /// If the file cannot be read or has another format.
    pub fn read(folder: &RunFolder, split: &str) -> Result<Option<Self>, StorageError> {
        let path = folder.evaluation(split);
        let Some(bytes) = read_if_exists(&path)? else { return Ok(None) };
        let record = serde_json::from_slice(&bytes).map_err(|error| StorageError::Content {
            path,
            found: format!("not a saved evaluation: {error}"),
        })?;
        Ok(Some(record))
    }

    /// Saves the evaluation and the PNG files of its worst images, in place of an earlier one of the same split. Images come first,
    /// so that every image that a record names is there.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: &RunFolder, images: &[Vec<u8>]) -> Result<(), StorageError> {
        let evaluations = folder.evaluations();
        fs::create_dir_all(&evaluations).map_err(StorageError::io("create the folder", &evaluations))?;
        for (image, png) in self.worst.iter().zip(images) {
            write_atomic(evaluations.join(&image.file), png)?;
        }
        let mut bytes = serde_json::to_vec(self).expect("numbers and strings always have a JSON form");
        bytes.push(b'\n');
        write_atomic(folder.evaluation(&self.split), &bytes)?;
        remove_others(&evaluations, &self.split, |name| self.worst.iter().any(|image| image.file == name))
    }
}

impl WorstImage {
    /// Returns the name of the PNG file of an image.
    pub fn file_name(split: &str, index: usize) -> String {
        format!("{split}-{index:08}.png")
    }

    /// Returns the path of its PNG file, unless its name leads out of the folder.
    pub fn path(&self, folder: &RunFolder) -> Option<PathBuf> {
        let is_plain = Path::new(&self.file).file_name().is_some_and(|name| name == self.file.as_str());
        is_plain.then(|| folder.evaluations().join(&self.file))
    }
}

/// Removes the images of an earlier evaluation of `split`.
fn remove_others(folder: &Path, split: &str, is_used: impl Fn(&str) -> bool) -> Result<(), StorageError> {
    for entry in fs::read_dir(folder).map_err(StorageError::io("list", folder))? {
        let path = entry.map_err(StorageError::io("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_image = name.starts_with(&format!("{split}-")) && name.ends_with(".png");
        if is_image && !is_used(name) {
            fs::remove_file(&path).map_err(StorageError::io("remove", &path))?;
        }
    }
    Ok(())
}
