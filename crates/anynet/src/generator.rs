//! The RegNet rule, which derives the widths and depths of a body's stages from five numbers.

use serde::{Deserialize, Serialize};

use crate::network::Stage;
use crate::validation::{
    MAX_CHANNELS, MAX_DEPTH, MAX_RATIO, NetworkError, SE_RATIO, check_count, check_number,
};
use schemars::JsonSchema;

/// Widths are quantised to multiples of this many channels.
const QUANTUM: f64 = 8.0;
/// Every stage of a RegNet halves the resolution.
const STAGE_STRIDE: i64 = 2;

/// The quantised linear parameterisation of block widths (Radosavovic et al. 2020, section 3.3).
///
/// Block j gets width `w0 + wa * j`, quantised to `w0 * wm^k` and then to a multiple of 8; blocks of equal width are
/// a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Number of blocks in the body.
    pub depth: i64,
    /// Width of the first block in channels, a multiple of 8.
    pub w0: i64,
    /// Slope: channels added per block, at least 0.
    pub wa: f64,
    /// Ratio of the widths of neighbouring stages, above 1.
    pub wm: f64,
    /// Channels per group of the 3x3 convolutions; narrower stages have a single group.
    pub group_width: i64,
    /// Ratio of bottleneck width to block width: at most 1, or an integer.
    pub bottleneck_ratio: f64,
    /// Ratio of squeeze-and-excitation width to a block's input channels, 0.25 in RegNetY; 0 if there is no
    /// squeeze-and-excitation.
    pub se_ratio: f64,
}

/// The rule that rounds a stage's width to a multiple of its group width. The rules give different networks: the last stage
/// of RegNetX-400MF has 384 channels with the first and 400 with the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest multiple, ties to even: the paper's networks (pycls, `adjust_block_compatibility`).
    #[default]
    Pycls,
    /// To the nearest multiple, ties up, or to the next higher one if that reduces the width by more than 10 %: torchvision's
    /// networks (`_make_divisible`).
    Torchvision,
}

impl Generator {
    /// Returns the body's stages, each with stride 2; their depths sum to `depth`, and their widths do not decrease.
    ///
    /// # Errors
    /// A parameter out of its range, or parameters that do not give a valid width.
    pub fn stages(&self, rounding: Rounding) -> Result<Vec<Stage>, NetworkError> {
        self.validate()?;
        let mut stages = Vec::new();
        for (index, (width, depth)) in self.quantised_widths().into_iter().enumerate() {
            let stage = Stage {
                depth,
                width: width as i64,
                stride: STAGE_STRIDE,
                group_width: self.group_width,
                bottleneck_ratio: self.bottleneck_ratio,
                se_ratio: self.se_ratio,
            };
            stages.push(compatible(index + 1, stage, rounding)?);
        }
        Ok(stages)
    }

    fn validate(&self) -> Result<(), NetworkError> {
        check_count("depth", self.depth, MAX_DEPTH)?;
        check_count("w0", self.w0, MAX_CHANNELS)?;
        if self.w0 as f64 % QUANTUM != 0.0 {
            return Err(NetworkError::FirstWidth { w0: self.w0 });
        }
        check_number("wa", self.wa, |wa| wa >= 0.0, "a finite number, 0 or above")?;
        check_number("wm", self.wm, |wm| wm > 1.0, "a finite number above 1")?;
        check_count("group_width", self.group_width, MAX_CHANNELS)?;
        let fits = |ratio: f64| ratio > 0.0 && (ratio <= 1.0 || (ratio <= MAX_RATIO && ratio.fract() == 0.0));
        let expected = "above 0 and at most 1, or a whole number up to 64";
        check_number("bottleneck_ratio", self.bottleneck_ratio, fits, expected)?;
        check_number("se_ratio", self.se_ratio, |ratio| (0.0..=MAX_RATIO).contains(&ratio), SE_RATIO)
    }

    /// Returns for each block the exponent k of `w0 * wm^k`, to which its width is quantised; integers that do not decrease.
    pub(crate) fn powers(&self) -> impl Iterator<Item = f64> {
        let w0 = self.w0 as f64;
        (0..self.depth).map(move |block| {
            let linear_width = w0 + self.wa * block as f64;
            // From libm: the standard library's differ by platform in the last bit.
            (libm::log(linear_width / w0) / libm::log(self.wm)).round_ties_even()
        })
    }

    /// Returns the distinct block widths in channels (multiples of 8, ascending), each with its number of blocks.
    fn quantised_widths(&self) -> Vec<(f64, i64)> {
        let w0 = self.w0 as f64;
        let mut runs: Vec<(f64, i64)> = Vec::new();
        for power in self.powers() {
            let width = QUANTUM * (w0 * libm::pow(self.wm, power) / QUANTUM).round_ties_even();
            match runs.last_mut() {
                Some((last_width, depth)) if *last_width == width => *depth += 1,
                _ => runs.push((width, 1)),
            }
        }
        runs
    }
}

/// Adjusts a stage's width to the nearest one whose bottleneck is a multiple of the group width, after limiting the group
/// width to that of the bottleneck (pycls's `adjust_block_compatibility`); `number` counts from 1.
pub(crate) fn compatible(number: usize, stage: Stage, rounding: Rounding) -> Result<Stage, NetworkError> {
    let ratio = stage.bottleneck_ratio;
    let unadjusted = (stage.width as f64 * ratio).max(1.0).trunc();
    let group_width = (stage.group_width as f64).min(unadjusted) as i64;
    let multiple = if ratio > 1.0 { least_common_multiple(group_width, ratio as i64) } else { group_width };
    let bottleneck_width = rounding.to_multiple(unadjusted, multiple as f64);
    let width = (bottleneck_width / ratio).trunc();
    if width.max(bottleneck_width) > MAX_CHANNELS as f64 {
        return Err(NetworkError::GeneratedWidth { stage: number });
    }

    let stage = Stage { width: width as i64, group_width, ..stage };
    if stage.bottleneck_width() % group_width != 0 {
        return Err(NetworkError::GeneratedBottleneck {
            ratio,
            stage: number,
            width: stage.width,
            bottleneck_width: stage.bottleneck_width(),
            group_width,
        });
    }
    Ok(stage)
}

impl Rounding {
    /// Returns the multiple of `multiple` nearest to `channels`, but at least `multiple`.
    fn to_multiple(self, channels: f64, multiple: f64) -> f64 {
        let times = match self {
            Rounding::Pycls => (channels / multiple).round_ties_even(),
            Rounding::Torchvision => ((channels + multiple / 2.0) / multiple).floor(),
        };
        let rounded = (times * multiple).max(multiple);
        if self == Rounding::Torchvision && rounded < 0.9 * channels { rounded + multiple } else { rounded }
    }
}

fn least_common_multiple(a: i64, b: i64) -> i64 {
    let (mut divisor, mut rest) = (a, b);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    a / divisor * b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(depth: i64, w0: i64, wa: f64, wm: f64, expected: &[(f64, i64)]) {
        let generator = Generator { depth, w0, wa, wm, group_width: 1, bottleneck_ratio: 1.0, se_ratio: 0.0 };
        assert_eq!(generator.quantised_widths(), expected, "depth {depth}, w0 {w0}, wa {wa}, wm {wm}");
    }

    #[test]
    fn widths_are_quantised_half_to_even() {
        // RegNetX-1.6GF: 80 * 2.25 = 180 is 22.5 times 8; half away from zero would give 184.
        check(18, 80, 34.01, 2.25, &[(80.0, 2), (176.0, 4), (408.0, 10), (912.0, 2)]);
        check(22, 24, 24.48, 2.54, &[(24.0, 1), (64.0, 2), (152.0, 7), (392.0, 12)]);
        check(3, 16, 0.0, 2.0, &[(16.0, 3)]);
    }

    #[test]
    fn widths_are_rounded_to_the_nearest_multiple() {
        let cases = [
            // (width, group width, pycls, torchvision)
            (392.0, 16.0, 384.0, 400.0), // 24.5 groups: RegNetX-400MF's last stage
            (24.0, 16.0, 32.0, 32.0),    // 1.5 groups
            (40.0, 16.0, 32.0, 48.0),    // 2.5 groups
            (56.0, 40.0, 40.0, 80.0),    // 1.4 groups: down takes off 29 %
            (176.0, 24.0, 168.0, 168.0), // 7.3 groups: down takes off 5 %
            (8.0, 8.0, 8.0, 8.0),
        ];
        for (channels, multiple, pycls, torchvision) in cases {
            let rounded =
                [Rounding::Pycls, Rounding::Torchvision].map(|rule| rule.to_multiple(channels, multiple));
            assert_eq!(rounded, [pycls, torchvision], "{channels} channels in groups of {multiple}");
        }
    }
}
