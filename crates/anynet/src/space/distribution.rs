//! The laws that a network's parameters are drawn by, each exact and the same on every platform.
//!
//! Logarithms and exponentials are libm's: the standard library's differ by platform in the last bit.

use regatta_random::SplitMix64;

/// Multiples of a quantum, as likely as a log-uniform real number is to fall between one and the next.
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
    /// The law over multiples of `quantum` from `low` to `high`, both included.
    ///
    /// # Panics
    /// If these are not multiples of a positive quantum, or not positive and in order.
    pub const fn new(quantum: i64, low: i64, high: i64) -> Self {
        assert!(quantum > 0 && low > 0 && low <= high, "a range of positive multiples");
        assert!(low % quantum == 0 && high % quantum == 0, "the range's ends are multiples");
        Self { quantum, low, high }
    }

    /// One multiple.
    pub fn draw(&self, random: &mut SplitMix64) -> i64 {
        let real = LogUniform { low: self.low as f64, high: (self.high + self.quantum) as f64 };
        // The logarithm's rounding may put a number next to an end on its other side.
        let multiple = real.draw(random) as i64 / self.quantum * self.quantum;
        multiple.clamp(self.low, self.high)
    }

    /// How likely `value` is; 0 for what is never drawn.
    pub fn probability(&self, value: i64) -> f64 {
        if !(self.low..=self.high).contains(&value) || value % self.quantum != 0 {
            return 0.0;
        }
        let log_ratio = |end: i64, start: i64| libm::log(end as f64 / start as f64);
        log_ratio(value + self.quantum, value) / log_ratio(self.high + self.quantum, self.low)
    }
}

/// Powers of two, each as likely as the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowersOfTwo {
    /// Exponent of the smallest.
    pub lowest_exponent: u32,
    /// Exponent of the largest, at least that of the smallest and at most 62.
    pub highest_exponent: u32,
}

impl PowersOfTwo {
    /// One power.
    pub fn draw(&self, random: &mut SplitMix64) -> i64 {
        let exponents =
            UniformIntegers { low: self.lowest_exponent.into(), high: self.highest_exponent.into() };
        1 << exponents.draw(random)
    }
}

/// Whole numbers, each as likely as the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniformIntegers {
    /// The smallest.
    pub low: i64,
    /// The largest, at least the smallest.
    pub high: i64,
}

impl UniformIntegers {
    /// One number.
    pub fn draw(&self, random: &mut SplitMix64) -> i64 {
        self.low + random.below((self.high - self.low) as u64 + 1) as i64
    }
}

/// Real numbers in `[low, high)`, uniform.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uniform {
    /// Where the range begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

impl Uniform {
    /// One number.
    pub fn draw(&self, random: &mut SplitMix64) -> f64 {
        self.low + random.unit() * (self.high - self.low)
    }
}

/// Positive real numbers from `low` to `high` whose logarithm is uniform.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogUniform {
    /// Where the range begins, above 0.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

impl LogUniform {
    /// One number.
    pub fn draw(&self, random: &mut SplitMix64) -> f64 {
        let logarithm = Uniform { low: libm::log(self.low), high: libm::log(self.high) };
        libm::exp(logarithm.draw(random)).clamp(self.low, self.high)
    }
}

/// One of `values`, each as likely as the others.
///
/// # Panics
/// If there is none.
pub fn choice<T: Copy>(values: &[T], random: &mut SplitMix64) -> T {
    values[random.below(values.len() as u64) as usize]
}
