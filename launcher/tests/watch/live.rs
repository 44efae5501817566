//! Pages in a real browser while their runs go on.

use serde_json::json;
use test_browser::Browser;
use test_jobs::{ENDLESS, TINY, Workdir};

use super::{Server, two_runs};

fn browser(workdir: &Workdir) -> Option<Browser> {
    Browser::start(&workdir.path().join("profile"))
}

const IS_LIVE: &str = "document.getElementById('live').textContent.startsWith('live, as of 2')";

#[test]
fn a_page_follows_its_run_and_keeps_what_was_chosen() {
    let workdir = Workdir::new(TINY);
    let Some(mut browser) = browser(&workdir) else { return };
    workdir.train("--name first").ends_with(0);
    let server = Server::start(&workdir, "runs --listen 127.0.0.1:0");
    for (width, scheme) in [(390, "light"), (1400, "dark")] {
        browser.open_address(&server.address("/runs?run=first"), width, scheme);
        browser.wait_for(IS_LIVE);
        assert_eq!(browser.complaints(), Vec::<String>::new());
    }
    // What is chosen: an order of the attempts, the opened recipe, a part of a chart, a hovered point, and no smoothing.
    browser.press("#smoothing", "Home");
    browser.click("#attempts th:nth-child(1) button");
    browser.click("#attempts th:nth-child(1) button");
    browser.click("#recipe summary");
    browser.value("window.chart = regattaReport.charts.loss; chart.setScale('x', {min: 2, max: 5})");
    browser.point_at("#curves .u-over", 0.5);
    let points = "chart.data[1].filter((loss) => loss != null).length";
    assert_eq!(browser.value(points), 6);

    workdir.train("--name first --resume auto train.epochs=4").ends_with(0);
    browser.wait_for("regattaReport.document.runs[0].summary.state === 'done' && regattaReport.document.runs[0].summary.steps === 12");
    assert_eq!(
        browser.value("[regattaReport.charts.loss === chart, chart.data[1].length]"),
        json!([true, 12])
    );
    assert_eq!(browser.value(points), 12);
    assert_eq!(browser.value("[chart.scales.x.min, chart.scales.x.max]"), json!([2, 5]));
    let hovered = "chart.root.querySelector('.u-legend').innerText";
    assert!(!browser.value(hovered).as_str().unwrap().contains('–'), "the values at the pointer are shown");
    let attempts =
        "[...document.querySelectorAll('#attempts tbody tr')].map((row) => row.cells[0].textContent)";
    assert_eq!(browser.value(attempts), json!(["2", "1"]));
    assert_eq!(browser.value("document.querySelector('#recipe details').open"), true);
    let recipe = "document.querySelector('#recipe').textContent.includes('train.epochs4')";
    assert_eq!(browser.value(recipe), true);
    // A plan that is saved now, while a control has the focus.
    let plan = "plan --config recipe.toml --gpus-per-node 1 --step-ms 1 --save runs/first";
    browser.value("document.querySelector('#smoothing').focus()");
    workdir.launcher(plan).ends_with(0);
    browser.wait_for("regattaReport.charts.images_per_second.series.length === 3");
    assert_eq!(browser.value("document.activeElement.id"), "smoothing");
    let width = "chart.width === chart.root.parentElement.clientWidth && regattaReport.charts.loss === chart";
    assert_eq!(browser.value(width), true);
    assert_eq!(browser.complaints(), Vec::<String>::new());

    drop(server);
    browser.wait_for("document.getElementById('live').textContent === 'no connection; trying again'");
}

#[test]
fn the_index_follows_its_folder_and_keeps_what_was_chosen() {
    let workdir = two_runs();
    let Some(mut browser) = browser(&workdir) else { return };
    let server = Server::start(&workdir, "runs --listen 127.0.0.1:0");
    browser.open_address(&server.address("/"), 390, "dark");
    let rows = |count: usize| format!("document.querySelectorAll('#runs tbody tr').length === {count}");
    browser.wait_for(&rows(2));
    browser.click("input[value=first]");
    browser.click("th:nth-child(1) button");
    browser.click("th:nth-child(1) button");
    browser.wait_for(IS_LIVE);
    workdir.train("--name third").ends_with(0);
    browser.wait_for(&rows(3));
    let names = "[...document.querySelectorAll('#runs tbody a')].map((link) => link.textContent)";
    browser.wait_for(&format!("JSON.stringify({names}) === JSON.stringify(['third', 'second', 'first'])"));
    assert_eq!(
        browser.value("document.activeElement.textContent"),
        "run",
        "the name of the column that was clicked"
    );
    let overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.value(overflow), 0);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.click("input[value=third]");
    browser.follow("#runs button:not(th button)");
    assert_eq!(browser.value("document.title"), "Runs third and first");
    browser.wait_for(IS_LIVE);
    assert_eq!(browser.value("document.querySelectorAll('#runs tbody tr').length"), 2);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    std::fs::remove_dir_all(workdir.run("third").path()).unwrap();
    browser.wait_for(
        "document.getElementById('live').textContent.startsWith('no longer live: the run is gone')",
    );
}

#[test]
fn a_run_may_be_watched_before_it_starts() {
    let workdir = Workdir::new(TINY);
    let Some(mut browser) = browser(&workdir) else { return };
    let plan = "plan --config recipe.toml --gpus-per-node 1 --step-ms 1 --save runs/first";
    workdir.launcher(plan).ends_with(0);
    let server = Server::start(&workdir, "runs/first --listen 127.0.0.1:0");
    browser.open_address(&server.address("/"), 390, "dark");
    assert_eq!(browser.value("document.querySelector('main').textContent"), "The run has not started yet.");
    workdir.train("--name first").ends_with(0);
    browser.follow_reload();
    browser.wait_for(IS_LIVE);
    // Steps, the measured curve and its smoothed one, and the plan.
    assert_eq!(browser.value("regattaReport.charts.images_per_second.series.length"), 4);
}

#[test]
fn a_page_and_the_index_say_that_a_run_was_killed() {
    let workdir = Workdir::new(TINY);
    let (Some(mut page), Some(mut index)) =
        (Browser::start(&workdir.path().join("page")), Browser::start(&workdir.path().join("index")))
    else {
        return;
    };
    let mut running = workdir.train(&format!("--name first {ENDLESS}")).start();
    running.wait_for_file(&workdir.run("first").metrics(), |text| text.contains("\"step\":2,"));
    let server = Server::start(&workdir, "runs --listen 127.0.0.1:0");
    page.open_address(&server.address("/runs?run=first"), 1000, "light");
    index.open_address(&server.address("/"), 1000, "light");
    let state = |word: &str| format!("document.querySelector('#runs td.state').textContent === '{word}'");
    page.wait_for(&state("running"));
    index.wait_for(&state("running"));
    running.signal("KILL");
    page.wait_for(&state("failed"));
    index.wait_for(&state("failed"));
    assert_eq!([page.complaints(), index.complaints()], [Vec::<String>::new(), Vec::new()]);
}
