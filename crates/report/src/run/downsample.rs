//! Choosing the points of a long curve that are drawn.

/// Returns the places of at most `most` values (at least 4), in ascending order; all finite ones if they are not more.
///
/// The first and the last value are chosen, and of each of equally long pieces between them the lowest and the highest, so that no
/// peak is lost. Values that are not finite are never chosen.
pub fn chosen(values: &[f64], most: usize) -> Vec<usize> {
    let finite: Vec<usize> = (0..values.len()).filter(|&place| values[place].is_finite()).collect();
    let [first, inner @ .., last] = &finite[..] else { return finite };
    let most = most.max(4);
    if finite.len() <= most {
        return finite;
    }
    let pieces = (most - 2) / 2;
    let start = |piece: usize| piece * inner.len() / pieces;
    let extremes =
        (0..pieces).flat_map(|piece| lowest_and_highest(values, &inner[start(piece)..start(piece + 1)]));
    let mut places: Vec<usize> = [*first].into_iter().chain(extremes).chain([*last]).collect();
    places.dedup();
    places
}

/// Returns the places of the lowest and the highest value among `places`, in ascending order.
fn lowest_and_highest(values: &[f64], places: &[usize]) -> [usize; 2] {
    let order = |one: &&usize, other: &&usize| values[**one].total_cmp(&values[**other]);
    let lowest = *places.iter().min_by(order).expect("a piece has a value");
    let highest = *places.iter().max_by(order).expect("a piece has a value");
    [lowest.min(highest), lowest.max(highest)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extreme(values: &[f64], better: fn(f64, f64) -> f64) -> Option<f64> {
        values.iter().copied().filter(|value| value.is_finite()).reduce(better)
    }

    proptest! {
        #[test]
        fn ends_and_extremes_are_kept(
            values in prop::collection::vec(prop_oneof![9 => -1e3..1e3, 1 => Just(f64::NAN)], 0..600),
            most in 4..100usize,
        ) {
            let places = chosen(&values, most);
            let drawn: Vec<f64> = places.iter().map(|&place| values[place]).collect();
            let finite: Vec<usize> = (0..values.len()).filter(|&place| values[place].is_finite()).collect();
            prop_assert!(places.len() <= most);
            prop_assert!(places.is_sorted_by(|one, next| one < next));
            prop_assert_eq!((places.first(), places.last()), (finite.first(), finite.last()));
            prop_assert_eq!(extreme(&drawn, f64::min), extreme(&values, f64::min));
            prop_assert_eq!(extreme(&drawn, f64::max), extreme(&values, f64::max));
            prop_assert!(finite.len() > most || places == finite);
        }
    }
}
