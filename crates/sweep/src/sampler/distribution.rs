//! What a distribution of a sweep file means: validated, and drawn from the same on every platform.

use regatta_anynet::space::distribution::{
    LogUniform, LogUniformMultiples, PowersOfTwo, Uniform, UniformIntegers,
};
use regatta_random::SplitMix64;
use toml::Value;

/// A distribution of values of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Distribution {
    Uniform(Uniform),
    UniformIntegers(UniformIntegers),
    LogUniform(LogUniform),
    LogUniformIntegers(LogUniformMultiples),
    PowersOfTwo(PowersOfTwo),
    Normal(Normal),
    Choice(Vec<Value>),
    /// Not drawn but walked through.
    Grid(Vec<Value>),
}

impl Distribution {
    /// Returns the number of values of a grid.
    pub(super) fn grid_length(&self) -> Option<u64> {
        if let Distribution::Grid(values) = self { Some(values.len() as u64) } else { None }
    }

    /// Draws a value.
    pub(super) fn draw(&self, random: &mut SplitMix64) -> Value {
        match self {
            Distribution::Uniform(law) => Value::Float(law.draw(random)),
            Distribution::UniformIntegers(law) => Value::Integer(law.draw(random)),
            Distribution::LogUniform(law) => Value::Float(law.draw(random)),
            Distribution::LogUniformIntegers(law) => Value::Integer(law.draw(random)),
            Distribution::PowersOfTwo(law) => Value::Integer(law.draw(random)),
            Distribution::Normal(law) => Value::Float(law.draw(random)),
            Distribution::Choice(values) | Distribution::Grid(values) => {
                values[random.below(values.len() as u64) as usize].clone()
            }
        }
    }
}

/// Normal real numbers from `min` to `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Normal {
    pub(super) mean: f64,
    pub(super) std: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Normal {
    /// Draws a number; those outside of `min` and `max` are drawn again.
    fn draw(&self, random: &mut SplitMix64) -> f64 {
        loop {
            let number = self.mean + self.std * standard_normal(random);
            if (self.min..=self.max).contains(&number) {
                return number;
            }
        }
    }

    /// Returns the probability that a draw lies from `min` to `max`.
    pub(super) fn acceptance(&self) -> f64 {
        // Upper tails, the smaller ones for a window on the right, keep their digits far from the mean.
        let upper = |end: f64| 0.5 * libm::erfc((end - self.mean) / (self.std * std::f64::consts::SQRT_2));
        let lower = |end: f64| 0.5 * libm::erfc((self.mean - end) / (self.std * std::f64::consts::SQRT_2));
        if self.min > self.mean {
            upper(self.min) - upper(self.max)
        } else {
            lower(self.max) - lower(self.min)
        }
    }
}

/// Draws from the standard normal distribution by Marsaglia's polar method (Marsaglia and Bray 1964), whose square root is exact
/// and whose logarithm is libm's. The second number of a pair is dropped: it would be state.
fn standard_normal(random: &mut SplitMix64) -> f64 {
    let square = Uniform { low: -1.0, high: 1.0 };
    loop {
        let (x, y) = (square.draw(random), square.draw(random));
        let radius = x * x + y * y;
        if radius > 0.0 && radius < 1.0 {
            return x * (-2.0 * libm::log(radius) / radius).sqrt();
        }
    }
}
