//! The analysis of fixed results: numbers, marks of the figures, and that nothing is missing or panics while results are few.

use std::fs;

use regatta_sweep::analysis::{Analysis, SweepResults};
use regatta_sweep::{Mode, TrialResult};

mod fixture;

use fixture::*;

/// Returns the content of a file that the analysis writes.
fn written(sweeps: &[SweepResults], file: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/analysis");
    let paths = Analysis::of(sweeps).write(&out).unwrap();
    let mut listed: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).collect();
    listed.sort();
    let mut paths_sorted = paths.clone();
    paths_sorted.sort();
    assert_eq!(listed, paths_sorted, "the returned paths are the files, no temporary one is left");
    fs::read_to_string(out.join(file)).unwrap()
}

#[test]
fn the_numbers_of_a_study_are_those_computed_by_hand() {
    let distributions = Analysis::of(&[two_spaces(8)]).distributions;
    let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-12;
    assert_eq!(distributions.len(), 2);
    for (it, (space, min)) in distributions.iter().zip([("wide", 0.10), ("good", 0.09)]) {
        assert_eq!((it.space.as_str(), it.networks, it.ends.done), (space, 8, 8));
        assert!(close(it.min, min) && close(it.median, min + 0.007) && close(it.mean, min + 0.007), "{it:?}");
    }
}

#[test]
fn training_seeds_of_a_network_count_once_and_failed_ones_not_at_all() {
    let results = vec![
        trained("a", 0, 0, 3, 0.10),
        trained("a", 0, 1, 3, 0.12),
        failed(trained("a", 0, 2, 3, 0.5)),
        diverged(trained("a", 1, 0, 3, 0.5)),
        failed(trained("a", 2, 0, 3, 0.5)),
    ];
    let distribution = &Analysis::of(&[study("one", 5, results)]).distributions[0];
    assert_eq!(distribution.networks, 2);
    assert!((distribution.min.unwrap() - 0.11).abs() < 1e-12);
    assert!((distribution.mean.unwrap() - (0.11 + 0.9) / 2.0).abs() < 1e-12);
    let ends = distribution.ends;
    assert_eq!((ends.done, ends.diverged, ends.failed), (2, 1, 2));
}

#[test]
fn a_name_that_looks_like_markup_is_shown_as_text() {
    let mut sweep = two_spaces(6);
    sweep.name = "<script>alert(1)</script>".into();
    sweep.results.iter_mut().for_each(|it| it.space = it.space.replace("wide", "<img src=x>&|`*"));
    let html = written(&[sweep.clone()], "index.html");
    assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && html.contains("&lt;img src=x&gt;"));
    let markdown = written(&[sweep.clone()], "analysis.md");
    assert!(
        !markdown.contains("<script") && markdown.contains(r"&lt;img src=x&gt;&amp;\|\`\*"),
        "{markdown}"
    );
    assert!(!written(&[sweep], "edf.svg").contains("<img"));
}

#[test]
fn the_page_makes_no_request() {
    let html = written(&[two_spaces(12), halving("search")], "index.html");
    for loading in ["src=", "href=", "url(", "@import", "<link", "<script", "<iframe"] {
        assert!(!html.contains(loading), "{loading}");
    }
    assert!(html.contains("<svg") && html.contains("Content-Security-Policy"));
}

#[test]
fn a_sweep_that_runs_says_how_far_it_is() {
    let sweep = SweepResults { planned: 24, ..two_spaces(6) };
    let few = SweepResults { results: sweep.results[..3].to_vec(), ..sweep };
    for file in ["index.html", "analysis.md"] {
        assert!(written(&[few.clone()], file).contains("3 of 24 networks"), "{file}");
    }
}

#[test]
fn few_results_of_any_kind_are_analysed_without_numbers_that_are_none() {
    let all = |make: fn(TrialResult) -> TrialResult, count: usize| {
        let sweep = two_spaces(6);
        SweepResults { results: sweep.results.iter().take(count).cloned().map(make).collect(), ..sweep }
    };
    let search = |count: usize| {
        let sweep = halving("search");
        SweepResults { results: sweep.results.into_iter().take(count).collect(), ..sweep }
    };
    let mut cases: Vec<Vec<SweepResults>> = vec![Vec::new(), vec![two_spaces(6), two_spaces(6)]];
    for count in [0, 1, 2, 12] {
        cases.extend([|it| it, diverged, failed].map(|make| vec![all(make, count)]));
        cases.push(vec![search(count)]);
        cases.push(vec![SweepResults { mode: Mode::Search, ..all(failed, count) }]);
    }
    for sweeps in cases {
        let ended: usize = sweeps.iter().map(|sweep| sweep.results.len()).sum();
        for file in ["index.html", "analysis.md"] {
            let text = written(&sweeps, file);
            assert!(!text.contains("NaN") && !text.contains("inf "), "{ended} results: {text}");
        }
        let json: serde_json::Value = serde_json::from_str(&written(&sweeps, "analysis.json")).unwrap();
        assert_eq!(json["sweeps"].as_array().unwrap().len(), sweeps.len());
    }
}

#[test]
fn spaces_of_equal_names_are_kept_apart() {
    let labels = |sweeps: &[SweepResults]| -> Vec<String> {
        Analysis::of(sweeps).distributions.into_iter().map(|it| it.space).collect()
    };
    let [mut first, second] = [two_spaces(6), SweepResults { name: "other".into(), ..two_spaces(6) }];
    assert_eq!(labels(&[first.clone(), second]), ["two/wide", "two/good", "other/wide", "other/good"]);
    first.spaces = vec!["good".into(), "none".into()];
    assert_eq!(labels(&[first]), ["good", "none", "wide"], "the sweep's own order");
}
