//! Random numbers of the beta distribution.

use regatta_random::SplitMix64;

/// Returns a number of the distribution Beta(alpha, alpha), for an `alpha` above 0: x / (x + y) of two
/// Gamma(alpha) numbers. Their logarithms are compared, since both numbers may be too small for an `f64`.
pub(crate) fn symmetric_beta(alpha: f64, random: &mut SplitMix64) -> f64 {
    let [one, other] = [(); 2].map(|()| log_gamma(alpha, random));
    1.0 / (1.0 + libm::exp(other - one))
}

/// Returns the logarithm of a Gamma(alpha, 1) number (Marsaglia and Tsang, "A simple method for generating gamma variables", 2000:
/// the rejection method of section 2 for `alpha` of at least 1, the power of section 6 below it).
fn log_gamma(alpha: f64, random: &mut SplitMix64) -> f64 {
    if alpha < 1.0 {
        let larger = log_gamma(alpha + 1.0, random);
        return larger + libm::log(positive_unit(random)) / alpha;
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let normal = normal(random);
        let root = 1.0 + c * normal;
        let bound = positive_unit(random);
        if root > 0.0 {
            let cube = root * root * root;
            let log_cube = libm::log(cube);
            if libm::log(bound) < 0.5 * normal * normal + d * (1.0 - cube + log_cube) {
                return libm::log(d) + log_cube;
            }
        }
    }
}

/// Returns a standard normal number (Box and Muller's transform).
fn normal(random: &mut SplitMix64) -> f64 {
    let radius = (-2.0 * libm::log(positive_unit(random))).sqrt();
    radius * libm::cos(std::f64::consts::TAU * random.unit())
}

/// Returns a number in (0, 1], where the logarithm is finite.
fn positive_unit(random: &mut SplitMix64) -> f64 {
    1.0 - random.unit()
}
