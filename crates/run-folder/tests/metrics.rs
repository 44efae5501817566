//! Metrics survive crashes and resume at a step.

use std::fs;
use std::path::Path;

use regatta_run_folder::{EpochRow, MetricsLoss, MetricsWriter, read_epochs};
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

/// A writer that goes on with a file through a step, without knowing what it was.
fn started(path: &Path, step: u64) -> MetricsWriter {
    MetricsWriter::resume(path, step, None).unwrap().0
}

/// What a file with `content` holds after a writer resumed through step 2 and appended step 9.
fn resumed(content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    fs::write(&path, content).unwrap();
    started(&path, 2).write(&step(9)).unwrap();
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
    let mut writer = started(&path, 0);
    writer.write(&step(1)).unwrap();
    writer.write(&json!({"kind": "epoch", "step": 2, "loss": f64::NAN})).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "{\"kind\":\"step\",\"step\":1,\"loss\":0.1}\n{\"kind\":\"epoch\",\"step\":2,\"loss\":null}\n"
    );
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
    started(&path, 5);
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn damage_in_the_middle_is_named_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let damaged = LINES.replacen("{\"kind\":\"epoch\"", "{\"kind\":epoch", 1);
    fs::write(&path, &damaged).unwrap();
    let expected = format!("{}: line 2 is not a JSON object; remove it to go on", path.display());
    assert_eq!(MetricsWriter::resume(&path, 2, None).unwrap_err().to_string(), expected);
    assert_eq!(read_epochs(&path).unwrap_err().to_string(), expected);
    assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
}

#[test]
#[should_panic(expected = "a flat object")]
fn nested_records_are_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = started(&folder.path().join("metrics.jsonl"), 0);
    let _ = writer.write(&json!({"losses": [1, 2]}));
}

#[test]
fn epochs_are_read_back_with_what_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let mut writer = started(&path, 0);
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

/// A mark says what the file was; what is missing of that is counted, what came after it goes.
#[test]
fn what_is_missing_since_a_mark_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let mut writer = started(&path, 0);
    (1..=4).for_each(|number| writer.write(&step(number)).unwrap());
    // Of the same step, as an epoch's line and the last step of it.
    let mark = writer.sync().unwrap();
    writer.write(&json!({"kind": "epoch", "step": 4})).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    assert_eq!((mark.lines, mark.bytes), (4, whole.len() as u64 - 26));
    let check = |content: Option<&str>, expected: Option<MetricsLoss>, left: u64| {
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let (writer, loss) = MetricsWriter::resume(&path, 4, Some(&mark)).unwrap();
        assert_eq!(loss, expected, "{content:?}");
        assert_eq!(writer.sync().unwrap().lines, left, "{content:?}");
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count() as u64, left, "{content:?}");
        loss.map(|loss| loss.to_string())
    };
    let first = |lines: usize| whole.split_inclusive('\n').take(lines).collect::<String>();
    check(Some(&whole), None, 4);
    check(Some(&first(4)), None, 4);
    let missing = |missing| Some(MetricsLoss::Lines { missing, lines: 4 });
    let told = check(Some(&first(1)), missing(3), 1);
    assert_eq!(told.as_deref(), Some("3 of its 4 lines are missing"));
    check(Some(&whole[..50]), missing(3), 1);
    check(None, missing(4), 0);
    let other = first(4).replace("0.1", "0.2");
    let told = check(Some(&other), Some(MetricsLoss::Content(4)), 4);
    assert_eq!(told.as_deref(), Some("its 4 lines are not those that were written"));
}

#[test]
fn a_mark_is_the_same_after_a_resume() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let mut writer = started(&path, 0);
    (1..=3).for_each(|number| writer.write(&step(number)).unwrap());
    let mark = writer.sync().unwrap();
    let mut writer = started(&path, 2);
    writer.write(&step(3)).unwrap();
    assert_eq!(writer.sync().unwrap(), mark);
}
