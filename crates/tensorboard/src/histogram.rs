//! Histograms of the values of a tensor.

use crate::proto::{Form, HistogramProto, Value};
use crate::value::value;

/// Number of buckets.
const BUCKETS: usize = 64;

/// How often finite values occur, in buckets of equal width from the smallest to the largest.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    min: f64,
    max: f64,
    counts: [u64; BUCKETS],
    sum: f64,
    sum_squares: f64,
}

impl Histogram {
    /// Counts the finite ones of `values`; none if there are none.
    pub fn of(values: &[f32]) -> Option<Self> {
        let finite = || values.iter().copied().filter(|value| value.is_finite()).map(f64::from);
        let (min, max) = finite()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| (min.min(value), max.max(value)));
        if min > max {
            return None;
        }
        let mut histogram = Self { min, max, counts: [0; BUCKETS], sum: 0.0, sum_squares: 0.0 };
        finite().for_each(|value| histogram.add(value));
        Some(histogram)
    }

    fn add(&mut self, value: f64) {
        // The largest value belongs to the last bucket; 0 / 0 of equal values becomes bucket 0.
        let place = (value - self.min) / (self.max - self.min) * BUCKETS as f64;
        self.counts[(place as usize).min(BUCKETS - 1)] += 1;
        self.sum += value;
        self.sum_squares += value * value;
    }

    /// Returns it under a tag.
    pub fn value(&self, tag: &str) -> Value {
        let width = (self.max - self.min) / BUCKETS as f64;
        let limits = (1..BUCKETS).map(|bucket| self.min + bucket as f64 * width);
        let histogram = HistogramProto {
            min: self.min,
            max: self.max,
            num: self.counts.iter().sum::<u64>() as f64,
            sum: self.sum,
            sum_squares: self.sum_squares,
            bucket_limit: limits.chain([self.max]).collect(),
            bucket: self.counts.iter().map(|&count| count as f64).collect(),
        };
        value(tag, Form::Histogram(histogram))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proto(values: &[f32]) -> HistogramProto {
        match Histogram::of(values).unwrap().value("x").form {
            Some(Form::Histogram(proto)) => proto,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_finite_value_is_counted_once() {
        let found = proto(&[0.0, 1.0, f32::NAN, 64.0, 63.5, f32::INFINITY, 1.0]);
        assert_eq!((found.min, found.max, found.num, found.sum), (0.0, 64.0, 5.0, 129.5));
        assert_eq!((found.bucket[0], found.bucket[1], found.bucket[63]), (1.0, 2.0, 2.0));
        assert_eq!((found.bucket_limit[0], found.bucket_limit[63]), (1.0, 64.0));
        assert_eq!(found.bucket.len(), found.bucket_limit.len());
    }

    #[test]
    fn equal_values_are_one_bucket() {
        let found = proto(&[2.0; 7]);
        assert_eq!((found.min, found.max, found.bucket[0]), (2.0, 2.0, 7.0));
    }

    #[test]
    fn without_finite_values_there_is_none() {
        assert_eq!(Histogram::of(&[f32::NAN, f32::NEG_INFINITY]), None);
        assert_eq!(Histogram::of(&[]), None);
    }
}
