//! Where Fashion-MNIST's files are looked for when a recipe does not name their folder.

use std::path::{Path, PathBuf};

use crate::recipe::{DataSource, Recipe};

/// The folder that has the training images: that of the run which is continued, or else the first of [`places`]; where none
/// has them the last.
pub(crate) fn fashion_mnist_folder(kept: Option<&Recipe>) -> PathBuf {
    let kept = kept.and_then(|recipe| match &recipe.data.source {
        DataSource::FashionMnist { folder } => Some(folder.clone()),
        _ => None,
    });
    first_with_images(&kept.into_iter().chain(places()).collect::<Vec<_>>())
}

/// What `make` fetched into the checkout, as seen from the working folder and from where this program was built, and where
/// Debian's package `dataset-fashion-mnist` puts the files.
fn places() -> impl Iterator<Item = PathBuf> {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_owned);
    let checkouts = [std::env::current_dir().ok(), built_in].into_iter().flatten();
    let fetched = checkouts.map(|checkout| checkout.join("datasets/fashion-mnist"));
    fetched.chain([PathBuf::from("/usr/share/datasets/fashion-mnist")])
}

fn first_with_images(folders: &[PathBuf]) -> PathBuf {
    let found = folders.iter().find(|folder| has_images(folder)).or(folders.last());
    found.cloned().unwrap_or_default()
}

fn has_images(folder: &Path) -> bool {
    ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"].iter().any(|name| folder.join(name).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_with_images_is_taken_and_else_the_last() {
        let parent = tempfile::tempdir().unwrap();
        let folders = ["a", "b", "c"].map(|name| parent.path().join(name)).to_vec();
        assert_eq!(first_with_images(&folders), folders[2]);
        for (folder, name) in [(2, "train-images-idx3-ubyte"), (1, "train-images-idx3-ubyte.gz")] {
            std::fs::create_dir(&folders[folder]).unwrap();
            std::fs::write(folders[folder].join(name), "").unwrap();
            assert_eq!(first_with_images(&folders), folders[folder]);
        }
    }

    #[test]
    fn the_checkout_comes_before_debian() {
        let folders: Vec<_> = places().collect();
        let here = std::env::current_dir().unwrap().join("datasets/fashion-mnist");
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let checkout = checkout.join("datasets/fashion-mnist");
        assert_eq!(folders, [here, checkout, PathBuf::from("/usr/share/datasets/fashion-mnist")]);
    }
}
