//! The probability distributions of a network's parameters, each exact and the same on every platform.
//!
//! Logarithms and exponentials are libm's: the standard library's differ by platform in the last bit.

use regatta_random::SplitMix64;

/// Log-uniform multiples of a quantum: each is as likely as a log-uniform real number between it and the next multiple.
///
/// x = exp(U(ln low, ln(high + quantum))) is rounded down, so that P(v) = ln((v + quantum) / v) / ln((high + quantum) /
/// low).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogUniformMultiples {
    quantum: i64,
    low: i64,
    high: i64,
}

impl LogUniformMultiples {
    /// Returns the distribution over multiples of `quantum` from `low` to `high`, both included.
    ///
    /// # Panics
    /// If `low` and `high` are not multiples of a positive quantum, or not positive and in order.
    pub const fn new(quantum: i64, low: i64, high: i64) -> Self {
        assert!(quantum > 0 && low > 0 && low <= high, "a range of positive multiples");
        assert!(low % quantum == 0 && high % quantum == 0, "the range's ends are multiples");
        Self { quantum, low, high }
    }

    /// Draws a multiple.
    pub fn draw(&self, random: &mut SplitMix64) -> i64 {
        let real = LogUniform { low: self.low as f64, high: (self.high + self.quantum) as f64 };
        // Rounding in the logarithm may move a number across an end of the range.
        let multiple = real.draw(random) as i64 / self.quantum * self.quantum;
        multiple.clamp(self.low, self.high)
    }

    /// Returns the probability of `value`.
    pub fn probability(&self, value: i64) -> f64 {
        if !(self.low..=self.high).contains(&value) || value % self.quantum != 0 {
            return 0.0;
        }
        let log_ratio = |end: i64, start: i64| libm::log(end as f64 / start as f64);
        log_ratio(value + self.quantum, value) / log_ratio(self.high + self.quantum, self.low)
    }
}

/// Uniform powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowersOfTwo {
    /// Exponent of the smallest.
    pub lowest_exponent: u32,
    /// Exponent of the largest, at least that of the smallest and at most 62.
    pub highest_exponent: u32,
}

impl PowersOfTwo {
    /// Draws a power of two.
    pub fn draw(&self, random: &mut SplitMix64) -> i64 {
        let exponents =
            UniformIntegers { low: self.lowest_exponent.into(), high: self.highest_exponent.into() };
        1 << exponents.draw(random)
    }
}

/// Uniform integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniformIntegers {
    /// The smallest value.
    pub low: i64,
    /// The largest value, at least the smallest.
    pub high: i64,
}

impl UniformIntegers {
    /// Draws a number.
    pub fn draw(&self, random: &mut SplitMix64) -> i64 {
        self.low + random.below((self.high - self.low) as u64 + 1) as i64
    }
}

/// Uniform real numbers in `[low, high)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uniform {
    /// Lower end of the range.
    pub low: f64,
    /// Upper end of the range.
    pub high: f64,
}

impl Uniform {
    /// Draws a number.
    pub fn draw(&self, random: &mut SplitMix64) -> f64 {
        self.low + random.unit() * (self.high - self.low)
    }
}

/// Log-uniform positive real numbers from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogUniform {
    /// Lower end of the range, above 0.
    pub low: f64,
    /// Upper end of the range.
    pub high: f64,
}

impl LogUniform {
    /// Draws a number.
    pub fn draw(&self, random: &mut SplitMix64) -> f64 {
        let logarithm = Uniform { low: libm::log(self.low), high: libm::log(self.high) };
        libm::exp(logarithm.draw(random)).clamp(self.low, self.high)
    }
}

/// Draws one of `values`, uniformly.
///
/// # Panics
/// If `values` is empty.
pub fn choice<T: Copy>(values: &[T], random: &mut SplitMix64) -> T {
    values[random.below(values.len() as u64) as usize]
}
