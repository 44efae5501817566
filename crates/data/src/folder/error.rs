//! Errors of image folders and of their label files.

use std::path::PathBuf;

use thiserror::Error;

use super::walk::Skipped;

/// An image folder that cannot be used.
#[derive(Debug, Error)]
pub enum FolderError {
    /// The folder of a split does not exist.
    #[error(
        "there is no folder {}: an image folder has folders of classes under train and val of data.folder",
        .folder.display()
    )]
    SplitMissing {
        /// The missing folder.
        folder: PathBuf,
    },
    /// The folder of a split contains no folders.
    #[error(
        "{} has no class folders; where all validation images lie in one folder, data.val_labels names the file of \
         their labels",
        .folder.display()
    )]
    NoClasses {
        /// The folder of the split.
        folder: PathBuf,
    },
    /// Classes without an image; torchvision's `ImageFolder` refuses them as well.
    #[error(
        "{}: no image (.jpg, .jpeg, .png, .webp) in {}{}", .folder.display(), listed(.classes), .skipped.remark()
    )]
    EmptyClasses {
        /// The folder of the split.
        folder: PathBuf,
        /// The class folders without an image.
        classes: Vec<String>,
        /// Files of formats that are not read.
        skipped: Skipped,
    },
    /// A folder for all validation images has no image.
    #[error("no image (.jpg, .jpeg, .png, .webp) in {}{}", .folder.display(), .skipped.remark())]
    NoImages {
        /// The folder.
        folder: PathBuf,
        /// Files of formats that are not read.
        skipped: Skipped,
    },
    /// Training and validation images have different classes.
    #[error(
        "the classes of {} and its train folder differ: {}",
        .validation.display(), differing(.only_train, .only_validation)
    )]
    ClassesDiffer {
        /// The folder of the validation images.
        validation: PathBuf,
        /// Classes that only the training images have.
        only_train: Vec<String>,
        /// Classes that only the validation images have.
        only_validation: Vec<String>,
    },
    /// The name of a class folder is not valid UTF-8.
    #[error("the name of the class folder {} is not valid UTF-8", .folder.display())]
    NotUtf8 {
        /// The class folder.
        folder: PathBuf,
    },
    /// Something with an image's name is neither a file nor a folder.
    #[error("{} is a pipe, socket or device where an image is expected", .path.display())]
    NotAFile {
        /// What was found.
        path: PathBuf,
    },
    /// A folder contains a link to itself or to a folder above it.
    #[error("{} is a link to a folder that contains it", .path.display())]
    LinkLoop {
        /// The link.
        path: PathBuf,
    },
    /// The names of the images take more than 4 GiB.
    #[error("{} has too many images: their names take more than 4 GiB", .folder.display())]
    TooManyNames {
        /// The folder of the split.
        folder: PathBuf,
    },
    /// The file of the validation labels cannot be used.
    #[error("the label file {} is not usable: {fault}", .path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: LabelFault,
    },
}

/// What is wrong with a label file.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum LabelFault {
    /// The file is not text.
    #[error("it is not UTF-8 text of at most 256 MiB")]
    NotText,
    /// Some lines have a name and some do not.
    #[error("line {line} is not like the first: either all lines are NAME CLASS, or all are CLASS")]
    Mixed {
        /// The line, counted from 1.
        line: usize,
    },
    /// One number a line.
    #[error(
        "it has one number a line, as ILSVRC2012_validation_ground_truth.txt, whose numbers are not in the order of \
         the class folders; write lines NAME CLASS, or CLASS in the order of the sorted file names, where CLASS is a \
         class folder's name such as {example}"
    )]
    BareNumbers {
        /// A class.
        example: String,
    },
    /// A class is neither the name of a folder nor, in a file of numbers, a number.
    #[error(
        "line {line}: {class} is not a class; expected are names of class folders, or after an image's name numbers \
         from 0 in the order of the sorted folders"
    )]
    NotAClass {
        /// The line, counted from 1.
        line: usize,
        /// What it has in place of a class.
        class: String,
    },
    /// A line without a name for every image is expected.
    #[error("it has {lines} lines for {images} images")]
    Count {
        /// Number of lines.
        lines: usize,
        /// Number of images.
        images: usize,
    },
    /// A line names an image that is not there.
    #[error("line {line}: there is no image {name}")]
    NoSuchImage {
        /// The line, counted from 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// Two lines name the same image.
    #[error("line {line}: a second label of {name}")]
    Twice {
        /// The line, counted from 1.
        line: usize,
        /// The image.
        name: String,
    },
    /// An image has no label.
    #[error("it has no label for {name}")]
    Missing {
        /// The image.
        name: String,
    },
}

/// Lists the first few names.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().checked_sub(SHOWN + 1) {
        None => shown,
        Some(more) => format!("{shown} and {} more", more + 1),
    }
}

fn differing(only_train: &[String], only_validation: &[String]) -> String {
    let sides = [("train", only_train), ("val", only_validation)];
    let sides = sides.into_iter().filter(|(_, names)| !names.is_empty());
    sides.map(|(side, names)| format!("only {side} has {}", listed(names))).collect::<Vec<_>>().join("; ")
}
