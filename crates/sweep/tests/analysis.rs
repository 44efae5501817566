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
    assert!(!html.contains("<script>") && !html.contains("<img"), "{html}");
    // The only script is the one that sorts tables.
    assert_eq!((html.matches("<script").count(), html.matches("<script nonce=").count()), (1, 1));
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
    for loading in ["src=", "href=", "url(", "@import", "<link", "fetch(", "<iframe"] {
        assert!(!html.contains(loading), "{loading}");
    }
    assert!(html.matches("<svg").count() == 9 && html.contains("Content-Security-Policy"));
}

#[test]
fn a_sweep_that_runs_says_how_far_it_is() {
    let sweep = SweepResults { planned: 24, ..two_spaces(6) };
    let few = SweepResults { results: sweep.results[..3].to_vec(), ..sweep };
    for file in ["index.html", "analysis.md"] {
        assert!(written(std::slice::from_ref(&few), file).contains("3 of 24 networks"), "{file}");
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
    let again = [first.clone(), first.clone()];
    assert_eq!(labels(&again), ["two/wide", "two/good", "two/wide 2", "two/good 2"]);
    assert_eq!(labels(&[first.clone(), second]), ["two/wide", "two/good", "other/wide", "other/good"]);
    first.spaces = vec!["good".into(), "none".into()];
    assert_eq!(labels(&[first]), ["good", "none", "wide"], "the sweep's own order");
}

#[test]
fn a_pair_of_spaces_is_compared_with_a_conclusion() {
    let comparisons = Analysis::of(&[two_spaces(24)]).comparisons;
    assert_eq!(comparisons.len(), 1);
    let it = &comparisons[0];
    assert_eq!((it.first.as_str(), it.second.as_str()), ("wide", "good"));
    // All errors are 0.01 lower, in steps of 0.002: 5 of the 24 lie below all of the others.
    assert!((it.ks_distance - 5.0 / 24.0).abs() < 1e-12, "{it:?}");
    assert!((it.median_difference.estimate + 0.01).abs() < 1e-12, "{it:?}");
    assert!(
        it.conclusion.contains("cannot be told apart with samples of this size (24 and 24 networks)"),
        "{it:?}"
    );

    let mut apart = two_spaces(24);
    let second = apart.results.iter_mut().filter(|it| it.space == "good");
    second.flat_map(|it| &mut it.epochs).for_each(|row| row.val_top1 = row.val_top1.map(|top1| top1 + 0.04));
    let it = &Analysis::of(&[apart]).comparisons[0];
    assert!(it.median_difference.high < 0.0 && it.ks_p_value < 1e-6, "{it:?}");
    assert!(
        it.conclusion
            .starts_with("good is better than wide: its median error is 5.00 percentage points lower")
    );
}

#[test]
fn equal_networks_have_the_same_weight_at_equal_complexity() {
    let normalised = Analysis::of(&[two_spaces(12)]).normalised;
    assert_eq!(normalised.len(), 2);
    // Both spaces have the same networks with errors that differ by 0.01, and one bin each of more and of fewer multiply-adds.
    let [first, second] = [&normalised[0], &normalised[1]];
    assert!((first.mean - second.mean - 0.01).abs() < 1e-12, "{first:?} {second:?}");
    assert!((first.median - second.median - 0.01).abs() < 1e-12, "{first:?} {second:?}");
    assert_eq!((first.networks, second.networks), (12, 12));
    assert!(first.steps.iter().zip(&second.steps).all(|(a, b)| (a.1 - b.1).abs() < 1e-12));
}

#[test]
fn parameters_that_vary_are_shown_and_constant_ones_are_not() {
    let mut sweep = two_spaces(12);
    for (index, result) in (1..).zip(&mut sweep.results) {
        result.drawn.insert("optim.lr".into(), serde_json::json!(0.001 * index as f64));
        result.drawn.insert("optim.name".into(), serde_json::json!("sgd"));
        result.drawn.insert("data.batch".into(), serde_json::json!(128));
    }
    let parameters = Analysis::of(&[sweep.clone()]).parameters;
    let of_first: Vec<&str> =
        parameters.iter().filter(|it| it.space == "wide").map(|it| it.name.as_str()).collect();
    for shown in
        ["depth (blocks)", "w0", "wa", "wm", "optim.lr", "multiply-adds", "parameters", "activations"]
    {
        assert!(of_first.contains(&shown), "{shown} in {of_first:?}");
    }
    for constant in ["SE ratio", "optim.name", "data.batch"] {
        assert!(!of_first.contains(&constant), "{constant} in {of_first:?}");
    }
    let svg = written(&[sweep], "parameters-wide.svg");
    assert_eq!(svg.matches("<circle").count(), 12 * of_first.len(), "a dot for each network and parameter");
}

#[test]
fn a_network_without_generator_is_shown_with_the_fit() {
    let mut sweep = two_spaces(6);
    sweep.results.iter_mut().for_each(|it| it.generator = None);
    let analysis = Analysis::of(&[sweep.clone()]);
    assert!(analysis.parameters.iter().any(|it| it.name == "wa (fit)"));
    assert_eq!(analysis.profiles.len(), 6, "the best three of each space");
    assert!(analysis.profiles.iter().all(|it| it.fit.e_fit < 0.3), "{:?}", analysis.profiles);
    let blocks: usize = analysis.profiles.iter().map(|it| it.widths.len()).sum();
    assert_eq!(written(&[sweep], "profiles.svg").matches("<circle").count(), blocks, "a dot for each block");
}

#[test]
fn a_search_has_its_brackets_and_its_cost() {
    let search = &Analysis::of(&[halving("search")]).searches[0];
    let rungs: Vec<_> = search.rungs.iter().map(|it| (it.epochs, it.ended, it.promoted)).collect();
    assert_eq!(rungs, [(1, 8, 4), (2, 4, 2), (4, 2, 0)]);
    // 8 x 1, then 4 x 1 and 2 x 2 epochs more.
    let last = search.best_so_far.last().unwrap();
    assert_eq!(last.epochs, 16);
    assert!((last.error - 0.075).abs() < 1e-12);
    assert_eq!(search.best.as_deref(), Some("all-000"));
    let svg = written(&[halving("search")], "search.svg");
    assert_eq!(svg.matches("<circle").count(), 8 + 4 + 2, "a dot for each trial and budget");
}

#[test]
fn learning_curves_are_those_of_best_median_and_worst() {
    let svg = written(&[two_spaces(6)], "curves.svg");
    assert_eq!(svg.matches("<circle").count(), 2 * 3 * 3, "two spaces, three networks, three epochs");
}

#[test]
fn the_noise_between_seeds_is_reported() {
    let mut sweep = two_spaces(6);
    let again = (0..3).map(|sample| trained("wide", sample, 1, 3, 0.11 + 0.004 * sample as f64));
    sweep.results.extend(again.collect::<Vec<_>>());
    let noise = Analysis::of(&[sweep.clone()]).distributions[0].seed_noise.unwrap();
    assert_eq!(noise.networks, 3);
    assert!(written(&[sweep], "analysis.md").contains("between training seeds"));
}
