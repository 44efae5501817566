//! The index of a set of tar shards: where each image is, and its label.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::classes::{self, CLASSES};
use super::error::{MemberFault, TarError};
use super::numbering;
use super::sample::{self, ShardImages};
use crate::cache::{Cache, IndexOrigin, Stamp};
use crate::error::DataError;
use crate::fields::{FieldReader, FieldWriter};
use crate::folder::Indexing;
use crate::names::{NameList, TooManyNames};
use crate::parallel::{self, Progress};

/// The images of a set of shards, about 40 bytes each in memory.
///
/// If the keys of all images are decimal numbers that form exactly 0 to n-1, in any order, these are the images' indices: so shards
/// that were packed from a folder in another order give the same run as the folder. Otherwise images are numbered in the order of
/// the shards and of the members in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardIndex {
    classes: usize,
    class_names: Vec<String>,
    /// Size of each shard in bytes.
    shard_lengths: Vec<u64>,
    /// Position of the first image of each shard, and at the end the number of images.
    starts: Vec<u32>,
    /// The following are by position: in the order of shards and members.
    names: NameList,
    offsets: Vec<u64>,
    lengths: Vec<u32>,
    labels: Vec<u32>,
    /// The index of the image at each position, and the position of each index; both empty if they are equal.
    numbers: Vec<u32>,
    positions: Vec<u32>,
}

/// Where an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) shard: usize,
    pub(super) offset: u64,
    pub(super) length: u32,
}

impl ShardIndex {
    /// Reads the index of the training shards from its cache, or builds and caches it.
    ///
    /// # Errors
    /// No shards; a shard that cannot be read or is damaged, or a sample that is not one image with one label.
    pub fn train(shards: &[PathBuf], indexing: &Indexing) -> Result<(Self, IndexOrigin), DataError> {
        let first =
            shards.first().ok_or(TarError::Pattern { pattern: String::new(), reason: "no shards" })?;
        let root = first.parent().unwrap_or(Path::new(""));
        let names: Vec<&Path> =
            shards.iter().map(|shard| shard.strip_prefix(root).unwrap_or(shard)).collect();
        let mut list = FieldWriter::default();
        names.iter().for_each(|name| list.bytes(name.as_os_str().as_bytes()));
        let key = blake3::hash(&list.0).to_hex();
        let cache = Cache::new(root, root, &format!("shards-{}", &key[..16]), indexing.user_cache);
        let files: Vec<&Path> = names.iter().copied().chain([Path::new(CLASSES)]).collect();
        let build = || Self::build(shards, &root.join(CLASSES), indexing.progress);
        Self::load_or_build(&cache, |_| true, (root, &files), build)
    }

    /// Returns the cached index if it `fits`, or builds one from `files` below a folder.
    pub(super) fn load_or_build(
        cache: &Cache,
        fits: impl Fn(&Self) -> bool,
        (root, files): (&Path, &[&Path]),
        build: impl Fn() -> Result<Self, DataError>,
    ) -> Result<(Self, IndexOrigin), DataError> {
        if let Some(cached) = cache.load(|bytes| Self::from_bytes(bytes).ok().filter(&fits)) {
            return Ok(cached);
        }
        // Before they are read: what changes meanwhile makes the cached index invalid.
        let stamps: Vec<_> = files.iter().map(|file| Stamp::of(root, file)).collect();
        let index = build()?;
        let origin = cache.store(&index.to_bytes(), &stamps);
        Ok((index, origin))
    }

    /// Reads the index of the validation shards from its cache, or builds and caches it. They get the classes of the training
    /// shards.
    ///
    /// # Errors
    /// Like [`train`](Self::train); classes that the training shards do not have.
    pub fn validation(
        shards: &[PathBuf],
        train: &Self,
        indexing: &Indexing,
    ) -> Result<(Self, IndexOrigin), DataError> {
        let (mut index, origin) = Self::train(shards, indexing)?;
        let differ = !index.class_names.is_empty()
            && !train.class_names.is_empty()
            && index.class_names != train.class_names;
        if differ || index.classes > train.classes {
            return Err(TarError::ClassesDiffer { train: train.classes, validation: index.classes }.into());
        }
        index.classes = train.classes;
        index.class_names.clone_from(&train.class_names);
        Ok((index, origin))
    }

    fn build(shards: &[PathBuf], class_file: &Path, progress: Progress) -> Result<Self, DataError> {
        let class_names = classes::read(class_file)?;
        let mut done = |count| progress(count, shards.len());
        let read = parallel::map(shards, |shard| sample::read(shard), &mut done);
        let mut index = Self::empty(class_names);
        for images in read {
            index.append(images?)?;
        }
        let most = index.labels.iter().copied().max();
        let most =
            most.ok_or_else(|| TarError::NoImages { shards: shards.len(), first: shards[0].clone() })?;
        index.names.shrink();
        index.number();
        if index.class_names.is_empty() {
            index.classes = most as usize + 1;
        } else if let Some(position) = index.labels.iter().position(|&l| l as usize >= index.classes) {
            return Err(index.label_without_class(shards, position).into());
        }
        Ok(index)
    }

    pub(super) fn empty(class_names: Vec<String>) -> Self {
        Self {
            classes: class_names.len(),
            class_names,
            shard_lengths: Vec::new(),
            starts: vec![0],
            names: NameList::default(),
            offsets: Vec::new(),
            lengths: Vec::new(),
            labels: Vec::new(),
            numbers: Vec::new(),
            positions: Vec::new(),
        }
    }

    pub(super) fn append(&mut self, images: ShardImages) -> Result<(), TarError> {
        self.names.append(&images.names).map_err(|TooManyNames| TarError::TooManyImages)?;
        self.shard_lengths.push(images.shard_length);
        self.offsets.extend(images.offsets);
        self.lengths.extend(images.lengths);
        self.labels.extend(images.labels);
        self.starts.push(u32::try_from(self.labels.len()).map_err(|_| TarError::TooManyImages)?);
        Ok(())
    }

    /// Numbers the images by their keys, if these are the numbers from 0.
    fn number(&mut self) {
        self.numbers = numbering::of(&self.names);
        self.positions = numbering::inverse(&self.numbers);
    }

    fn label_without_class(&self, shards: &[PathBuf], position: usize) -> TarError {
        TarError::Member {
            shard: shards[self.shard_of(position)].clone(),
            member: String::from_utf8_lossy(self.names.get(position)).into_owned(),
            fault: MemberFault::LabelWithoutClass { label: self.labels[position], classes: self.classes },
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Returns whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shard_lengths.len()
    }

    /// Size of each shard, in bytes.
    pub fn shard_lengths(&self) -> &[u64] {
        &self.shard_lengths
    }

    /// Number of classes: the lines of classes.txt, or else the largest label and one.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Names of the classes; empty without a classes.txt.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// Returns the indices of the images of a shard, in the order of its members.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn images_of(&self, shard: usize) -> impl ExactSizeIterator<Item = usize> {
        self.range(shard)
            .map(|position| self.numbers.get(position).map_or(position, |&number| number as usize))
    }

    fn range(&self, shard: usize) -> Range<usize> {
        self.starts[shard] as usize..self.starts[shard + 1] as usize
    }

    /// Returns the shard, counted from 0, of the image at a position.
    fn shard_of(&self, position: usize) -> usize {
        self.starts.partition_point(|&start| start as usize <= position) - 1
    }

    fn position(&self, index: usize) -> usize {
        self.positions.get(index).map_or(index, |&position| position as usize)
    }

    /// Returns the label of an image.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn label(&self, index: usize) -> usize {
        self.labels[self.position(index)] as usize
    }

    /// Returns the name of an image's member of its shard.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn member(&self, index: usize) -> &OsStr {
        OsStr::from_bytes(self.names.get(self.position(index)))
    }

    pub(super) fn place(&self, index: usize) -> Place {
        let position = self.position(index);
        let (offset, length) = (self.offsets[position], self.lengths[position]);
        Place { shard: self.shard_of(position), offset, length }
    }

    /// Returns the hash of the index: names, labels, classes, and where the images are (BLAKE3). It does not depend on where the
    /// shards are or when they were written.
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(&self.to_bytes()).as_bytes()
    }

    /// Returns the index in a form for other ranks.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut fields = FieldWriter::default();
        fields.u64(self.classes as u64);
        fields.strings(&self.class_names);
        fields.u64s(&self.shard_lengths);
        fields.u32s(&self.starts);
        self.names.write(&mut fields);
        fields.u64s(&self.offsets);
        fields.u32s(&self.lengths);
        fields.u32s(&self.labels);
        fields.0
    }

    /// Reads what [`to_bytes`](Self::to_bytes) returned.
    ///
    /// # Errors
    /// Bytes that are not an index, or whose images lie outside of the shards.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DataError> {
        let index = Self::read(FieldReader(bytes)).filter(Self::is_valid);
        let mut index = index.ok_or(DataError::DamagedIndex { bytes: bytes.len() })?;
        index.number();
        Ok(index)
    }

    fn read(mut fields: FieldReader) -> Option<Self> {
        let index = Self {
            classes: usize::try_from(fields.u64()?).ok()?,
            class_names: fields.strings()?,
            shard_lengths: fields.u64s()?,
            starts: fields.u32s()?,
            names: NameList::read(&mut fields)?,
            offsets: fields.u64s()?,
            lengths: fields.u32s()?,
            labels: fields.u32s()?,
            numbers: Vec::new(),
            positions: Vec::new(),
        };
        fields.end().map(|()| index)
    }

    fn is_valid(&self) -> bool {
        let images = self.labels.len();
        let is_inside = |shard: usize| {
            let ends = self.range(shard).map(|p| self.offsets[p].saturating_add(self.lengths[p].into()));
            ends.max().is_none_or(|end| end <= self.shard_lengths[shard])
        };
        [self.names.len(), self.offsets.len(), self.lengths.len()] == [images; 3]
            && self.starts.len() == self.shards() + 1
            && self.starts[0] == 0
            && self.starts.is_sorted()
            && self.starts[self.shards()] as usize == images
            && (0..self.shards()).all(is_inside)
            && self.labels.iter().all(|&label| (label as usize) < self.classes)
            && [0, self.classes].contains(&self.class_names.len())
    }
}
