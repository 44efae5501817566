//! `trainer data show`: the images that the network is given, as a PNG file.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use regatta_data::{
    ChannelOrder, DeviceDraw, ErasedValue, ImageShape, Images, Scratch, encode_png, noise_table,
};
use regatta_run_folder::{ExitCode, check_output, print_output, write_output};
use regatta_settings::{Recipe, RecipeArgs};

use super::{SplitName, open};
use crate::failure::Usage;
use crate::input;
use crate::sheet::sheet;

/// Largest number of images on a sheet.
const MOST: usize = 4096;
/// Largest number of pixels of the images on a sheet. They take three bytes each, twice.
const MOST_PIXELS: usize = 1 << 28;

/// `trainer data show`.
#[derive(Debug, Args)]
pub(super) struct ShowCommand {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// The split to show
    #[arg(long, value_enum, default_value = "train")]
    split: SplitName,
    /// The epoch, counted from 1, whose augmentation and size are shown
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    epoch: u64,
    /// Numbers of the images, counted from 0; a single one is written pixel by pixel
    #[arg(long, value_delimiter = ',', conflicts_with = "count")]
    indices: Option<Vec<usize>>,
    /// Shows this many images, evenly spaced over the split
    #[arg(long, default_value_t = 64)]
    count: usize,
    /// The PNG file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replaces an existing file
    #[arg(long)]
    force: bool,
}

/// Writes the sheet, or a single image.
pub(super) fn run(command: &ShowCommand) -> Result<ExitCode> {
    check_output(&command.out, command.force)?;
    let (recipe, source) = open(&command.recipe, command.split)?;
    let training_px = recipe.data.resolution_px_in(command.epoch - 1);
    let images = input::images_of_size(&recipe, source.clone(), command.split.split(), training_px);
    let (shape, indices) = (images.shape(), chosen(command, source.len())?);
    let fitting = MOST_PIXELS / (shape.height * shape.width);
    if indices.len() > fitting {
        bail!(Usage(format!(
            "{} images of {}x{} pixels make too large a sheet: show at most {fitting}, by --count or --indices",
            indices.len(),
            shape.width,
            shape.height
        )));
    }
    let tiles = indices.iter().map(|&index| shown_image(&images, &recipe, (command.epoch - 1, index)));
    let tiles = tiles.collect::<Result<Vec<_>>>()?;
    let (size, rgb) = sheet(shape, &tiles);
    write_output(&command.out, command.force, encode_png(&rgb, size)?)?;
    for (place, index) in indices.iter().enumerate() {
        print_output(format_args!("{place} {}", source.name(*index)))?;
    }
    Ok(ExitCode::Done)
}

fn chosen(command: &ShowCommand, len: usize) -> Result<Vec<usize>> {
    let indices = match &command.indices {
        Some(indices) => indices.clone(),
        None => {
            let count = command.count.min(len);
            (0..count).map(|place| place * len / count).collect()
        }
    };
    if let Some(index) = indices.iter().find(|&&index| index >= len) {
        bail!(Usage(format!("--indices {index}: the split has the images 0 to {}", len - 1)));
    }
    if indices.is_empty() || indices.len() > MOST {
        bail!(Usage(format!("{} images were asked for: show takes 1 to {MOST}", indices.len())));
    }
    Ok(indices)
}

/// Returns an image in RGB as the network is given it, with what the device does before and after normalisation; `key` is its epoch,
/// counted from 0, and its number.
pub(crate) fn shown_image(images: &Images, recipe: &Recipe, key: (u64, usize)) -> Result<Vec<u8>> {
    let shape = images.shape();
    let mut pixels_hwc = vec![0; shape.bytes()];
    let read = images.read(key, &mut Scratch::default(), &mut pixels_hwc)?;
    finish(&mut pixels_hwc, shape, recipe, &read.draw);
    if shape.channels != 3 {
        return Ok(pixels_hwc.chunks_exact(shape.channels).flat_map(|pixel| [pixel[0]; 3]).collect());
    }
    if recipe.data.channel_order == ChannelOrder::Bgr {
        pixels_hwc.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2));
    }
    Ok(pixels_hwc)
}

/// Applies what the device does together with the normalisation, rounded to bytes.
fn finish(pixels_hwc: &mut [u8], shape: ImageShape, recipe: &Recipe, draw: &DeviceDraw) {
    let (channels, pixels) = (shape.channels, shape.height * shape.width);
    if draw.lighting != [0.0; 3] {
        for (place, value) in pixels_hwc.iter_mut().enumerate() {
            *value = byte(f64::from(*value) / 255.0 + f64::from(draw.lighting[place % channels]));
        }
    }
    let erased = draw.erased;
    if erased.width == 0 {
        return;
    }
    let noise = (recipe.augment.random_erasing_value == ErasedValue::Noise).then(noise_table);
    for y in erased.top..erased.top + erased.height {
        for x in erased.left..erased.left + erased.width {
            let pixel = y as usize * shape.width + x as usize;
            for channel in 0..channels {
                let value = noise.as_ref().map_or(0.0, |table| {
                    f64::from(table[(draw.noise_offset as usize + channel * pixels + pixel) % table.len()])
                });
                let (mean, std) = (recipe.data.mean[channel], recipe.data.std[channel]);
                pixels_hwc[pixel * channels + channel] = byte(value * std + mean);
            }
        }
    }
}

/// Converts a value on the scale 0 to 1 to a byte.
fn byte(value: f64) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
}
