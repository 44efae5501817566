//! What a distribution looks like in a sweep file, and the checks that it is complete and possible.

use regatta_anynet::space::distribution::{
    LogUniform, LogUniformMultiples, PowersOfTwo, Uniform, UniformIntegers,
};
use serde::Deserialize;
use toml::Value;

use super::distribution::{Distribution, Normal};
use super::error::KeyError;

/// The names of the distributions.
pub(super) const NAMES: [&str; 6] = ["uniform", "log_uniform", "powers_of_two", "normal", "choice", "grid"];
/// Largest end of a range of integers: beyond, not every integer is a double.
const MAX_INTEGER: f64 = (1_u64 << 53) as f64;
/// More standard deviations than any draw lies from the mean: 12 is the most of a polar method with radii from 2^-52.
const MAX_DEVIATIONS: f64 = 16.0;
/// Least share of normal numbers that the limits must keep, so that rejection ends soon.
const MIN_ACCEPTANCE: f64 = 0.001;

/// The table of a key. One of the distributions is given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    uniform: Option<[f64; 2]>,
    log_uniform: Option<[f64; 2]>,
    powers_of_two: Option<[i64; 2]>,
    normal: Option<NormalDescription>,
    choice: Option<Vec<Value>>,
    grid: Option<Vec<Value>>,
    integer: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NormalDescription {
    mean: f64,
    std: f64,
    min: Option<f64>,
    max: Option<f64>,
}

/// Returns the distribution that `value` describes.
pub(super) fn parse(key: &str, value: &Value) -> Result<Distribution, KeyError> {
    let Value::Table(table) = value else {
        return Err(KeyError::NotADistribution { key: key.to_owned(), value: value.to_string() });
    };
    let found: Vec<&str> = NAMES.into_iter().filter(|name| table.contains_key(*name)).collect();
    let inner = table.iter().find(|(_, value)| value.is_table());
    if let (true, Some((inner, _))) = (found.is_empty(), inner) {
        return Err(KeyError::UnquotedKey { key: key.to_owned(), inner: inner.clone() });
    }
    let malformed = |error: toml::de::Error| KeyError::Malformed {
        key: key.to_owned(),
        message: error.to_string().trim_end().replace('\n', " "),
    };
    let description: Description = value.clone().try_into().map_err(malformed)?;
    if found.len() != 1 {
        return Err(KeyError::NotOneDistribution { key: key.to_owned(), found });
    }
    description.checked(&Key(key))
}

impl Description {
    fn checked(self, key: &Key) -> Result<Distribution, KeyError> {
        let has_integers = self.uniform.is_some() || self.log_uniform.is_some();
        if let Some(integer) = self.integer.filter(|_| !has_integers) {
            let expected = "left out: only uniform and log_uniform have it";
            return Err(key.impossible("integer", integer, expected));
        }
        let integer = self.integer == Some(true);
        if let Some(ends) = self.uniform {
            uniform(key, ends, integer)
        } else if let Some(ends) = self.log_uniform {
            log_uniform(key, ends, integer)
        } else if let Some(ends) = self.powers_of_two {
            powers_of_two(key, ends)
        } else if let Some(normal) = self.normal {
            normal.checked(key)
        } else if let Some(values) = self.choice {
            Ok(Distribution::Choice(key.filled("choice", values)?))
        } else {
            Ok(Distribution::Grid(key.filled("grid", self.grid.unwrap_or_default())?))
        }
    }
}

fn uniform(key: &Key, ends: [f64; 2], integer: bool) -> Result<Distribution, KeyError> {
    let [low, high] = key.range("uniform", ends)?;
    if integer {
        let [low, high] = key.integers("uniform", ends)?;
        return Ok(Distribution::UniformIntegers(UniformIntegers { low, high }));
    }
    Ok(Distribution::Uniform(Uniform { low, high }))
}

fn log_uniform(key: &Key, ends: [f64; 2], integer: bool) -> Result<Distribution, KeyError> {
    let [low, high] = key.range("log_uniform", ends)?;
    if low <= 0.0 {
        let expected = "above 0 at both ends: a logarithm has no value at or below 0";
        return Err(key.impossible("log_uniform", list(&ends), expected));
    }
    if integer {
        let [low, high] = key.integers("log_uniform", ends)?;
        return Ok(Distribution::LogUniformIntegers(LogUniformMultiples::new(1, low, high)));
    }
    Ok(Distribution::LogUniform(LogUniform { low, high }))
}

fn powers_of_two(key: &Key, ends: [i64; 2]) -> Result<Distribution, KeyError> {
    let option = "powers_of_two";
    if ends.iter().any(|end| *end < 1 || !(*end as u64).is_power_of_two()) {
        return Err(key.impossible(option, list(&ends), "two powers of two, such as [16, 256]"));
    }
    let [low, high] = ends;
    if low >= high {
        return Err(key.impossible(option, list(&ends), in_order(&[high, low])));
    }
    let (lowest_exponent, highest_exponent) = (low.trailing_zeros(), high.trailing_zeros());
    Ok(Distribution::PowersOfTwo(PowersOfTwo { lowest_exponent, highest_exponent }))
}

impl NormalDescription {
    fn checked(self, key: &Key) -> Result<Distribution, KeyError> {
        if !self.mean.is_finite() {
            return Err(key.impossible("normal.mean", self.mean, "a finite number"));
        }
        if self.std.is_nan() || self.std <= 0.0 || !(self.mean.abs() + MAX_DEVIATIONS * self.std).is_finite()
        {
            let expected = "above 0 and far from the largest double; a value that all trials share belongs in the base recipe";
            return Err(key.impossible("normal.std", format!("{:?}", self.std), expected));
        }
        let (min, max) = (self.min.unwrap_or(f64::NEG_INFINITY), self.max.unwrap_or(f64::INFINITY));
        if min >= max {
            let expected = format!("below normal.max, which is {max:?}");
            return Err(key.impossible("normal.min", format!("{min:?}"), expected));
        }
        let normal = Normal { mean: self.mean, std: self.std, min, max };
        let acceptance = normal.acceptance();
        // False for NaN, too.
        if acceptance >= MIN_ACCEPTANCE {
            return Ok(Distribution::Normal(normal));
        }
        let window = format!("from {min:?} to {max:?}");
        let expected = format!(
            "wide enough to keep 0.1 % of the numbers of mean {:?} and standard deviation {:?}, but keeps {:.2} %",
            self.mean,
            self.std,
            100.0 * acceptance.max(0.0)
        );
        Err(key.impossible("the window of normal", window, expected))
    }
}

/// A key of the recipe, with the checks that name it.
struct Key<'a>(&'a str);

impl Key<'_> {
    fn impossible(
        &self,
        option: &'static str,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> KeyError {
        KeyError::Impossible {
            key: self.0.to_owned(),
            option,
            value: value.to_string(),
            expected: expected.into(),
        }
    }

    /// Checks that a range is finite and has its ends in order.
    fn range(&self, option: &'static str, ends: [f64; 2]) -> Result<[f64; 2], KeyError> {
        let [low, high] = ends;
        if !(high - low).is_finite() {
            return Err(self.impossible(
                option,
                list(&ends),
                "two finite numbers, and so must be their difference",
            ));
        }
        if low >= high {
            return Err(self.impossible(option, list(&ends), in_order(&[high, low])));
        }
        Ok(ends)
    }

    /// Returns a range's ends as integers.
    fn integers(&self, option: &'static str, ends: [f64; 2]) -> Result<[i64; 2], KeyError> {
        if ends.iter().any(|end| end.fract() != 0.0 || end.abs() >= MAX_INTEGER) {
            let expected = "two whole numbers below 2^53, as integer is true";
            return Err(self.impossible(option, list(&ends), expected));
        }
        Ok(ends.map(|end| end as i64))
    }

    fn filled(&self, option: &'static str, values: Vec<Value>) -> Result<Vec<Value>, KeyError> {
        if values.is_empty() {
            Err(self.impossible(option, "[]", "a list of at least one value"))
        } else {
            Ok(values)
        }
    }
}

/// Formats the remedy for swapped ends.
fn in_order<T: std::fmt::Debug + PartialEq>(swapped: &[T; 2]) -> String {
    if swapped[0] == swapped[1] {
        return "from a smaller to a larger number; a value that all trials share belongs in the base recipe"
            .to_owned();
    }
    format!("from the smaller to the larger: {}", list(swapped))
}

fn list<T: std::fmt::Debug>(ends: &[T]) -> String {
    format!("{ends:?}")
}
