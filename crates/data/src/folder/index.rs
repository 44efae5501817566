//! The index of an image folder's split: the names and labels of its images, in the order of torchvision's `ImageFolder`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::FolderError;
use super::walk::{Kind, Skipped, walk};
use super::{labels, split_folder};
use crate::cache::{Cache, IndexOrigin, Stamp};
use crate::error::DataError;
use crate::fields::{FieldReader, FieldWriter};
use crate::names::{NameList, TooManyNames};
use crate::parallel::{self, Progress};
use crate::source::Split;

/// How an index is cached and built.
#[derive(Clone, Copy)]
pub struct Indexing<'a> {
    /// The folder for cached indices of data that lie in a folder which cannot be written to; see
    /// [`user_cache_folder`](crate::user_cache_folder).
    pub user_cache: Option<&'a Path>,
    /// Shows how far building has come, in class folders or shards. Not called for a cached index.
    pub progress: Progress<'a>,
}

/// The images of one split of an image folder, about 30 bytes each in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderIndex {
    classes: Vec<String>,
    /// Whether an image lies in the folder of its class; else in that of the split.
    by_class: bool,
    /// Paths below the folder of the class or of the split.
    names: NameList,
    labels: Vec<u32>,
    skipped: Skipped,
}

impl FolderIndex {
    /// Reads the index of the training images in `folder/train` from its cache, or builds and caches it.
    ///
    /// # Errors
    /// A folder that cannot be read, or a class without an image.
    pub fn train(folder: &Path, indexing: &Indexing) -> Result<(Self, IndexOrigin), DataError> {
        let cache = Cache::new(&split_folder(folder, Split::Train), folder, "train", indexing.user_cache);
        let build = || Self::of_class_folders(&split_folder(folder, Split::Train), indexing.progress);
        Self::load_or_build(&cache, |index| index.by_class, build)
    }

    /// Reads the index of the validation images in `folder/val` from its cache, or builds and caches it. With `labels`, the
    /// label file, all images lie in that one folder; its format is that of `data.val_labels`.
    ///
    /// # Errors
    /// Like [`train`](Self::train); other classes than those of the training images; an unusable label file.
    pub fn validation(
        folder: &Path,
        labels: Option<&Path>,
        train: &Self,
        indexing: &Indexing,
    ) -> Result<(Self, IndexOrigin), DataError> {
        let val = split_folder(folder, Split::Validation);
        let (index, origin) = match labels {
            None => {
                let cache = Cache::new(&val, folder, "val", indexing.user_cache);
                let build = || Self::of_class_folders(&val, indexing.progress);
                Self::load_or_build(&cache, |index| index.by_class, build)?
            }
            Some(labels) => {
                let failed = |source| DataError::Read { path: labels.to_owned(), source };
                let labels = std::path::absolute(labels).map_err(failed)?;
                let key = blake3::hash(labels.as_os_str().as_bytes()).to_hex();
                let cache = Cache::new(&val, folder, &format!("val-{}", &key[..8]), indexing.user_cache);
                let fits = |index: &Self| !index.by_class && index.classes == train.classes;
                Self::load_or_build(&cache, fits, || Self::of_labelled_folder(&val, &labels, train))?
            }
        };
        index.check_classes(train, val)?;
        Ok((index, origin))
    }

    fn load_or_build(
        cache: &Cache,
        fits: impl Fn(&Self) -> bool,
        build: impl Fn() -> Result<(Self, Vec<Stamp>), DataError>,
    ) -> Result<(Self, IndexOrigin), DataError> {
        let parse = |bytes: &[u8]| Self::from_bytes(bytes).ok().filter(&fits);
        if let Some(cached) = cache.load(parse) {
            return Ok(cached);
        }
        let (index, stamps) = build()?;
        let origin = cache.store(&index.to_bytes(), &stamps);
        Ok((index, origin))
    }

    /// Builds the index of class folders.
    fn of_class_folders(folder: &Path, progress: Progress) -> Result<(Self, Vec<Stamp>), DataError> {
        let mut stamps = vec![Stamp::of(folder, Path::new(""))];
        let classes = class_folders(folder)?;
        let mut done = |count| progress(count, classes.len());
        let walked = parallel::map(&classes, |class| walk(folder, class.as_ref()), &mut done);
        let mut index = Self::empty(classes, true);
        let mut empty = Vec::new();
        for (label, walked) in walked.into_iter().enumerate() {
            let walked = walked?;
            if walked.names.len() == 0 {
                empty.push(index.classes[label].clone());
            }
            let too_many = |TooManyNames| FolderError::TooManyNames { folder: folder.to_owned() };
            index.names.append(&walked.names).map_err(too_many)?;
            index.labels.resize(index.names.len(), label as u32);
            index.skipped.add(&walked.skipped);
            stamps.extend(walked.stamps);
        }
        if !empty.is_empty() {
            let (folder, skipped) = (folder.to_owned(), index.skipped);
            return Err(FolderError::EmptyClasses { folder, classes: empty, skipped }.into());
        }
        index.names.shrink();
        Ok((index, stamps))
    }

    /// Builds the index of images in one folder with a label file.
    fn of_labelled_folder(
        folder: &Path,
        label_file: &Path,
        train: &Self,
    ) -> Result<(Self, Vec<Stamp>), DataError> {
        if !folder.is_dir() {
            return Err(FolderError::SplitMissing { folder: folder.to_owned() }.into());
        }
        let label_stamp = Stamp::of(folder, label_file);
        let walked = walk(folder, Path::new(""))?;
        if walked.names.len() == 0 {
            let (folder, skipped) = (folder.to_owned(), walked.skipped);
            return Err(FolderError::NoImages { folder, skipped }.into());
        }
        let mut index = Self::empty(train.classes.clone(), false);
        index.labels = labels::read(label_file, &walked.names, &index.classes)?;
        (index.names, index.skipped) = (walked.names, walked.skipped);
        let mut stamps = walked.stamps;
        stamps.push(label_stamp);
        Ok((index, stamps))
    }

    fn empty(classes: Vec<String>, by_class: bool) -> Self {
        let (names, labels, skipped) = (NameList::default(), Vec::new(), Skipped::default());
        Self { classes, by_class, names, labels, skipped }
    }

    fn check_classes(&self, train: &Self, validation: PathBuf) -> Result<(), FolderError> {
        if self.classes == train.classes {
            return Ok(());
        }
        let without = |these: &Self, those: &Self| {
            let missing = these.classes.iter().filter(|class| those.classes.binary_search(class).is_err());
            missing.cloned().collect()
        };
        let (only_train, only_validation) = (without(train, self), without(self, train));
        Err(FolderError::ClassesDiffer { validation, only_train, only_validation })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Returns whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Names of the classes, which are those of their folders, in the order of their labels.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Files that torchvision would take and that were left out, since their formats are not read.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// Returns the label of an image.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn label(&self, index: usize) -> usize {
        self.labels[index] as usize
    }

    /// Returns the path of an image below the folder of the split.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn path(&self, index: usize) -> PathBuf {
        let class = if self.by_class { self.classes[self.label(index)].as_str() } else { "" };
        Path::new(class).join(std::ffi::OsStr::from_bytes(self.names.get(index)))
    }

    /// Returns the hash of the images' names and labels in their order, and of the names of the classes (BLAKE3). It does not
    /// depend on where the folder is or when it was written.
    pub fn hash(&self) -> [u8; 32] {
        let mut fields = FieldWriter(b"image folder".to_vec());
        self.write_content(&mut fields);
        *blake3::hash(&fields.0).as_bytes()
    }

    fn write_content(&self, fields: &mut FieldWriter) {
        fields.u64(self.by_class.into());
        fields.strings(&self.classes);
        self.names.write(fields);
        fields.u32s(&self.labels);
    }

    /// Returns the index in a form for other ranks.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut fields = FieldWriter::default();
        self.write_content(&mut fields);
        fields.u64(self.skipped.files);
        fields.strings(std::slice::from_ref(&self.skipped.example));
        fields.0
    }

    /// Reads what [`to_bytes`](Self::to_bytes) returned.
    ///
    /// # Errors
    /// Bytes that are not an index, or whose names leave the folder of the split.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DataError> {
        let fields = FieldReader(bytes);
        Self::read(fields).filter(Self::is_valid).ok_or(DataError::DamagedIndex { bytes: bytes.len() })
    }

    fn read(mut fields: FieldReader) -> Option<Self> {
        let by_class = fields.u64()? == 1;
        let (classes, names, labels) = (fields.strings()?, NameList::read(&mut fields)?, fields.u32s()?);
        let files = fields.u64()?;
        let [example] = fields.strings()?.try_into().ok()?;
        fields.end()?;
        Some(Self { classes, by_class, names, labels, skipped: Skipped { files, example } })
    }

    fn is_valid(&self) -> bool {
        self.names.len() == self.labels.len()
            && self.labels.iter().all(|&label| (label as usize) < self.classes.len())
            && self.classes.iter().all(|class| !class.contains('/') && is_below(class.as_bytes()))
            && self.names.iter().all(is_below)
    }
}

/// Returns whether a path stays below the folder that it is relative to.
fn is_below(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

/// Returns the names of the folders in `folder`, sorted.
fn class_folders(folder: &Path) -> Result<Vec<String>, DataError> {
    if !folder.is_dir() {
        return Err(FolderError::SplitMissing { folder: folder.to_owned() }.into());
    }
    let failed = |source| DataError::Read { path: folder.to_owned(), source };
    let mut classes = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if Kind::of(&entry) == Kind::Folder {
            let class = entry.file_name().into_string();
            classes.push(class.map_err(|_| FolderError::NotUtf8 { folder: entry.path() })?);
        }
    }
    if classes.is_empty() {
        return Err(FolderError::NoClasses { folder: folder.to_owned() }.into());
    }
    classes.sort();
    Ok(classes)
}
