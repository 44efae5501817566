//! The search for a data set's files when a recipe does not set `data.folder`.

use std::path::{Path, PathBuf};

use regatta_data::DatasetName;

use crate::recipe::{DataSource, Recipe};

/// Returns the first folder that contains the files: that of the run that is resumed, or one of the usual folders. If none
/// contains them, returns the last candidate, or `None` if there are no candidates.
pub(crate) fn of(dataset: DatasetName, kept: Option<&Recipe>) -> Option<PathBuf> {
    let kept = kept.and_then(|recipe| match &recipe.data.source {
        DataSource::Files { dataset: kept, folder } if *kept == dataset => Some(folder.clone()),
        _ => None,
    });
    first_with_files(dataset, &kept.into_iter().chain(places(dataset)).collect::<Vec<_>>())
}

/// Returns the usual folders. Relative ones, into which `make` downloads, are resolved against the working folder and against
/// the checkout that this program was built in.
fn places(dataset: DatasetName) -> impl Iterator<Item = PathBuf> {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_owned);
    let checkouts: Vec<_> = [std::env::current_dir().ok(), built_in].into_iter().flatten().collect();
    dataset.facts().folders.iter().flat_map(move |folder| match Path::new(folder).is_relative() {
        true => checkouts.iter().map(|checkout| checkout.join(folder)).collect(),
        false => vec![PathBuf::from(folder)],
    })
}

fn first_with_files(dataset: DatasetName, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().find(|folder| dataset.facts().is_in(folder)).or(folders.last()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_with_files_is_taken_and_else_the_last() {
        let parent = tempfile::tempdir().unwrap();
        let folders = ["a", "b", "c"].map(|name| parent.path().join(name)).to_vec();
        let found = || first_with_files(DatasetName::FashionMnist, &folders).unwrap();
        assert_eq!(found(), folders[2]);
        for (folder, name) in [(2, "train-images-idx3-ubyte"), (1, "train-images-idx3-ubyte.gz")] {
            std::fs::create_dir(&folders[folder]).unwrap();
            std::fs::write(folders[folder].join(name), "").unwrap();
            assert_eq!(found(), folders[folder]);
        }
    }

    #[test]
    fn the_checkout_comes_before_debian() {
        let folders: Vec<_> = places(DatasetName::FashionMnist).collect();
        let here = std::env::current_dir().unwrap().join("datasets/fashion-mnist");
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let checkout = checkout.join("datasets/fashion-mnist");
        assert_eq!(folders, [here, checkout, PathBuf::from("/usr/share/datasets/fashion-mnist")]);
    }
}
