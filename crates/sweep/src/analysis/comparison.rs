//! Pairs of spaces: what samples of their sizes can say about which is better.

use regatta_anynet::edf::Bootstrap;
use regatta_report::page::{Part, Section, Table};
use serde::Serialize;

use super::space::Space;
use super::text::{percent, points};
use crate::statistics::{Interval, KolmogorovSmirnov, median_difference};

/// Number of networks below which a space is not compared.
const FEWEST: usize = 2;

/// Two spaces, compared by the errors of their networks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The first space.
    pub first: String,
    /// The second space.
    pub second: String,
    /// The largest difference between the distribution functions (Kolmogorov and Smirnov's).
    pub ks_distance: f64,
    /// How probable a difference at least as large is between two samples of one space.
    pub ks_p_value: f64,
    /// Median error of the second less that of the first, with its 95 % bootstrap interval: below 0 if the second is better.
    pub median_difference: Interval,
    /// What follows, in a sentence.
    pub conclusion: String,
}

impl Comparison {
    fn of(first: &Space, second: &Space) -> Self {
        let (a, b) = (first.errors(), second.errors());
        let ks = KolmogorovSmirnov::of(&a, &b);
        let difference = median_difference(&b, &a, Bootstrap::default());
        let conclusion = conclusion(first, second, &difference, ks.p_value);
        Self {
            first: first.label.clone(),
            second: second.label.clone(),
            ks_distance: ks.distance,
            ks_p_value: ks.p_value,
            median_difference: difference,
            conclusion,
        }
    }
}

/// Compares each space with the one before it and with the first. Spaces with too few networks are left out.
pub(super) fn of_all(spaces: &[&Space]) -> Vec<Comparison> {
    let spaces: Vec<&Space> = spaces.iter().copied().filter(|it| it.networks.len() >= FEWEST).collect();
    let consecutive = (1..spaces.len()).map(|index| (index - 1, index));
    let with_first = (2..spaces.len()).map(|index| (0, index));
    consecutive.chain(with_first).map(|(a, b)| Comparison::of(spaces[a], spaces[b])).collect()
}

fn conclusion(first: &Space, second: &Space, difference: &Interval, p_value: f64) -> String {
    let (a, b) = (&first.label, &second.label);
    if difference.low <= 0.0 && difference.high >= 0.0 {
        let sizes = format!("{} and {} networks", first.networks.len(), second.networks.len());
        let shape = if p_value < 0.05 { "; their distributions as a whole differ, however" } else { "" };
        return format!(
            "The medians of {a} and {b} cannot be told apart with samples of this size ({sizes}){shape}."
        );
    }
    let (better, worse) = if difference.estimate < 0.0 { (b, a) } else { (a, b) };
    let ends = [difference.low.abs(), difference.high.abs()];
    let (least, most) = (points(ends[0].min(ends[1])), points(ends[0].max(ends[1])));
    let by = points(difference.estimate.abs());
    format!(
        "{better} is better than {worse}: its median error is {by} percentage points lower ({least} to {most})."
    )
}

/// Returns the section with a sentence and a row for each pair.
pub(super) fn section(comparisons: &[Comparison]) -> Option<Section> {
    if comparisons.is_empty() {
        return None;
    }
    let columns =
        ["second against first", "KS distance", "p-value", "difference of medians", "95 % interval"];
    let mut table = Table::new("", &columns);
    for it in comparisons {
        let Interval { estimate, low, high } = it.median_difference;
        table.rows.push(vec![
            format!("{} against {}", it.second, it.first).into(),
            format!("{:.2}", it.ks_distance).into(),
            p_value(it.ks_p_value).into(),
            percent(estimate).into(),
            format!("{} to {}", percent(low), percent(high)).into(),
        ]);
    }
    let explanation = format!(
        "The difference is the second space's median error less the first's, so that below 0 the second is better. Its interval is \
         a percentile bootstrap. The p-value is that of the two-sided Kolmogorov-Smirnov test; it is not corrected for the number \
         of comparisons ({}): of 20 comparisons of equal spaces, one is expected to have a p-value below 0.05.",
        comparisons.len()
    );
    let conclusions = comparisons.iter().map(|it| it.conclusion.clone()).collect();
    let parts = vec![Part::List(conclusions), Part::Table(table), Part::Paragraph(explanation)];
    Some(Section { title: "Comparisons of spaces".into(), parts })
}

fn p_value(value: f64) -> String {
    if value < 0.001 { "< 0.001".into() } else { format!("{value:.3}") }
}
