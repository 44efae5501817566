//! Output on a terminal: runs in the pseudo-terminal of util-linux's `script`, and the screen that their output gives.

use std::process::Command;
use std::time::Duration;

use expect_test::expect;
use test_jobs::{ENDLESS, Ended, Job, Running, TINY, Workdir};

/// Runs the job on a pseudo-terminal, whose bytes become its standard output.
fn on_a_terminal(job: Job<'_>) -> Job<'_> {
    job.under(&["sh", "-c", "exec script -qefc \"$*\" /dev/null", "sh"]).variable("TERM", "xterm")
}

/// The content of the screen after these bytes.
fn screen(bytes: &str) -> String {
    let mut terminal = vt100::Parser::new(200, 250, 0);
    terminal.process(bytes.as_bytes());
    terminal.screen().contents()
}

/// Every state of the progress bar, in order.
fn bars(ended: &Ended) -> Vec<String> {
    let states = ended.stdout.split(['\r', '\n']).map(|state| screen(state).trim_end().to_owned());
    states.filter(|line| line.contains("steps") && line.contains('[')).collect()
}

/// Sends the signal of Ctrl-C to the trainer, as the terminal driver does.
fn interrupt(running: &Running) {
    let is_trainer = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "trainer\n")
    };
    let pid = running.processes().into_iter().find(is_trainer).unwrap();
    assert!(Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap().success());
}

#[test]
fn the_progress_bar_shows_loss_rate_and_time_left() {
    let workdir = Workdir::new(TINY);
    let options = format!("{ENDLESS} eval.interval_epochs=0 log.interval_steps=7 train.max_steps=600");
    let ended = on_a_terminal(workdir.train(&options)).ends_with(0);
    let bars = bars(&ended);
    assert!(bars.iter().all(|bar| bar.len() <= 80), "{bars:#?}");
    assert!(bars.iter().all(|bar| bar.contains("/600 steps") && !bar.contains(" 0s left")), "{bars:#?}");
    let whole = |bar: &&String| bar.contains("epoch 1/2 loss ") && bar.contains(" images/s [");
    assert!(bars.iter().filter(whole).count() > bars.len() / 2, "{bars:#?}");

    let screen = screen(&ended.stdout);
    assert!(screen.ends_with("done: after 600 steps, within epoch 1"), "{screen}");
    assert!(!screen.contains("steps ["), "{screen}");
}

#[test]
fn a_wide_progress_bar_also_shows_accuracy_and_data_wait() {
    let workdir = Workdir::new(TINY);
    let options = format!("{ENDLESS} eval.interval_epochs=0 log.interval_steps=7 train.max_steps=300");
    let job = workdir.train(&options).under(&[
        "sh",
        "-c",
        "exec script -qefc \"stty rows 40 cols 130; $*\" /dev/null",
        "sh",
    ]);
    let bars = bars(&job.variable("TERM", "xterm").ends_with(0));
    let whole =
        |bar: &&String| [" loss ", " top-1 ", " images/s data ", " %"].iter().all(|part| bar.contains(part));
    assert!(bars.iter().filter(whole).count() > bars.len() / 2, "{bars:#?}");
}

#[test]
fn a_quiet_run_shows_its_result_alone() {
    let workdir = Workdir::new(TINY);
    let ended = workdir.train("--quiet").ends_with(0);
    assert_eq!((ended.stderr.as_str(), ended.stdout.lines().count()), ("", 1), "{ended}");
    let log = std::fs::read_to_string(workdir.run("recipe").log(0)).unwrap();
    assert!(log.contains(" step ") && log.contains("epoch 2/2: train loss"), "{log}");
    let screen = screen(&on_a_terminal(workdir.train("--quiet --name b")).ends_with(0).stdout);
    assert!(!screen.contains("images/s") && screen.contains("done: "), "{screen}");
}

/// The keys that docs/metrics.md names.
#[test]
fn json_log_lines_have_the_documented_keys() {
    let workdir = Workdir::new(TINY);
    let ended = workdir.train("log.format=\"json\"").ends_with(0);
    let lines: Vec<serde_json::Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let keys = |kind: Option<&str>| {
        let line = lines.iter().find(|line| line["kind"].as_str() == kind).unwrap();
        line.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
    };
    expect!["timestamp level message target"].assert_eq(&keys(None));
    expect!["timestamp level message kind epoch step loss top1 lr images_per_second target"]
        .assert_eq(&keys(Some("step")));
    expect!["timestamp level message kind epoch step train_loss train_top1 val_loss val_top1 val_top5 seconds images_per_second target"].assert_eq(&keys(Some("epoch")));
    let logged = std::fs::read_to_string(workdir.run("recipe").log(0)).unwrap();
    assert!(logged.lines().all(|line| line.starts_with("{\"timestamp\":\"")), "{logged}");
}

#[test]
fn the_progress_bar_disappears_on_ctrl_c() {
    for (times, code) in [(1, 75), (2, 130)] {
        // A step of very many micro-batches is abandoned.
        let size = "train.global_batch_size=200000 log.interval_steps=1000";
        let options = if times == 2 { size } else { "log.interval_steps=1000" };
        let workdir = Workdir::new(TINY);
        let mut running = on_a_terminal(workdir.train(&format!("{ENDLESS} {options}"))).start();
        let log = workdir.run("recipe").log(0);
        running.wait_for_file(&log, |text| text.contains("parameters in"));
        interrupt(&running);
        running.wait_for_file(&log, |text| text.contains("stopping after this step"));
        if times == 2 {
            // A signal that follows sooner counts as the same request.
            std::thread::sleep(Duration::from_millis(300));
            interrupt(&running);
        }
        let ended = running.wait();
        assert_eq!(ended.code, Some(code), "{ended}");
        let screen = screen(&ended.stdout);
        assert!(screen.contains("stopping after this step") && !screen.contains("steps"), "{screen}");
    }
}

#[test]
fn log_times_have_seconds_and_no_color_is_respected() {
    let workdir = Workdir::new(TINY);
    let coloured = on_a_terminal(workdir.train("--name a")).variable("NO_COLOR", "").ends_with(0).stdout;
    let plain = on_a_terminal(workdir.train("--name b")).variable("NO_COLOR", "1").ends_with(0).stdout;
    assert!(coloured.contains("\u{1b}[32m INFO"), "{coloured}");
    assert!(plain.contains(" INFO ") && !plain.contains("\u{1b}[32m"), "{plain}");
    let line = screen(&plain).lines().next().unwrap().to_owned();
    let (time, rest) = line.trim_start().split_once("Z ").unwrap();
    assert!(time.len() == "2026-01-31T08:15:00".len() && rest.trim_start().starts_with("INFO"), "{line}");
}

#[test]
fn a_run_cut_short_by_max_steps_logs_its_last_step() {
    let workdir = Workdir::new(TINY);
    let logged = |options: &str| {
        let ended = workdir.train(&format!("{options} log.interval_steps=100")).ends_with(0);
        ended.stderr.lines().filter(|line| line.contains(" step ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let lines = logged("train.max_steps=2");
    assert!(lines.len() == 1 && lines[0].contains("epoch 1/2 step 2 loss "), "{lines:?}");
    assert_eq!(logged("--name whole"), Vec::<String>::new());
}
