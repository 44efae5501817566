//! What makes a description impossible, said with the key, its value and what would be right.

use crate::network::{Network, Stage};

/// Most channels of an image or a feature map (published RegNets stay below 8,000).
pub(crate) const MAX_CHANNELS: i64 = 65_536;
/// Most blocks of a stage or of a generated body.
pub(crate) const MAX_DEPTH: i64 = 1_000;
/// Most channels inside a block for each that leaves it.
pub(crate) const MAX_RATIO: f64 = 64.0;
const MAX_STRIDE: i64 = 64;
const MAX_CLASSES: i64 = 10_000_000;
const MAX_BATCH: i64 = 1_000_000;
const MAX_IMAGE_PX: i64 = 65_536;

/// Why a description is refused. Keys are relative to the description: `stages[0].width`, `wm`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NetworkError {
    /// A count that is zero, negative or absurdly large.
    #[error("{key} is {value}, must be from 1 to {max}")]
    CountOutOfRange {
        /// The field.
        key: String,
        /// What it holds.
        value: i64,
        /// The largest value accepted.
        max: i64,
    },

    /// A real number outside its range.
    #[error("{key} is {value:?}, must be {expected}")]
    NumberOutOfRange {
        /// The field.
        key: String,
        /// What it holds.
        value: f64,
        /// The range, in words.
        expected: &'static str,
    },

    /// A body without stages.
    #[error("stages is empty, must hold at least one stage")]
    NoStages,

    /// A stage whose 3x3 convolution would have no channels, or too many.
    #[error(
        "{stage}.bottleneck_ratio is {ratio:?}, which makes {bottleneck_width} channels of width {width}, \
         must make from 1 to {MAX_CHANNELS}"
    )]
    BottleneckWidth {
        /// The stage, as a key.
        stage: String,
        /// Its bottleneck ratio.
        ratio: f64,
        /// Its width.
        width: i64,
        /// Channels of the 3x3 convolution.
        bottleneck_width: i64,
    },

    /// A 3x3 convolution whose channels do not fall into whole groups.
    #[error(
        "{stage}.group_width is {group_width}, which does not divide the {bottleneck_width} channels of the \
         3x3 convolution (width {width} x bottleneck_ratio {ratio:?}); the nearest smaller divisor is {divisor}"
    )]
    GroupWidth {
        /// The stage, as a key.
        stage: String,
        /// Its group width.
        group_width: i64,
        /// Its width.
        width: i64,
        /// Its bottleneck ratio.
        ratio: f64,
        /// Channels of the 3x3 convolution.
        bottleneck_width: i64,
        /// The largest group width below that fits.
        divisor: i64,
    },

    /// A generator's first width that is no multiple of eight.
    #[error("w0 is {w0}, must be a multiple of 8 such as {}", (w0 / 8).max(1) * 8)]
    FirstWidth {
        /// What `w0` holds.
        w0: i64,
    },

    /// A generator that grows beyond every reasonable width.
    #[error(
        "w0, wa, wm and bottleneck_ratio give stage {stage} more than {MAX_CHANNELS} channels, \
         must stay at or below that"
    )]
    GeneratedWidth {
        /// The stage, counted from 1.
        stage: usize,
    },

    /// A generator's bottleneck ratio that no whole width satisfies.
    #[error(
        "bottleneck_ratio is {ratio:?}, which fits no width of stage {stage} ({width} channels leave \
         {bottleneck_width} in its 3x3 convolution, not a multiple of group width {group_width}); \
         0.25, 0.5 and whole numbers fit"
    )]
    GeneratedBottleneck {
        /// The bottleneck ratio.
        ratio: f64,
        /// The stage, counted from 1.
        stage: usize,
        /// Its adjusted width.
        width: i64,
        /// Channels of the 3x3 convolution.
        bottleneck_width: i64,
        /// Its adjusted group width.
        group_width: i64,
    },
}

impl Network {
    /// Checks that the network can be built: every count in range, channels in whole groups.
    ///
    /// # Errors
    /// The first impossible field, stages in order.
    pub fn validate(&self) -> Result<(), NetworkError> {
        check_count("in_channels", self.in_channels, MAX_CHANNELS)?;
        check_count("stem_width", self.stem_width, MAX_CHANNELS)?;
        check_count("classes", self.classes, MAX_CLASSES)?;
        if self.stages.is_empty() {
            return Err(NetworkError::NoStages);
        }
        for (index, stage) in self.stages.iter().enumerate() {
            check_stage(&format!("stages[{index}]"), stage)?;
        }
        Ok(())
    }

    /// [`Network::validate`], and that there is a batch of images to look at.
    pub(crate) fn validate_with_input(
        &self,
        batch: i64,
        height: i64,
        width: i64,
    ) -> Result<(), NetworkError> {
        self.validate()?;
        check_count("batch", batch, MAX_BATCH)?;
        check_count("image height", height, MAX_IMAGE_PX)?;
        check_count("image width", width, MAX_IMAGE_PX)
    }
}

fn check_stage(key: &str, stage: &Stage) -> Result<(), NetworkError> {
    check_count(&format!("{key}.depth"), stage.depth, MAX_DEPTH)?;
    check_count(&format!("{key}.width"), stage.width, MAX_CHANNELS)?;
    check_count(&format!("{key}.stride"), stage.stride, MAX_STRIDE)?;
    check_count(&format!("{key}.group_width"), stage.group_width, MAX_CHANNELS)?;
    check_number(
        &format!("{key}.bottleneck_ratio"),
        stage.bottleneck_ratio,
        |ratio| ratio > 0.0 && ratio <= MAX_RATIO,
        "above 0 and at most 64",
    )?;

    let Stage { width, group_width, bottleneck_ratio: ratio, .. } = *stage;
    let bottleneck_width = stage.bottleneck_width();
    let stage = key.to_owned();
    if !(1..=MAX_CHANNELS).contains(&bottleneck_width) {
        return Err(NetworkError::BottleneckWidth { stage, ratio, width, bottleneck_width });
    }
    if bottleneck_width % group_width != 0 {
        let divisor = largest_divisor(bottleneck_width, group_width);
        return Err(NetworkError::GroupWidth { stage, group_width, width, ratio, bottleneck_width, divisor });
    }
    Ok(())
}

/// The largest divisor of `number` that is at most `limit`; both at least 1.
fn largest_divisor(number: i64, limit: i64) -> i64 {
    (1..=number.min(limit)).rev().find(|divisor| number % divisor == 0).unwrap_or(1)
}

pub(crate) fn check_count(key: &str, value: i64, max: i64) -> Result<(), NetworkError> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(NetworkError::CountOutOfRange { key: key.to_owned(), value, max })
}

pub(crate) fn check_number(
    key: &str,
    value: f64,
    is_in_range: impl Fn(f64) -> bool,
    expected: &'static str,
) -> Result<(), NetworkError> {
    if value.is_finite() && is_in_range(value) {
        return Ok(());
    }
    Err(NetworkError::NumberOutOfRange { key: key.to_owned(), value, expected })
}
