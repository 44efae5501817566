//! The published networks by name, and their names in other libraries.

use strsim::damerau_levenshtein;

use crate::generator::{Generator, Rounding};
use crate::network::Network;
use crate::validation::NetworkError;

/// A published RegNet: its generator's parameters, and its authors' result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    family: Family,
    size: &'static str,
    timm_code: &'static str,
    depth: i64,
    w0: i64,
    group_width: i64,
    wa: f64,
    wm: f64,
    /// Top-1 error on ImageNet in percent after 100 epochs, if the network is in the paper.
    pub top1_error: Option<f64>,
    /// Global batch size of that training, in images.
    pub global_batch_size: u64,
}

/// Without or with squeeze-and-excitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    X,
    Y,
}

use Family::{X, Y};

/// RegNetX and RegNetY of Radosavovic et al. 2020 (tables 9 and 10 of the appendix), and last RegNetY-128GF (Goyal et
/// al. 2022), which torchvision and timm include as well.
#[rustfmt::skip]
static PUBLISHED: [Published; 25] = [
    entry(X, "200MF", "002", [13, 24, 8], [36.44, 2.49], 31.1, 1024),
    entry(X, "400MF", "004", [22, 24, 16], [24.48, 2.54], 27.4, 1024),
    entry(X, "600MF", "006", [16, 48, 24], [36.97, 2.24], 25.9, 1024),
    entry(X, "800MF", "008", [16, 56, 16], [35.73, 2.28], 24.8, 1024),
    entry(X, "1.6GF", "016", [18, 80, 24], [34.01, 2.25], 23.0, 1024),
    entry(X, "3.2GF", "032", [25, 88, 48], [26.31, 2.25], 21.7, 512),
    entry(X, "4.0GF", "040", [23, 96, 40], [38.65, 2.43], 21.4, 512),
    entry(X, "6.4GF", "064", [17, 184, 56], [60.83, 2.07], 20.8, 512),
    entry(X, "8.0GF", "080", [23, 80, 120], [49.56, 2.88], 20.7, 512),
    entry(X, "12GF", "120", [19, 168, 112], [73.36, 2.37], 20.3, 512),
    entry(X, "16GF", "160", [22, 216, 128], [55.59, 2.1], 20.0, 512),
    entry(X, "32GF", "320", [23, 320, 168], [69.86, 2.0], 19.5, 256),
    entry(Y, "200MF", "002", [13, 24, 8], [36.44, 2.49], 29.7, 1024),
    entry(Y, "400MF", "004", [16, 48, 8], [27.89, 2.09], 25.9, 1024),
    entry(Y, "600MF", "006", [15, 48, 16], [32.54, 2.32], 24.5, 1024),
    entry(Y, "800MF", "008", [14, 56, 16], [38.84, 2.4], 23.7, 1024),
    entry(Y, "1.6GF", "016", [27, 48, 24], [20.71, 2.65], 22.1, 1024),
    entry(Y, "3.2GF", "032", [21, 80, 24], [42.63, 2.66], 21.1, 512),
    entry(Y, "4.0GF", "040", [22, 96, 64], [31.41, 2.24], 20.6, 512),
    entry(Y, "6.4GF", "064", [25, 112, 72], [33.22, 2.27], 20.1, 512),
    entry(Y, "8.0GF", "080", [17, 192, 56], [76.82, 2.19], 20.1, 512),
    entry(Y, "12GF", "120", [19, 168, 112], [73.36, 2.37], 19.7, 512),
    entry(Y, "16GF", "160", [18, 200, 112], [106.23, 2.48], 19.6, 256),
    entry(Y, "32GF", "320", [20, 232, 232], [115.89, 2.53], 19.1, 256),
    Published { top1_error: None, ..entry(Y, "128GF", "1280", [27, 456, 264], [160.83, 2.52], 0.0, 256) },
];

/// The sizes that torchvision has.
const IN_TORCHVISION: [&str; 8] = ["400MF", "800MF", "1.6GF", "3.2GF", "8.0GF", "16GF", "32GF", "128GF"];
/// Maximum number of edits between a mistyped name and a suggestion.
const MAX_EDITS: usize = 2;
/// Networks of timm that have torchvision's rounding.
const TIMM_OF_TORCHVISION: [&str; 3] = ["regnetx_004_tv", "regnety_008_tv", "regnety_080_tv"];

const fn entry(
    family: Family,
    size: &'static str,
    timm_code: &'static str,
    [depth, w0, group_width]: [i64; 3],
    [wa, wm]: [f64; 2],
    top1_error: f64,
    global_batch_size: u64,
) -> Published {
    let top1_error = Some(top1_error);
    Published { family, size, timm_code, depth, w0, group_width, wa, wm, top1_error, global_batch_size }
}

/// An unknown network name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no published network is called {name:?}; {}there are {} (torchvision's and timm's names are understood too)",
    meant(.name),
    names()
)]
pub struct UnknownName {
    /// The name.
    pub name: String,
}

/// Returns the published networks, by family and size.
pub fn published() -> &'static [Published] {
    &PUBLISHED
}

/// Returns the network called `name`, and the rounding that the name implies if it is torchvision's or timm's: a network is
/// called `regnetx_1_6gf` here, `regnet_x_1_6gf` in torchvision and `regnetx_016` in timm.
///
/// # Errors
/// An unknown name.
pub fn find(name: &str) -> Result<(&'static Published, Option<Rounding>), UnknownName> {
    let rounding = |it: &Published| {
        if it.name() == name {
            Some(None)
        } else if it.torchvision_name().is_some_and(|theirs| theirs == name) {
            Some(Some(Rounding::Torchvision))
        } else {
            it.timm_rounding(name).map(Some)
        }
    };
    let found = PUBLISHED.iter().find_map(|it| Some((it, rounding(it)?)));
    found.ok_or_else(|| UnknownName { name: name.to_owned() })
}

impl Published {
    /// Returns the name in recipes: `regnetx_400mf`, `regnety_1_6gf`, `regnetx_8gf`.
    pub fn name(&self) -> String {
        format!("regnet{}_{}", self.letter(), self.plain_size())
    }

    /// Returns the name in the paper: `RegNetX-400MF`, `RegNetX-8.0GF`.
    pub fn title(&self) -> String {
        format!("RegNet{:?}-{}", self.family, self.size)
    }

    /// Returns torchvision's name, such as `regnet_x_400mf`, if torchvision has this size.
    pub fn torchvision_name(&self) -> Option<String> {
        let has = IN_TORCHVISION.contains(&self.size);
        has.then(|| format!("regnet_{}_{}", self.letter(), self.plain_size()))
    }

    /// Returns timm's name for the network with this rounding, such as `regnetx_004`, if timm has it.
    pub fn timm_name(&self, rounding: Rounding) -> Option<String> {
        let name = format!("regnet{}_{}", self.letter(), self.timm_code);
        let of_torchvision = format!("{name}_tv");
        let is_theirs = TIMM_OF_TORCHVISION.contains(&of_torchvision.as_str());
        match rounding {
            Rounding::Pycls => Some(name),
            Rounding::Torchvision => is_theirs.then_some(of_torchvision),
        }
    }

    /// Returns the parameters that generate its stages.
    pub fn generator(&self) -> Generator {
        let Self { depth, w0, wa, wm, group_width, .. } = *self;
        let se_ratio = match self.family {
            X => 0.0,
            Y => 0.25,
        };
        Generator { depth, w0, wa, wm, group_width, bottleneck_ratio: 1.0, se_ratio }
    }

    /// Returns the network for `classes` classes and colour images.
    ///
    /// # Errors
    /// Invalid generator parameters; does not occur for the networks in the table.
    pub fn network(&self, rounding: Rounding, classes: i64) -> Result<Network, NetworkError> {
        Ok(Network::of_stages(self.generator().stages(rounding)?, classes))
    }

    fn timm_rounding(&self, name: &str) -> Option<Rounding> {
        let is_called = |&rounding: &Rounding| self.timm_name(rounding).is_some_and(|theirs| theirs == name);
        [Rounding::Pycls, Rounding::Torchvision].into_iter().find(is_called)
    }

    fn letter(&self) -> char {
        match self.family {
            X => 'x',
            Y => 'y',
        }
    }

    /// Returns the size as in recipe names: `400mf`, `1_6gf`, `8gf`.
    fn plain_size(&self) -> String {
        self.size.replace(".0", "").replace('.', "_").to_lowercase()
    }
}

/// Returns `did you mean regnetx_400mf? ` if `name` is a mistyped or differently spelled name.
fn meant(name: &str) -> String {
    let letters = |name: &str| {
        let letters = name.chars().filter(char::is_ascii_alphanumeric);
        letters.collect::<String>().to_lowercase()
    };
    let edits = |it: &Published| {
        let spellings = [it.name(), it.title()];
        let edits = spellings.iter().map(|spelling| damerau_levenshtein(&letters(spelling), &letters(name)));
        edits.min().unwrap_or(usize::MAX)
    };
    // 3.2GF and 32GF have the same letters and digits; compare the punctuation too.
    let nearest = PUBLISHED.iter().min_by_key(|it| (edits(it), damerau_levenshtein(&it.name(), name)));
    let nearest = nearest.filter(|it| edits(it) <= MAX_EDITS);
    nearest.map_or_else(String::new, |it| format!("did you mean {}? ", it.name()))
}

fn names() -> String {
    PUBLISHED.iter().map(Published::name).collect::<Vec<_>>().join(", ")
}
