//! Spearman's rank correlation.

/// Returns Spearman's rank correlation of two lists of finite numbers, from -1 to 1: whether one rises with the other, in any shape. Equal
/// values have the mean of their ranks (Spearman 1904, "The Proof and Measurement of Association between Two Things"). NaN if one list is constant or has fewer than two values.
///
/// # Panics
/// If the lists differ in length.
pub fn spearman(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len(), "pairs of values");
    let (x, y) = (ranks(x), ranks(y));
    // All ranks have the same mean.
    let mean = (x.len() as f64 + 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    product(&x, &y) / (product(&x, &x) * product(&y, &y)).sqrt()
}

/// Returns the rank of each value, counted from 1.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count() as f64;
        let equal = values.iter().filter(|other| *other == value).count() as f64;
        below + (equal + 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}
