//! Metrics survive crashes and resume at a step.

use std::fs;

use regatta_run::{EpochRow, MetricsWriter, read_epochs};
use serde::Serialize;
use serde_json::json;

#[derive(Serialize)]
struct Step {
    kind: &'static str,
    step: u64,
    loss: f32,
}

fn step(step: u64) -> Step {
    Step { kind: "step", step, loss: 0.1 }
}

/// What a file with `content` holds after a writer resumed through step 2 and appended step 9.
fn resumed(content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    fs::write(&path, content).unwrap();
    MetricsWriter::resume(&path, 2).unwrap().write(&step(9)).unwrap();
    fs::read_to_string(&path).unwrap()
}

const LINES: &str = "\
{\"kind\":\"step\",\"step\":1,\"loss\":0.1}
{\"kind\":\"epoch\",\"epoch\":1,\"step\":2}
{\"kind\":\"step\",\"step\":3,\"loss\":0.1}
";
const KEPT: &str = "\
{\"kind\":\"step\",\"step\":1,\"loss\":0.1}
{\"kind\":\"epoch\",\"epoch\":1,\"step\":2}
{\"kind\":\"step\",\"step\":9,\"loss\":0.1}
";

#[test]
fn every_record_is_a_line_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let mut writer = MetricsWriter::create(&path).unwrap();
    writer.write(&step(1)).unwrap();
    writer.write(&json!({"kind": "epoch", "step": 2, "loss": f64::NAN})).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "{\"kind\":\"step\",\"step\":1,\"loss\":0.1}\n{\"kind\":\"epoch\",\"step\":2,\"loss\":null}\n"
    );
}

#[test]
fn an_existing_file_is_not_started_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    fs::write(&path, LINES).unwrap();
    let error = MetricsWriter::create(&path).unwrap_err().to_string();
    assert_eq!(error, format!("cannot create {}: File exists (os error 17)", path.display()));
    assert_eq!(fs::read_to_string(&path).unwrap(), LINES);
}

#[test]
fn resuming_removes_later_steps_and_a_torn_last_line() {
    assert_eq!(resumed(LINES.as_bytes()), KEPT);
    let torn: [&[u8]; 4] = [b"{\"kind\":\"st", b"{\"step\":2", b"\"step\"", b"\0\0\0"];
    for torn in torn {
        assert_eq!(resumed(&[LINES.as_bytes(), torn].concat()), KEPT, "{torn:?}");
    }
    // The last line is whole but for its end.
    assert_eq!(resumed(LINES.lines().take(2).collect::<Vec<_>>().join("\n").as_bytes()), KEPT);
}

#[test]
fn resuming_without_a_file_starts_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    MetricsWriter::resume(&path, 5).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn damage_in_the_middle_is_named_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let damaged = LINES.replacen("{\"kind\":\"epoch\"", "{\"kind\":epoch", 1);
    fs::write(&path, &damaged).unwrap();
    let expected = format!("{}: line 2 is not a JSON object; remove it to go on", path.display());
    assert_eq!(MetricsWriter::resume(&path, 2).unwrap_err().to_string(), expected);
    assert_eq!(read_epochs(&path).unwrap_err().to_string(), expected);
    assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
}

#[test]
#[should_panic(expected = "a flat object")]
fn nested_records_are_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = MetricsWriter::create(&folder.path().join("metrics.jsonl")).unwrap();
    let _ = writer.write(&json!({"losses": [1, 2]}));
}

#[test]
fn epochs_are_read_back_with_what_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let mut writer = MetricsWriter::create(&path).unwrap();
    writer.write(&step(1)).unwrap();
    writer.write(&json!({"kind": "epoch", "epoch": 1, "step": 4, "train_loss": f64::INFINITY})).unwrap();
    writer
        .write(&json!({"kind": "epoch", "epoch": 2, "step": 8, "train_loss": 0.1, "train_top1": 0.5, "val_loss": 0.25,
            "val_top1": 0.75, "val_top5": 1.0, "seconds": 3.5}))
        .unwrap();
    let appended = [fs::read(&path).unwrap(), b"{\"kind\":\"epoch\",\"ep".to_vec()].concat();
    fs::write(&path, appended).unwrap();
    let first = EpochRow { epoch: 1, step: 4, ..EpochRow::default() };
    let second = EpochRow {
        epoch: 2,
        step: 8,
        train_loss: Some(0.1),
        train_top1: Some(0.5),
        val_loss: Some(0.25),
        val_top1: Some(0.75),
        val_top5: Some(1.0),
    };
    assert_eq!(read_epochs(&path).unwrap(), [first, second]);

    fs::write(&path, "{\"kind\":\"epoch\",\"step\":4}\n").unwrap();
    let error = read_epochs(&path).unwrap_err().to_string();
    assert!(error.ends_with("line 1 is not the record of an epoch: missing field `epoch`"), "{error}");
}
