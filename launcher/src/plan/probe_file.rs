//! Reads the all-reduce durations in the output of `trainer probe --json`.

use std::path::Path;

use anyhow::{Context, Result};
use regatta_run_folder::ProbeReport;

use super::all_reduce::Curve;
use crate::failure::Usage;
use crate::text_file;

/// Reads the curve in the file `path`.
///
/// # Errors
/// If the file cannot be read, is not the probe's output, or has no usable durations.
pub(crate) fn read(path: &Path) -> Result<Curve> {
    let at = || format!("--all-reduce {}", path.display());
    let text = text_file::read(path).with_context(at)?;
    parse(&text).map_err(Usage).with_context(at)
}

fn parse(text: &str) -> Result<Curve, String> {
    let probe = ProbeReport::parse(text)
        .map_err(|error| format!("not what `trainer probe --json` prints: {error}"))?;
    if probe.world_size < 2 {
        return Err("measured by one rank, which has no all-reduces: run `mpirun -n N trainer probe --json`"
            .to_owned());
    }
    if let Some(wrong) = probe.all_reduce.iter().find(|sum| !sum.correct) {
        return Err(format!(
            "the sum of {} bytes was wrong, so its time is not usable: check the hosts with launcher doctor",
            wrong.bytes
        ));
    }
    let mut points: Vec<_> =
        probe.all_reduce.iter().map(|sum| (sum.bytes as f64, sum.microseconds / 1e6)).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points.dedup_by_key(|point| point.0);
    let is_time = |point: &(f64, f64)| point.1.is_finite() && point.1 > 0.0;
    if points.is_empty() || !points.iter().all(is_time) {
        return Err(
            "all_reduce has no sums, or some that took no time: expected those of `trainer probe --json`"
                .to_owned(),
        );
    }
    Ok(Curve { ranks: probe.world_size, points })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(world_size: usize, sums: &str) -> String {
        format!(
            r#"{{"version": "0.1.0", "world_size": {world_size}, "backend": "Open MPI", "device": "cpu", "all_reduce": [{sums}]}}"#
        )
    }

    #[test]
    fn sums_become_points_in_order() {
        let sums = r#"{"bytes": 65536, "correct": true, "microseconds": 40.0, "bus_gb_per_second": 1.6},
                      {"bytes": 4096, "correct": true, "microseconds": 10.0, "bus_gb_per_second": 0.4}"#;
        let curve = parse(&file(2, sums)).unwrap();
        assert_eq!((curve.ranks, curve.points), (2, vec![(4096.0, 1e-5), (65536.0, 4e-5)]));
    }

    #[test]
    fn invalid_measurements_are_rejected() {
        let sum = r#"{"bytes": 4096, "correct": true, "microseconds": 1.0}"#;
        for (text, expected) in [
            ("[]".to_owned(), "not what `trainer probe --json` prints: "),
            (
                "{\"world_size\": 2}".to_owned(),
                "not what `trainer probe --json` prints: missing field `version`",
            ),
            (
                "{\"schema\": 2}".to_owned(),
                "not what `trainer probe --json` prints: schema 2 is of a newer version of regatta",
            ),
            (file(1, sum), "measured by one rank"),
            (file(1, sum).repeat(2), "measured by one rank"),
            (file(2, ""), "all_reduce has no sums"),
            (file(2, &sum.replace("true", "false")), "the sum of 4096 bytes was wrong"),
            (file(2, &sum.replace("1.0", "0.0")), "all_reduce has no sums, or some that took no time"),
        ] {
            let problem = parse(&text).unwrap_err();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }
}
