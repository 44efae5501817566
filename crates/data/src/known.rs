//! The table of known data sets, with the facts that recipes, readers, `launcher plan` and `launcher doctor` use.

use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cifar::{CIFAR10, CIFAR100};
use crate::error::DataError;
use crate::idx::IDX;
use crate::source::{Source, Split};

/// A data set in files, by its name in `data.dataset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatasetName {
    /// Zalando's Fashion-MNIST: 60,000 and 10,000 grayscale images of 28x28 in ten classes.
    FashionMnist,
    /// LeCun's MNIST: 60,000 and 10,000 grayscale images of 28x28 in ten classes; or any data set in the same files.
    Mnist,
    /// Krizhevsky's CIFAR-10, binary version: 50,000 and 10,000 colour images of 32x32 in ten classes.
    Cifar10,
    /// Krizhevsky's CIFAR-100, binary version, by its fine labels: 50,000 and 10,000 colour images of 32x32 in 100 classes.
    Cifar100,
}

impl DatasetName {
    /// Returns the table's entry for this data set.
    pub const fn facts(self) -> &'static KnownDataset {
        match self {
            Self::FashionMnist => &FASHION_MNIST,
            Self::Mnist => &MNIST,
            Self::Cifar10 => &CIFAR_10,
            Self::Cifar100 => &CIFAR_100,
        }
    }
}

/// The facts about a known data set.
#[derive(Debug)]
pub struct KnownDataset {
    /// Its name in messages.
    pub title: &'static str,
    /// Number of channels of an image.
    pub channels: u32,
    /// Number of classes.
    pub classes: u32,
    /// Names of the classes in the order of their labels; empty if they are only numbers.
    pub class_names: &'static [&'static str],
    /// Number of training images, if it is fixed.
    pub train_images: Option<usize>,
    /// Mean of the training images by channel, on the scale 0 to 1.
    pub mean: &'static [f64],
    /// Standard deviation of the training images by channel, on the scale 0 to 1.
    pub std: &'static [f64],
    /// The files of the training split, without `.gz`.
    pub train_files: &'static [&'static str],
    /// The files of the validation split, without `.gz`.
    pub validation_files: &'static [&'static str],
    /// Folder that the data set's archive unpacks to; files are found in a folder that contains it, too.
    pub subfolder: Option<&'static str>,
    /// Usual folders of the files; a relative path is resolved against the working folder and the checkout. Empty if
    /// `data.folder` is required.
    pub folders: &'static [&'static str],
    /// How to get the files, as the end of a sentence.
    pub how_to_get: &'static str,
    /// Format of the files.
    pub format: &'static Format,
}

/// A file format, declared with its reader.
#[derive(Debug)]
pub struct Format {
    /// A file of this format in words, such as "an idx file".
    pub file: &'static str,
    /// The first bytes of every file, after decompression; may be empty.
    pub magic: &'static [u8],
    /// The reader of one split.
    pub(crate) open: fn(&KnownDataset, &Path, Split) -> Opened,
}

/// One split, or the error that prevents reading it.
pub(crate) type Opened = Result<Box<dyn Source>, DataError>;

const FASHION_MNIST: KnownDataset = KnownDataset {
    title: "Fashion-MNIST",
    class_names: &[
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
    train_images: Some(60_000),
    mean: &[0.2860],
    std: &[0.3530],
    folders: &["datasets/fashion-mnist", "/usr/share/datasets/fashion-mnist"],
    how_to_get: "`make` fetches it into datasets/fashion-mnist of the checkout and the Debian package \
                 dataset-fashion-mnist puts it under /usr/share/datasets/fashion-mnist, where it is found; any other folder \
                 is named in data.folder or REGATTA__DATA__FOLDER",
    ..MNIST
};

const MNIST: KnownDataset = KnownDataset {
    title: "MNIST",
    channels: 1,
    classes: 10,
    class_names: &[],
    train_images: None,
    mean: &[0.1307],
    std: &[0.3081],
    train_files: &["train-images-idx3-ubyte", "train-labels-idx1-ubyte"],
    validation_files: &["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
    subfolder: None,
    folders: &[],
    how_to_get: "set data.folder to the folder with its four idx files (gzip or plain)",
    format: &IDX,
};

const CIFAR_10: KnownDataset = KnownDataset {
    title: "CIFAR-10",
    channels: 3,
    classes: 10,
    class_names: &["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    train_images: Some(50_000),
    mean: &[0.4914, 0.4822, 0.4465],
    std: &[0.2470, 0.2435, 0.2616],
    train_files: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    validation_files: &["test_batch.bin"],
    subfolder: Some("cifar-10-batches-bin"),
    folders: &[],
    how_to_get: "unpack cifar-10-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html and set data.folder to its folder \
                 cifar-10-batches-bin",
    format: &CIFAR10,
};

const CIFAR_100: KnownDataset = KnownDataset {
    title: "CIFAR-100",
    classes: 100,
    class_names: &CIFAR_100_CLASSES,
    mean: &[0.5071, 0.4865, 0.4409],
    std: &[0.2673, 0.2564, 0.2762],
    train_files: &["train.bin"],
    validation_files: &["test.bin"],
    subfolder: Some("cifar-100-binary"),
    how_to_get: "unpack cifar-100-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html and set data.folder to its folder \
                 cifar-100-binary",
    format: &CIFAR100,
    ..CIFAR_10
};

#[rustfmt::skip]
const CIFAR_100_CLASSES: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle",
    "bicycle", "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel",
    "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud",
    "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant",
    "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree",
    "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter",
    "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea",
    "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television",
    "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
];

impl KnownDataset {
    /// Opens one split, whose files are in `folder`.
    ///
    /// # Errors
    /// A missing folder or file, or a file with invalid content.
    pub fn open(&self, folder: &Path, split: Split) -> Result<Box<dyn Source>, DataError> {
        (self.format.open)(self, folder, split)
    }

    /// Returns the names of the files of one split.
    pub fn files(&self, split: Split) -> &'static [&'static str] {
        match split {
            Split::Train => self.train_files,
            Split::Validation => self.validation_files,
        }
    }

    /// Returns whether the first of its files is in `folder`.
    pub fn is_in(&self, folder: &Path) -> bool {
        self.train_files.first().is_some_and(|name| matches!(self.find_file(folder, name), Ok(Some(_))))
    }

    /// Returns the path of the file `name` or `name.gz` in `folder` or in the archive's folder below it.
    ///
    /// # Errors
    /// A folder that cannot be searched, for example for lack of permission.
    pub fn find_file(&self, folder: &Path, name: &str) -> io::Result<Option<PathBuf>> {
        match (find_file(folder, name)?, self.subfolder) {
            (None, Some(subfolder)) => find_file(&folder.join(subfolder), name),
            (found, _) => Ok(found),
        }
    }

    /// Returns the path of the file `name` in `folder`.
    ///
    /// # Errors
    /// A missing folder or file, or a folder that cannot be searched.
    pub(crate) fn path_of(&self, name: &str, folder: &Path) -> Result<PathBuf, DataError> {
        let failed = |source| DataError::Read { path: folder.join(name), source };
        let (dataset, how_to_get) = (self.title, self.how_to_get);
        self.find_file(folder, name).map_err(failed)?.ok_or_else(|| {
            let folder = folder.to_owned();
            if folder.is_dir() {
                DataError::FileMissing { dataset, folder, name: name.to_owned(), how_to_get }
            } else {
                DataError::FolderMissing { dataset, folder, how_to_get }
            }
        })
    }
}

/// Returns the path of `name` or `name.gz` in `folder`, preferring the plain file.
///
/// # Errors
/// A folder that cannot be searched, for example for lack of permission.
pub fn find_file(folder: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    for candidate in [folder.join(name), folder.join(format!("{name}.gz"))] {
        if candidate.try_exists()? {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}
