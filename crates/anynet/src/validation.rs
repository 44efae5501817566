//! Validation of descriptions; errors name the key, its value and the accepted values.

use crate::block::squeeze_width;
use crate::network::{BlockKind, Network, Stage, Stem};

/// Maximum number of channels of an image or a feature map (published RegNets have fewer than 8,000).
pub const MAX_CHANNELS: i64 = 65_536;
/// Maximum number of blocks of a stage or of a generated body.
pub const MAX_DEPTH: i64 = 1_000;
/// Maximum ratio of bottleneck width to block width.
pub(crate) const MAX_RATIO: f64 = 64.0;
/// The accepted squeeze-and-excitation ratios, in words.
pub(crate) const SE_RATIO: &str = "0, or above 0 and at most 64";
/// Maximum stride of a stage.
pub const MAX_STRIDE: i64 = 64;
/// Maximum number of classes.
pub const MAX_CLASSES: i64 = 10_000_000;
/// Maximum number of images of a batch.
pub const MAX_BATCH: i64 = 1_000_000;
/// Maximum height or width of an image in pixels.
pub(crate) const MAX_IMAGE_PX: i64 = 65_536;
/// Maximum number of values of an image for a flattening stem.
const MAX_FLATTENED: i64 = 16_777_216;

/// An invalid description. Keys are relative to the description: `stages[0].width`, `wm`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NetworkError {
    /// A count that is zero, negative or absurdly large.
    #[error("{key} is {value}, must be from 1 to {max}")]
    CountOutOfRange {
        /// The key.
        key: String,
        /// Its value.
        value: i64,
        /// The largest value accepted.
        max: i64,
    },

    /// A real number outside its range.
    #[error("{key} is {value:?}, must be {expected}")]
    NumberOutOfRange {
        /// The key.
        key: String,
        /// Its value.
        value: f64,
        /// The range, in words.
        expected: &'static str,
    },

    /// A value that is incompatible with another one.
    #[error("{key} is {value}, {expected}")]
    Impossible {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// The accepted values and the reason.
        expected: String,
    },

    /// A body without stages.
    #[error("stages is empty, must hold at least one stage")]
    NoStages,

    /// A bottleneck ratio that leaves a stage's 3x3 convolution with no channels, or with too many.
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

    /// A 3x3 convolution whose channels are not a multiple of the group width.
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
        /// The largest smaller group width that fits.
        divisor: i64,
    },

    /// A generator's first width that is not a multiple of eight.
    #[error("w0 is {w0}, must be a multiple of 8 such as {}", (w0 / 8).max(1) * 8)]
    FirstWidth {
        /// The value of `w0`.
        w0: i64,
    },

    /// A generator whose widths exceed the maximum.
    #[error(
        "w0, wa, wm and bottleneck_ratio give stage {stage} more than {MAX_CHANNELS} channels, \
         must stay at or below that"
    )]
    GeneratedWidth {
        /// The stage, counted from 1.
        stage: usize,
    },

    /// A generator's bottleneck ratio that cannot be satisfied by integer widths.
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
    /// Checks that the network can be built: counts are in range, and channels are multiples of the group width.
    ///
    /// # Errors
    /// The first invalid field, stages in order.
    pub fn validate(&self) -> Result<(), NetworkError> {
        check_count("in_channels", self.in_channels, MAX_CHANNELS)?;
        self.check_stem()?;
        check_number("dropout", self.dropout, |it| (0.0..1.0).contains(&it), "at least 0 and below 1")?;
        check_count("classes", self.classes, MAX_CLASSES)?;
        if self.stages.is_empty() {
            return Err(NetworkError::NoStages);
        }
        let mut in_width = self.stem_width;
        for (index, stage) in self.stages.iter().enumerate() {
            let key = format!("stages[{index}]");
            self.block.check(&key, stage)?;
            check_stage(&key, stage)?;
            check_squeeze(&key, stage, in_width)?;
            in_width = stage.width;
        }
        Ok(())
    }

    fn check_stem(&self) -> Result<(), NetworkError> {
        let flattens = self.stem == Stem::Flatten;
        check_count("stem_width", self.stem_width, if flattens { MAX_FLATTENED } else { MAX_CHANNELS })?;
        match (flattens, self.block == BlockKind::Mlp) {
            (true, false) => {
                let blocks = "must be another stem: only mlp blocks take an image without height and width";
                Err(impossible("stem", "flatten", blocks))
            }
            (false, true) => {
                let stem = format!("{:?}", self.stem).to_lowercase();
                Err(impossible("stem", stem, "must be flatten, since mlp blocks are fully connected"))
            }
            _ => Ok(()),
        }
    }

    /// Checks the network with [`Network::validate`], and the shape of its input.
    pub(crate) fn validate_with_input(
        &self,
        batch: i64,
        height: i64,
        width: i64,
    ) -> Result<(), NetworkError> {
        self.validate()?;
        check_count("batch", batch, MAX_BATCH)?;
        check_count("image height", height, MAX_IMAGE_PX)?;
        check_count("image width", width, MAX_IMAGE_PX)?;
        let values = self.in_channels.saturating_mul(height * width);
        if self.stem == Stem::Flatten && self.stem_width != values {
            let expected = format!("must be {values}, the values of an image");
            return Err(impossible("stem_width", self.stem_width, expected));
        }
        Ok(())
    }
}

impl BlockKind {
    /// Checks that this kind of block supports the settings of `stage`.
    fn check(self, key: &str, stage: &Stage) -> Result<(), NetworkError> {
        if self == BlockKind::Resnext {
            return Ok(());
        }
        let without = |what: &str| format!("but {} blocks have no {what}: leave it out", self.name());
        let Stage { width, group_width, bottleneck_ratio, se_ratio, stride, .. } = *stage;
        if group_width != width {
            Err(impossible(format!("{key}.group_width"), group_width, without("groups")))
        } else if bottleneck_ratio != 1.0 {
            let key = format!("{key}.bottleneck_ratio");
            Err(impossible(key, format!("{bottleneck_ratio:?}"), without("bottleneck")))
        } else if se_ratio != 0.0 {
            let key = format!("{key}.se_ratio");
            Err(impossible(key, format!("{se_ratio:?}"), without("squeeze-and-excitation")))
        } else if self == BlockKind::Mlp && stride != 1 {
            Err(impossible(format!("{key}.stride"), stride, "must be 1, since mlp blocks see no pixels"))
        } else {
            Ok(())
        }
    }

    /// Returns the name in recipes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            BlockKind::Resnext => "resnext",
            BlockKind::ResnetBasic => "resnet_basic",
            BlockKind::Vanilla => "vanilla",
            BlockKind::Mlp => "mlp",
        }
    }
}

fn impossible(
    key: impl Into<String>,
    value: impl std::fmt::Display,
    expected: impl Into<String>,
) -> NetworkError {
    NetworkError::Impossible { key: key.into(), value: value.to_string(), expected: expected.into() }
}

/// Checks that squeeze-and-excitation has at least one channel between its convolutions, both in the stage's first block,
/// with `in_width` input channels, and in the others.
fn check_squeeze(key: &str, stage: &Stage, in_width: i64) -> Result<(), NetworkError> {
    let key = format!("{key}.se_ratio");
    check_number(&key, stage.se_ratio, |ratio| (0.0..=MAX_RATIO).contains(&ratio), SE_RATIO)?;
    let narrowest = if stage.depth > 1 { in_width.min(stage.width) } else { in_width };
    if stage.se_ratio > 0.0 && squeeze_width(narrowest, stage.se_ratio) < 1 {
        let expected = format!(
            "which squeezes {narrowest} channels to none: widen what enters, raise it, or set it to 0"
        );
        return Err(impossible(key, format!("{:?}", stage.se_ratio), expected));
    }
    Ok(())
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

/// Returns the largest divisor of `number` that is at most `limit`; both are at least 1.
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
