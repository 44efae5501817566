//! The page of runs in a real browser: what is drawn, what pointer and keys do, and that nothing leaves the page.

mod made;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use regatta_report::run::{Document, RunFiles};
use serde_json::{Value, json};

use made::HOSTILE;
use test_browser::Browser;

/// Writes the page of these runs and returns its path and its size.
fn page(folder: &Path, runs: &[PathBuf]) -> (PathBuf, u64) {
    let runs: Vec<RunFiles> = runs.iter().map(|run| RunFiles::read(run).unwrap()).collect();
    let file = folder.join("report.html");
    fs::write(&file, Document::of(&runs).html()).unwrap();
    let bytes = fs::metadata(&file).unwrap().len();
    (file, bytes)
}

fn browser(folder: &Path) -> Option<Browser> {
    Browser::start(&folder.join("profile"))
}

const SIZES: [(u32, &str); 4] = [(390, "light"), (1400, "dark"), (390, "dark"), (1400, "light")];

#[test]
fn two_runs_are_drawn_compared_and_explored() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = browser(folder.path()) else { return };
    let hostile = made::run(folder.path(), "<img src=x onerror=alert(1)>", 400, 0.02);
    let plain = made::run(folder.path(), "regnetx", 400, 0.1);
    made::evaluate(&hostile, 10);
    made::evaluate(&plain, 60);
    let (file, _) = page(folder.path(), &[plain, hostile]);
    for (width, scheme) in SIZES {
        browser.open(&file, width, scheme);
        check_look(&mut browser, width, scheme);
        check_charts(&mut browser);
        check_texts(&mut browser);
        browser.screenshot(&format!("two-{width}-{scheme}"));
        check_hover(&mut browser);
        check_sorting(&mut browser);
        check_axes_and_smoothing(&mut browser);
        check_selection(&mut browser);
        check_newer_points(&mut browser);
        check_replacement(&mut browser);
        assert_eq!(browser.complaints(), Vec::<String>::new(), "{width} {scheme}");
    }
    browser.open(&file, 1000, "dark");
    browser.print("printed");
}

fn check_look(browser: &mut Browser, width: u32, scheme: &str) {
    let overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.value(overflow), 0, "{width}");
    let background = browser.value("getComputedStyle(document.body).backgroundColor");
    assert_eq!(background == "rgb(255, 255, 255)", scheme == "light", "{background}");
}

/// Every chart is as wide as its place.
fn check_widths(browser: &mut Browser) {
    let widths =
        "Object.values(regattaReport.charts).map((it) => it.width - it.root.parentElement.clientWidth)";
    let widths = browser.value(widths);
    assert!(widths.as_array().unwrap().iter().all(|it| *it == 0), "{widths}");
}

fn check_charts(browser: &mut Browser) {
    check_widths(browser);
    let points = browser.value(
        "Object.fromEntries(Object.entries(regattaReport.charts).map(([name, chart]) => \
         [name, chart.series.slice(1).map((_, place) => chart.data[place + 1].filter((value) => value != null).length)]))",
    );
    // Of each run the training loss as it is and smoothed, and four epochs.
    assert_eq!(points["loss"], json!([400, 400, 4, 400, 400, 4]));
    assert_eq!(points["accuracy"], json!([400, 400, 4, 4, 400, 400, 4, 4]));
    assert_eq!((&points["lr"], &points["grad_norm"]), (&json!([400, 400]), &json!([400, 400, 400, 400])));
    assert_eq!(points["phases-0"], json!([400, 400, 400, 400, 400, 400]));
    assert!(points["loss_scale"].is_null() && points["memory"] == json!([400, 400, 400, 400]), "{points}");
    assert_eq!(points["images_per_second"], json!([400, 400, 400, 400, 400, 400]));
    let planned = browser.value("regattaReport.charts.images_per_second.data[3]");
    assert_eq!((&planned[199], &planned[200]), (&json!(1300), &json!(1250)));
    for name in ["gpu_utilization", "gpu_power_w", "gpu_temperature_c", "gpu_clock_mhz"] {
        assert_eq!(points[name], json!([400, 400, 400, 400]), "{name}");
    }
    // Something is painted: the canvas has pixels of the first run's colour.
    let painted = "(() => { const it = document.querySelector('#curves canvas'); \
        return it.getContext('2d').getImageData(0, 0, it.width, it.height).data.some((value) => value > 0); })()";
    assert_eq!(browser.value(painted), true);
}

fn check_texts(browser: &mut Browser) {
    let text = browser.value("document.body.innerText");
    let text = text.as_str().unwrap();
    for part in ["<img src=x onerror=alert(1)>", HOSTILE, "rank 1 on ", "optim.lr", "Open MPI v4.1.4"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(browser.value("document.querySelectorAll('img:not([src^=\"data:\"])').length"), 0);
    let pictures = browser
        .value("Promise.all([...document.images].map((it) => it.decode().then(() => it.naturalWidth)))");
    assert_eq!(pictures, json!(vec![28; 12]));
    // Ten classes have a matrix, sixty a list of pairs.
    let cells = browser.value("document.querySelectorAll('#evaluation .numbers tbody td').length");
    let pairs = browser.value("document.querySelectorAll('#evaluation caption')[0].textContent");
    assert_eq!((cells, pairs), (json!(100), json!("The 50 pairs of classes that are confused most")));
    assert_eq!(browser.value("document.querySelectorAll('#ranks table').length"), 4);
    assert_eq!(browser.value("document.querySelectorAll('#attempts .bar').length"), 4);
}

fn legend(browser: &mut Browser, chart: &str) -> String {
    let text =
        browser.value(&format!("regattaReport.charts['{chart}'].root.querySelector('.u-legend').innerText"));
    text.as_str().unwrap().to_owned()
}

fn check_hover(browser: &mut Browser) {
    let before = legend(browser, "loss");
    browser.point_at("#curves .u-over", 0.5);
    let at_middle = legend(browser, "loss");
    assert!(before.contains('–') && !at_middle.contains('–') && at_middle.contains("(raw "), "{at_middle}");
    browser.press("#curves .chart > div", "Home");
    let at_start = legend(browser, "loss");
    browser.press("#curves .chart > div", "ArrowRight");
    let at_second = legend(browser, "loss");
    assert!(at_start != at_middle && at_second != at_start, "{at_start} {at_second}");
    browser.point_at("#ranks tbody td", 0.5);
    let told = |browser: &mut Browser, section: &str| {
        browser.value(&format!("document.querySelector('{section} output').textContent"))
    };
    assert!(told(browser, "#ranks").as_str().unwrap().starts_with("rank 0 on "));
    browser.press("#ranks .table", "ArrowDown");
    assert!(told(browser, "#ranks").as_str().unwrap().starts_with("rank 1 on "));
    browser.point_at("#attempts .bar", 0.5);
    assert!(told(browser, "#attempts").as_str().unwrap().starts_with("attempt 1, 25 min 0 s: rank 1 on "));
}

fn check_sorting(browser: &mut Browser) {
    let first = "#evaluation .table:has(caption:first-child) th:nth-child(3) button";
    let column = "[...document.querySelectorAll('#evaluation .table:has(caption:first-child)')[0].querySelectorAll('tbody tr')]\
        .map((row) => Number(row.cells[2].textContent))";
    let ordered = |values: &Value, down: bool| {
        let values: Vec<f64> = values.as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect();
        values.is_sorted_by(|one, next| if down { one >= next } else { one <= next })
    };
    browser.click(first);
    assert!(ordered(&browser.value(column), false));
    browser.click(first);
    assert!(ordered(&browser.value(column), true));
    let sorted = "document.querySelector('#evaluation th[aria-sort]').getAttribute('aria-sort')";
    assert_eq!(browser.value(sorted), "descending");
    // Times differ after their first number.
    let started = "#attempts th:nth-child(2) button";
    let attempts =
        "[...document.querySelector('#attempts tbody').rows].map((row) => row.cells[0].textContent)";
    browser.click(started);
    assert_eq!(browser.value(attempts), json!(["1", "2"]));
    browser.click(started);
    assert_eq!(browser.value(attempts), json!(["2", "1"]));
}

fn check_axes_and_smoothing(browser: &mut Browser) {
    let ends = "[regattaReport.charts.loss.data[0][0], regattaReport.charts.loss.data[0].at(-1)]";
    assert_eq!(browser.value(ends), json!([1, 400]));
    browser.click("input[value=epoch]");
    assert_eq!(browser.value(ends), json!([0.01, 4]));
    browser.click("input[value=seconds]");
    assert_eq!(browser.value(ends), json!([0.1, 43]));
    browser.click("input[value=step]");
    check_widths(browser);
    browser.click("#logarithmic");
    assert_eq!(browser.value("regattaReport.charts.loss.scales.y.distr"), 3);
    browser.click("#logarithmic");
    browser.press("#smoothing", "Home");
    assert_eq!(
        browser.value("[regattaReport.state.smoothing, regattaReport.charts.loss.series.length]"),
        json!([0, 5])
    );
    browser.press("#smoothing", "End");
    assert_eq!(
        browser.value("[regattaReport.state.smoothing, regattaReport.charts.loss.series.length]"),
        json!([0.99, 7])
    );
}

fn check_selection(browser: &mut Browser) {
    browser.click("#controls input[data-run='1']");
    assert_eq!(browser.value("regattaReport.charts.loss.series.length"), 4);
    assert_eq!(browser.value("document.querySelectorAll('#runs tbody tr').length"), 1);
    assert!(browser.value("regattaReport.charts['phases-1']").is_null());
    browser.click("#controls input[data-run='1']");
    assert_eq!(browser.value("document.querySelectorAll('#runs tbody tr').length"), 2);
    // The recipes are drawn anew by their own controls, which keep the focus.
    browser.press("#recipe select", "ArrowDown");
    let chosen = "[regattaReport.state.base, document.activeElement.tagName, document.activeElement.value]";
    assert_eq!(browser.value(chosen), json!([1, "SELECT", "1"]));
}

/// A newer document of the same runs leaves charts, a zoom, an order and a focus as they were.
fn check_newer_points(browser: &mut Browser) {
    browser.value("window.before = regattaReport.charts.loss");
    browser.value("before.setScale('x', {min: 50, max: 90})");
    browser.click("#runs th:nth-child(4) button");
    browser.click("#runs th:nth-child(4) button");
    let script = "(() => { const newer = structuredClone(regattaReport.document); const [run] = newer.runs; \
        for (const axis of ['step', 'epoch', 'seconds']) run.curves.steps[axis].push(run.curves.steps[axis].at(-1) + 1); \
        const {rows, values} = run.curves.steps.series.loss; rows.push(rows.at(-1) + 1); values.push(1.5); \
        run.summary.steps += 1; regattaReport.show(newer); })()";
    browser.value(script);
    let chart =
        browser.value("[regattaReport.charts.loss === before, before.data[0].length, before.data[1].at(-1)]");
    assert_eq!(chart, json!([true, 401, 1.5]));
    assert_eq!(browser.value("[before.scales.x.min, before.scales.x.max]"), json!([50, 90]));
    let steps = browser
        .value("[...document.querySelectorAll('#runs tbody tr')].map((row) => row.cells[3].textContent)");
    assert_eq!(steps, json!(["401", "400"]));
    assert_eq!(browser.value("document.activeElement.textContent"), "steps");
}

/// A newer document takes the place of the one that was drawn.
fn check_replacement(browser: &mut Browser) {
    let script = "(() => { const newer = structuredClone(regattaReport.document); newer.runs.pop(); newer.title = 'newer'; \
        newer.runs[0].attempts[0].started_at = 'damaged'; \
        regattaReport.show(newer); return [document.querySelector('h1').textContent, regattaReport.charts.loss.series.length, \
        Object.keys(regattaReport.charts).filter((name) => name.startsWith('phases')).length]; })()";
    assert_eq!(browser.value(script), json!(["newer", 4, 1]));
}

#[test]
fn a_run_of_a_hundred_thousand_steps_makes_a_small_page() {
    let folder = tempfile::tempdir().unwrap();
    let run = made::run(folder.path(), "long", 100_000, 0.1);
    made::evaluate(&run, 40);
    let begun = Instant::now();
    let (file, bytes) = page(folder.path(), &[run]);
    println!("100,000 steps: read and written in {:.2?}, {bytes} bytes", begun.elapsed());
    assert!(bytes < 5_000_000, "{bytes} bytes");
    let Some(mut browser) = browser(folder.path()) else { return };
    browser.open(&file, 1400, "light");
    let times = "(() => { const it = performance.getEntriesByType('navigation')[0]; return it.loadEventEnd - it.startTime; })()";
    println!("100,000 steps: opened in {} ms", browser.value(times));
    browser.screenshot("long-1400-light");
    let points = browser.value("regattaReport.charts.loss.data[1].filter((value) => value != null).length");
    assert!((1900..=2000).contains(&points.as_u64().unwrap()), "{points}");
    let footer = browser.value("document.querySelector('footer').textContent");
    assert!(footer.as_str().unwrap().contains("100,000 records"), "{footer}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
