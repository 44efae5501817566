//! Run folders as a trainer leaves them, made without training.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use regatta_image::{Size, encode_png};
use regatta_ledger::{Collective, Element, Ledger, Operation};
use regatta_run_folder::{
    AttemptEnd, AttemptRecord, AttemptStart, ClassResult, EvaluationRecord, ExitCode, Failure, RunFolder,
    WorstImage,
};

/// Ends the script element that it stands in, if it is not escaped.
pub(crate) const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(1)>";

/// Steps of an epoch.
pub(crate) const EPOCH_STEPS: u64 = 100;

/// Two sizes of images: smaller ones in the first two epochs.
const PLAN: &str = r#"{"schema": 1, "sizes": [{"px": 128, "epochs": 2}, {"px": 224, "epochs": 2}],
    "rows": [{"gpus": 2, "images_per_second_by_size": [1300.0, 1250.0]}]}"#;

/// Makes a run of two ranks with this number of steps, all of them logged, and two attempts.
pub(crate) fn run(root: &Path, name: &str, steps: u64, lr: f64) -> PathBuf {
    let folder = RunFolder::new(root, name);
    folder.create().unwrap();
    let lost = format!("rank 1 was lost {HOSTILE}");
    attempt(&folder, (1, "08:10", "08:35"), steps / 2, (&lost, ExitCode::Communication));
    attempt(&folder, (2, "08:40", "09:02"), steps, ("done", ExitCode::Done));
    Failure::here(1, 1, ExitCode::Communication, "a collective timed out").leave(&folder).unwrap();
    fs::write(folder.metrics(), metrics(steps, lr)).unwrap();
    fs::write(folder.config(), recipe(lr)).unwrap();
    fs::write(folder.plan(), PLAN).unwrap();
    ledgers(&folder);
    folder.path().to_owned()
}

fn attempt(
    folder: &RunFolder,
    (number, begin, end): (u64, &str, &str),
    saved_step: u64,
    (why, code): (&str, ExitCode),
) {
    let start = AttemptStart {
        started_at: format!("2026-01-31T{begin}:00Z"),
        user: "u".into(),
        host: "node1".into(),
        process_id: 1,
        world_size: 2,
        command_line: vec!["trainer".into(), "--config".into(), "r.toml".into()],
        from_step: Some(if number == 1 { 0 } else { saved_step / 2 }),
    };
    let ended_at = format!("2026-01-31T{end}:00Z");
    let end = Some(AttemptEnd { ended_at, end: why.to_owned(), exit_code: code.code() });
    let record = AttemptRecord { number, start, saved_step: Some(saved_step), end };
    fs::write(folder.attempt(number), serde_json::to_vec(&record).unwrap()).unwrap();
}

fn recipe(lr: f64) -> String {
    format!(
        "# Resolved by regatta 0.1.0 for 2 ranks over Open MPI v4.1.4, libtorch 2.11.0.\n\n[data]\nfolder = \"{HOSTILE}\"\n\
         [train]\nepochs = 4\nseed = 0\n[optim]\nname = \"sgd\"\nlr = {lr}\n"
    )
}

fn metrics(steps: u64, lr: f64) -> String {
    let mut text = String::new();
    for step in 1..=steps {
        let progress = step as f64 / steps as f64;
        // A few deterministic waves in place of noise.
        let wave = (step as f64 * 0.7).sin() + (step as f64 * 0.13).cos();
        let loss = 2.3 * (-3.0 * progress).exp() + 0.05 * wave + lr;
        let (seconds, to_first) = if step <= steps / 2 {
            (step as f64 * 0.1, 2.5)
        } else {
            ((step - steps / 2) as f64 * 0.1 + 3.0, 3.0)
        };
        writeln!(
            text,
            "{{\"schema\":1,\"kind\":\"step\",\"epoch\":{},\"step\":{step},\"images\":{},\"loss\":{loss},\"top1\":{},\"lr\":{},\
             \"images_per_second\":{},\"seconds_since_start\":{seconds},\"seconds_to_first_step\":{to_first},\
             \"seconds_data\":0.002,\"seconds_copy\":0.001,\"seconds_forward\":{},\"seconds_backward\":0.061,\
             \"seconds_exposed_comm\":{},\"seconds_optimizer\":0.002,\"slowest_rank\":{},\"peak_rss_mib\":{},\
             \"grad_norm\":{},\"gpu_utilization\":{},\"gpu_memory_mib\":{},\"gpu_power_w\":{},\"gpu_temperature_c\":{},\"gpu_clock_mhz\":1980}}",
            step.div_ceil(EPOCH_STEPS),
            128 * step,
            1.0 - loss / 3.0,
            lr * (1.0 - progress),
            1200.0 + 60.0 * wave,
            0.03 + 0.004 * wave,
            0.012 + 0.004 * wave,
            u64::from(step % 3 == 0),
            300.0 + 80.0 * progress,
            1.5 + 0.4 * wave,
            0.9 + 0.04 * wave,
            9000.0 + 10.0 * wave,
            600.0 + 30.0 * wave,
            62.0 + 2.0 * wave,
        )
        .unwrap();
        if step % EPOCH_STEPS == 0 {
            writeln!(
                text,
                "{{\"schema\":1,\"kind\":\"epoch\",\"epoch\":{},\"step\":{step},\"images\":{},\"train_loss\":{loss},\"train_top1\":0.5,\
                 \"val_loss\":{},\"val_top1\":{},\"val_top5\":{},\"images_per_second\":1200.0,\"seconds\":10.0,\"peak_rss_mib\":380.0}}",
                step / EPOCH_STEPS,
                128 * step,
                loss + 0.1,
                0.95 - loss / 4.0,
                0.99 - loss / 20.0,
            )
            .unwrap();
        }
    }
    // What an interrupted write leaves.
    text + "{\"schema\":1,\"kind\":\"step\",\"epo"
}

fn ledgers(folder: &RunFolder) {
    let collective = Collective { operation: Operation::AllReduce, element: Element::F32, bytes: 4096 };
    for rank in [0, 1] {
        let ledger = Ledger::create(&folder.path().join(format!("memory-{rank}")), rank, 2).unwrap();
        for step in 1..=30 {
            ledger.set_step(step);
            let entered = ledger.enter(collective);
            ledger.complete(entered);
        }
        ledger.publish(&folder.ledger(rank)).unwrap();
    }
}

/// Saves an evaluation with this number of classes.
pub(crate) fn evaluate(run: &Path, classes: usize) {
    let name = |class: usize| if class == 1 { HOSTILE.to_owned() } else { format!("class {class}") };
    let count = |row: usize, column: usize| match (row, column) {
        _ if row == column => 80,
        (4, 6) => 15,
        _ => ((row * 7 + column * 3) % 5) as u64,
    };
    let confusion: Vec<Vec<u64>> =
        (0..classes).map(|y| (0..classes).map(|x| count(y, x)).collect()).collect();
    let class = |(class, row): (usize, &Vec<u64>)| {
        let images = row.iter().sum();
        let top1 = Some(row[class] as f64 / images as f64);
        ClassResult { name: name(class), images, top1, top5: Some(0.99) }
    };
    let worst = |index: usize| WorstImage {
        index: index as u64,
        name: format!("val/{HOSTILE}/{index}.png"),
        label: name(4),
        predicted: name(6),
        probability: 0.98,
        file: WorstImage::file_name("val", index),
    };
    let size = Size { width: 28, height: 28 };
    let pixels = |seed: usize| (0..28 * 28 * 3).map(|it| (it * (seed + 3) / 7) as u8).collect::<Vec<u8>>();
    let pngs: Vec<Vec<u8>> = (0..6).map(|it| encode_png(&pixels(it), size).unwrap()).collect();
    let record = EvaluationRecord {
        schema: Default::default(),
        evaluated_at: "2026-01-31T09:00:00Z".into(),
        split: "val".into(),
        weights: "model".into(),
        step: Some(400),
        resolution_px: 28,
        flip: false,
        images: 1000,
        top1: 0.81,
        top5: 0.99,
        loss: 0.52,
        classes: confusion.iter().enumerate().map(class).collect(),
        confusion: Some(confusion),
        worst: (0..6).map(worst).collect(),
    };
    record.save(&RunFolder::new(run, ""), &pngs).unwrap();
}
