//! The drawing contains every series and its best value, and omits missing and non-finite values.

use std::fs;

use regatta_report::curves;
use regatta_run_folder::EpochRecord;

fn row(epoch: u64, train_loss: f64, val_loss: Option<f64>, val_top1: Option<f64>) -> EpochRecord {
    let train_top1 = val_top1.map_or(f64::NAN, |top1| (top1 - 0.01).max(0.0));
    EpochRecord {
        epoch,
        step: 469 * epoch,
        images: 60_000 * epoch,
        train_loss,
        train_top1,
        bad_images: None,
        val_loss,
        val_top1,
        val_top5: None,
        val_raw_top1: None,
        images_per_second: 1000.0,
        seconds: 60.0,
        peak_rss_mib: 512.0,
    }
}

fn ten_rows() -> Vec<EpochRecord> {
    let train = [0.652, 0.419, 0.357, 0.322, 0.297, 0.276, 0.259, 0.244, 0.230, 0.218];
    let val = [0.521, 0.957, 0.403, 0.331, 0.356, 0.291, 0.278, 0.312, 0.305, 0.286];
    let top1 = [0.812, 0.627, 0.858, 0.885, 0.872, 0.900, 0.904, 0.889, 0.893, 0.905];
    (0..10).map(|k| row(k as u64 + 1, train[k], Some(val[k]), Some(top1[k]))).collect()
}

fn drawn(rows: &[EpochRecord]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("curves.svg");
    curves::draw(&path, "book & <tuned>", rows).unwrap();
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["curves.svg"]);
    fs::read_to_string(path).unwrap()
}

/// Counts the circles: one per point and one around each best value.
fn circles(svg: &str) -> usize {
    svg.matches("<circle").count()
}

#[test]
fn ten_epochs_give_a_title_four_series_and_two_best_values() {
    let svg = drawn(&ten_rows());
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    for text in [
        "book &amp; &lt;tuned&gt;",
        "Loss",
        "Accuracy (top-1)",
        "epoch",
        "training",
        "validation, best 0.278 (epoch 7)",
        "validation, best 0.905 (epoch 10)",
    ] {
        assert!(svg.contains(&format!("\n{text}\n")), "{text} in {svg}");
    }
    assert_eq!(svg.matches("\ntraining\n").count(), 2);
    assert_eq!(circles(&svg), 4 * 10 + 2);
}

#[test]
fn missing_and_non_finite_values_are_omitted() {
    let rows = [
        row(1, f64::NAN, None, None),
        row(2, 0.5, Some(0.6), Some(0.7)),
        row(3, f64::INFINITY, Some(f64::NAN), None),
    ];
    let svg = drawn(&rows);
    assert_eq!(circles(&svg), 4 + 2);
    assert!(svg.contains("best 0.700 (epoch 2)") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[test]
fn a_single_epoch_equal_values_and_no_values_can_be_drawn() {
    assert_eq!(circles(&drawn(&[row(1, 0.5, Some(0.5), Some(1.0))])), 4 + 2);
    assert_eq!(circles(&drawn(&[row(1, 0.0, None, Some(0.0)), row(2, 0.0, None, Some(0.0))])), 6 + 1);
    let empty = drawn(&[]);
    assert!(empty.contains("Loss") && circles(&empty) == 0);
}
