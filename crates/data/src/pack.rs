//! Packs image files into tar shards, as stored or resized once.

use std::fs;
use std::path::{Path, PathBuf};

use regatta_image::{Decoder, Filter, Format, JpegMode, Resizer, encode_jpeg};
use serde::{Deserialize, Serialize};

use crate::cache::write_atomically;
use crate::error::DataError;
use crate::parallel;
use crate::random::Purpose;
use crate::source::Source;
use crate::tar::{ShardWriter, write_classes};
use crate::transform::Evaluation;

/// Number of images that are prepared before they are written.
const CHUNK: usize = 256;

/// How images are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackSettings {
    /// Largest shard, in bytes.
    pub shard_bytes: u64,
    /// Seed of the order of images in the shards.
    pub seed: u64,
    /// How larger images are resized; none means that every file is packed byte for byte.
    pub resize: Option<Shrink>,
}

/// The size and quality of images that are resized once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shrink {
    /// Length of the shorter side in pixels; images whose shorter side is not longer stay as they are.
    pub short_side_px: u32,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
}

/// What a folder of shards was packed with, in a file beside them.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Packed {
    images: usize,
    /// Hash of the names of the images and of their classes, in hexadecimal.
    names: String,
    #[serde(flatten)]
    settings: PackSettings,
}

/// Packs all images of `source`, in an order permuted by the seed, into shards `STEM-000000.tar` and so on in `folder`, and
/// returns the shards. Keys are the images' numbers in `source`, by which the images of such shards are numbered. What an
/// earlier call with the same settings has completed is kept; a shard is complete or absent. `progress` is called with the
/// numbers of finished and of all images.
///
/// # Errors
/// An image that cannot be read, or decoded if it is to be resized; a folder that cannot be written, or that holds shards of
/// another source or with other settings.
pub fn pack(
    source: &dyn Source,
    folder: &Path,
    stem: &str,
    settings: &PackSettings,
    progress: parallel::Progress,
) -> Result<Vec<PathBuf>, DataError> {
    let mut order: Vec<u32> = (0..source.len() as u32).collect();
    Purpose::PackOrder.stream(&[settings.seed]).shuffle(&mut order);
    let (mut writer, written) = ShardWriter::resume(folder, stem, settings.shard_bytes)?;
    if !order.starts_with(&written) {
        return Err(DataError::OtherPack { folder: folder.to_owned(), stem: stem.to_owned() });
    }
    claim(folder, stem, &Packed { images: source.len(), names: hash_of_names(source), settings: *settings })?;
    let mut done = written.len();
    for numbers in order[written.len()..].chunks(CHUNK) {
        let prepare = |&number: &u32| prepared(source, number, settings.resize);
        for (image, number) in parallel::map(numbers, prepare, &mut |_| ()).into_iter().zip(numbers) {
            let Prepared { format, bytes, label } = image?;
            writer.append(*number, extension(format), &bytes, label)?;
        }
        done += numbers.len();
        progress(done, order.len());
    }
    if let Some(names) = source.class_names() {
        write_classes(folder, names)?;
    }
    writer.finish()
}

fn hash_of_names(source: &dyn Source) -> String {
    let mut hasher = blake3::Hasher::new();
    let class_names = source.class_names().unwrap_or_default().to_vec();
    for name in (0..source.len()).map(|index| source.name(index)).chain(class_names) {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Notes the settings beside the shards, or checks that they are those of an earlier call.
fn claim(folder: &Path, stem: &str, packed: &Packed) -> Result<(), DataError> {
    let path = folder.join(format!("{stem}.pack.json"));
    let other = || DataError::OtherPack { folder: folder.to_owned(), stem: stem.to_owned() };
    match fs::read(&path) {
        Ok(text) => match serde_json::from_slice::<Packed>(&text) {
            Ok(before) if before == *packed => Ok(()),
            _ => Err(other()),
        },
        Err(_) => {
            let failed = |source| DataError::Write { path: path.clone(), source };
            fs::create_dir_all(folder).map_err(failed)?;
            let text = serde_json::to_vec_pretty(packed).expect("numbers have a JSON form");
            write_atomically(&path, &[&text]).map_err(failed)
        }
    }
}

/// An image as it is packed.
struct Prepared {
    format: Format,
    bytes: Vec<u8>,
    label: u32,
}

fn prepared(source: &dyn Source, number: u32, resize: Option<Shrink>) -> Result<Prepared, DataError> {
    let mut bytes = Vec::new();
    let label = source.fetch(number as usize, &mut bytes)? as u32;
    let named = |error| DataError::Unpackable { name: source.name(number as usize), source: error };
    let mut decoder = Decoder::new();
    let header = decoder.header(&bytes).map_err(named)?;
    let Some(Shrink { short_side_px, quality }) = resize else {
        return Ok(Prepared { format: header.format, bytes, label });
    };
    if header.size.width.min(header.size.height) <= short_side_px {
        return Ok(Prepared { format: header.format, bytes, label });
    }
    let mut pixels = Vec::new();
    let size = decoder.decode(&bytes, None, JpegMode::Exact, None, &mut pixels).map_err(named)?;
    let smaller = Evaluation { resize_px: short_side_px, crop_px: short_side_px }.resized(size);
    let mut resized = vec![0; 3 * smaller.width as usize * smaller.height as usize];
    Resizer::new().resize(&pixels, size, Filter::Bicubic, true, &mut resized, smaller);
    let bytes = encode_jpeg(&resized, smaller, quality).map_err(named)?;
    Ok(Prepared { format: Format::Jpeg, bytes, label })
}

fn extension(format: Format) -> &'static str {
    match format {
        Format::Jpeg => "jpg",
        Format::Png => "png",
        Format::WebP => "webp",
    }
}
