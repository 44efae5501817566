//! ILSVRC's own archives, to be packed without unpacking them: one of archives by class, and one of images with a label file.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::error::{MemberFault, ShardFault, TarError};
use super::index::ShardIndex;
use super::sample::ShardImages;
use super::scan::{Member, Scan};
use crate::cache::{Cache, IndexOrigin};
use crate::error::DataError;
use crate::folder::{Indexing, MOST_IMAGE_BYTES, is_image, labels};
use crate::names::TooManyNames;
use crate::parallel;

/// Images are numbered as in an image folder that the archives were unpacked to: by class, then by name.
impl ShardIndex {
    /// Reads or builds the index of an archive of one archive CLASS.tar for each class, such as ILSVRC2012_img_train.tar.
    ///
    /// # Errors
    /// An archive that cannot be read, is damaged, or has no image.
    pub fn archive_of_classes(archive: &Path, indexing: &Indexing) -> Result<(Self, IndexOrigin), DataError> {
        let (root, name, cache) = cache_of(archive, None, indexing);
        Self::load_or_build(&cache, |_| true, (root, &[name]), || read_classes(archive, indexing))
    }

    /// Reads or builds the index of an archive of all validation images, such as ILSVRC2012_img_val.tar. `label_file` is as
    /// for `data.val_labels`, and `train` has the classes.
    ///
    /// # Errors
    /// Like [`archive_of_classes`](Self::archive_of_classes); an unusable label file.
    pub fn archive_with_labels(
        archive: &Path,
        label_file: &Path,
        train: &Self,
        indexing: &Indexing,
    ) -> Result<(Self, IndexOrigin), DataError> {
        let failed = |source| DataError::Read { path: label_file.to_owned(), source };
        let label_file = std::path::absolute(label_file).map_err(failed)?;
        let (root, name, cache) = cache_of(archive, Some(&label_file), indexing);
        let fits = |index: &Self| index.class_names() == train.class_names();
        let build = || {
            let mut scan = Scan::open(archive)?;
            let mut images = images_of(&mut scan, "")?;
            images.labels = labels::read(&label_file, &images.names, train.class_names())?;
            Self::of_archive(archive, images, train.class_names().to_vec())
        };
        Self::load_or_build(&cache, fits, (root, &[name, &label_file]), build)
    }

    fn of_archive(archive: &Path, images: ShardImages, class_names: Vec<String>) -> Result<Self, DataError> {
        if images.labels.is_empty() {
            return Err(TarError::NoImages { shards: 1, first: archive.to_owned() }.into());
        }
        let mut index = Self::empty(class_names);
        index.append(images)?;
        Ok(index)
    }
}

/// Returns the archive's folder, its name, and the cache of its index.
fn cache_of<'a>(
    archive: &'a Path,
    label_file: Option<&Path>,
    indexing: &Indexing,
) -> (&'a Path, &'a Path, Cache) {
    let root = archive.parent().unwrap_or(Path::new(""));
    let name = Path::new(archive.file_name().unwrap_or_default());
    let label_file = label_file.map_or(&b""[..], |file| file.as_os_str().as_bytes());
    let key = blake3::hash(&[name.as_os_str().as_bytes(), b"\n", label_file].concat()).to_hex();
    let cache = Cache::new(root, root, &format!("archive-{}", &key[..16]), indexing.user_cache);
    (root, name, cache)
}

fn read_classes(archive: &Path, indexing: &Indexing) -> Result<ShardIndex, DataError> {
    let mut scan = Scan::open(archive)?;
    let mut archives = Vec::new();
    while let Some(member) = scan.next()? {
        let class = member.name.strip_suffix(b".tar").and_then(|class| str::from_utf8(class).ok());
        if let Some(class) = class.filter(|class| !class.contains('/')) {
            archives.push((class.to_owned(), member));
        }
    }
    if archives.is_empty() {
        return Err(TarError::Shard { shard: archive.to_owned(), fault: ShardFault::NoClasses }.into());
    }
    archives.sort_by(|one, other| one.0.cmp(&other.0));
    if let Some(pair) = archives.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(scan.member_error(&pair[1].1.name, MemberFault::Duplicate));
    }
    let mut done = |count| (indexing.progress)(count, archives.len());
    let read =
        |(class, member): &(String, Member)| images_of(&mut scan.within(member)?, &format!("{class}/"));
    let mut all = ShardImages { shard_length: scan.length(), ..ShardImages::default() };
    for (label, images) in parallel::map(&archives, read, &mut done).into_iter().enumerate() {
        let images = images?;
        all.names.append(&images.names).map_err(|TooManyNames| TarError::TooManyImages)?;
        all.offsets.extend(images.offsets);
        all.lengths.extend(images.lengths);
        all.labels.resize(all.names.len(), label as u32);
    }
    let classes = archives.into_iter().map(|(class, _)| class).collect();
    ShardIndex::of_archive(archive, all, classes)
}

/// Returns the images of an archive in the order of their names, without labels.
fn images_of(scan: &mut Scan, prefix: &str) -> Result<ShardImages, DataError> {
    let mut members = Vec::new();
    while let Some(member) = scan.next()? {
        if !is_image(&member.name) {
            continue;
        }
        if member.length > MOST_IMAGE_BYTES {
            let fault = MemberFault::TooLarge { bytes: member.length, most: MOST_IMAGE_BYTES };
            return Err(scan.member_error(&member.name, fault));
        }
        members.push(member);
    }
    members.sort_by(|one, other| one.name.cmp(&other.name));
    if let Some(pair) = members.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(scan.member_error(&pair[1].name, MemberFault::Duplicate));
    }
    let mut images = ShardImages { shard_length: scan.length(), ..ShardImages::default() };
    for Member { name, offset, length } in members {
        let name = [prefix.as_bytes(), &name].concat();
        images.names.push(&name).map_err(|TooManyNames| TarError::TooManyImages)?;
        images.offsets.push(offset);
        images.lengths.push(length as u32);
    }
    Ok(images)
}
