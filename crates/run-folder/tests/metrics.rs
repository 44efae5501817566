//! Metrics survive crashes, are truncated on resume, and are read back unchanged.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use expect_test::expect;
use regatta_run_folder::{
    EpochRecord, GpuFacts, MetricsLoss, MetricsWriter, Record, StepRecord, last_record, read_records,
};

fn step(step: u64) -> Record {
    Record::Step(StepRecord {
        epoch: 1,
        step,
        images: 128 * step,
        loss: 0.1,
        top1: 0.5,
        bad_images: None,
        lr: 0.05,
        grad_norm: None,
        loss_scale: None,
        images_per_second: 1000.0,
        seconds_since_start: 2.5,
        seconds_to_first_step: 1.25,
        seconds_data: 0.01,
        seconds_copy: 0.02,
        seconds_forward: 0.03,
        seconds_backward: 0.06,
        seconds_exposed_comm: 0.005,
        seconds_optimizer: 0.004,
        slowest_rank: Some(1),
        peak_rss_mib: 512.0,
        peak_device_mib: None,
        gpu: GpuFacts::default(),
    })
}

fn epoch(epoch: u64) -> EpochRecord {
    EpochRecord {
        epoch,
        step: 4 * epoch,
        images: 512 * epoch,
        train_loss: 0.1,
        train_top1: 0.5,
        bad_images: None,
        val_loss: None,
        val_top1: None,
        val_top5: None,
        val_raw_top1: None,
        images_per_second: 1000.0,
        seconds: 3.5,
        peak_rss_mib: 512.0,
    }
}

/// Resumes a file through a step, without a mark.
fn started(path: &Path, step: u64) -> MetricsWriter {
    MetricsWriter::resume(path, step, None).unwrap().0
}

/// Returns the file's content after resuming a file with `content` through step 2.
fn resumed(content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    fs::write(&path, content).unwrap();
    drop(started(&path, 2));
    fs::read_to_string(&path).unwrap()
}

const LINES: &str = "\
{\"kind\":\"step\",\"epoch\":1,\"step\":1,\"images\":8,\"loss\":0.1}
{\"kind\":\"epoch\",\"epoch\":1,\"step\":2,\"images\":16}
{\"kind\":\"step\",\"epoch\":2,\"step\":3,\"images\":24,\"loss\":0.1}
";
const KEPT: &str = "\
{\"kind\":\"step\",\"epoch\":1,\"step\":1,\"images\":8,\"loss\":0.1}
{\"kind\":\"epoch\",\"epoch\":1,\"step\":2,\"images\":16}
";

#[test]
fn every_record_is_a_line_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let mut writer = started(&path, 0);
    writer.write(step(1)).unwrap();
    writer.write(Record::Epoch(EpochRecord { train_loss: f64::INFINITY, ..epoch(1) })).unwrap();
    expect![[r#"
        {"schema":1,"kind":"step","epoch":1,"step":1,"images":128,"loss":0.1,"top1":0.5,"lr":0.05,"images_per_second":1000.0,"seconds_since_start":2.5,"seconds_to_first_step":1.25,"seconds_data":0.01,"seconds_copy":0.02,"seconds_forward":0.03,"seconds_backward":0.06,"seconds_exposed_comm":0.005,"seconds_optimizer":0.004,"slowest_rank":1,"peak_rss_mib":512.0}
        {"schema":1,"kind":"epoch","epoch":1,"step":4,"images":512,"train_loss":null,"train_top1":0.5,"images_per_second":1000.0,"seconds":3.5,"peak_rss_mib":512.0}
    "#]]
    .assert_eq(&fs::read_to_string(&path).unwrap());
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
    let expected = format!("{}: line 2 is not a JSON object; remove it to continue", path.display());
    assert_eq!(MetricsWriter::resume(&path, 2, None).unwrap_err().to_string(), expected);
    assert_eq!(read_records(&path).unwrap_err().to_string(), expected);
    assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
}

#[test]
fn records_are_read_back_and_an_incomplete_line_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let of_gpu = StepRecord {
        grad_norm: Some(1.0 / 3.0),
        loss_scale: Some(65_536.0),
        peak_device_mib: Some(0.1 + 0.2),
        gpu: GpuFacts { gpu_power_w: Some(412.0), ..GpuFacts::default() },
        ..step(1).step().unwrap()
    };
    let whole = EpochRecord {
        val_loss: Some(0.25),
        val_top1: Some(0.75),
        val_top5: Some(1.0),
        val_raw_top1: Some(1.0 / 3.0),
        ..epoch(2)
    };
    let written = [Record::Step(of_gpu), step(2), Record::Epoch(epoch(1)), Record::Epoch(whole)];
    let mut writer = started(&path, 0);
    written.iter().for_each(|&record| writer.write(record).unwrap());
    for torn in [&b""[..], b"{\"kind\":\"epoch\",\"ep", b"\0\0\0"] {
        fs::write(&path, [&fs::read(&path).unwrap(), torn].concat()).unwrap();
        assert_eq!(read_records(&path).unwrap(), written);
        assert_eq!(last_record(&path), Some(written[3]));
    }
    assert_eq!(written[3].steps_done(), 8);
    let epochs: Vec<_> = read_records(&path).unwrap().into_iter().filter_map(Record::epoch).collect();
    assert_eq!(epochs, [epoch(1), whole]);
}

/// The keys in the tables of a section of docs/metrics.md.
fn documented(section: &str) -> BTreeSet<String> {
    let text = include_str!("../../../docs/metrics.md");
    let start = text.find(section).unwrap_or_else(|| panic!("docs/metrics.md has {section:?}"));
    let rows = text[start..].lines().skip(1).skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| Some(row.strip_prefix("| `")?.split('`').next()?.to_owned())).collect()
}

#[test]
fn every_key_is_documented() {
    let gpu = GpuFacts {
        gpu_utilization: Some(0.5),
        gpu_memory_mib: Some(1.0),
        gpu_power_w: Some(1.0),
        gpu_temperature_c: Some(1.0),
        gpu_clock_mhz: Some(1.0),
    };
    let step = StepRecord {
        bad_images: Some(0),
        grad_norm: Some(1.0),
        loss_scale: Some(1.0),
        peak_device_mib: Some(1.0),
        gpu,
        ..step(1).step().unwrap()
    };
    let epoch = EpochRecord {
        bad_images: Some(0),
        val_loss: Some(1.0),
        val_top1: Some(1.0),
        val_top5: Some(1.0),
        val_raw_top1: Some(1.0),
        ..epoch(1)
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let mut writer = started(&path, 0);
    let both = documented("Both kinds:");
    for (record, section) in [
        (Record::Step(step), "Step records, about the steps since the previous one:"),
        (Record::Epoch(epoch), "Epoch records:"),
    ] {
        writer.write(record).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let keys: BTreeSet<String> = line.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, &documented(section) | &both);
    }
}

/// Lines from before there was a `schema`, with what they had; later fields are NaN or none, as `null` is.
#[test]
fn lines_of_older_versions_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let old = "{\"kind\":\"step\",\"epoch\":1,\"step\":20,\"images\":2560,\"loss\":null,\"lr\":0.1,\"images_per_second\":900.5}\n\
               {\"kind\":\"epoch\",\"epoch\":1,\"step\":469,\"images\":60000,\"train_loss\":0.5,\"val_top1\":0.8,\"later\":1}\n";
    fs::write(&path, old).unwrap();
    let records = read_records(&path).unwrap();
    let step = records[0].step().unwrap();
    assert_eq!((step.step, step.lr, step.images_per_second, step.slowest_rank), (20, 0.1, 900.5, None));
    assert!(step.loss.is_nan() && step.top1.is_nan() && step.seconds_data.is_nan());
    let epoch = records[1].epoch().unwrap();
    assert_eq!((epoch.train_loss, epoch.val_top1, epoch.val_top5), (0.5, Some(0.8), None));
    assert_eq!(last_record(&path).unwrap().steps_done(), 469);
}

#[test]
fn lines_that_are_no_records_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    for (line, expected) in [
        (r#"{"kind":"epoch","step":4,"images":1}"#, "line 1 is not a record: missing field `epoch`"),
        (r#"{"kind":"sum"}"#, "line 1 is not a record: unknown variant `sum`, expected `step` or `epoch`"),
        (
            r#"{"schema":2,"kind":"sum"}"#,
            "line 1 is not a record: schema 2 is of a newer version of regatta; this one reads up to 1",
        ),
    ] {
        fs::write(&path, format!("{line}\n")).unwrap();
        let error = read_records(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// As many as a long run writes.
#[test]
fn a_hundred_thousand_records_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    started(&path, 0).write(step(1)).unwrap();
    let line = fs::read_to_string(&path).unwrap();
    let lines: String =
        (1..=100_000).map(|step| line.replace("\"step\":1,", &format!("\"step\":{step},"))).collect();
    fs::write(&path, lines + "{\"kind\":\"st").unwrap();
    let records = read_records(&path).unwrap();
    assert!(records.iter().zip(1..=100_000).all(|(record, step)| record.steps_done() == step));
    assert_eq!((records.len(), last_record(&path).unwrap().steps_done()), (100_000, 100_000));
}

/// Lines missing since a mark are counted, and lines after it are removed.
#[test]
fn lines_missing_since_a_mark_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let mut writer = started(&path, 0);
    (1..=4).for_each(|number| writer.write(step(number)).unwrap());
    // Of the same step, as an epoch's line and the last step of it.
    let mark = writer.sync().unwrap();
    let marked = fs::metadata(&path).unwrap().len();
    writer.write(Record::Epoch(epoch(1))).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    assert_eq!((mark.lines, mark.bytes), (4, marked));
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
    let loss = check(Some(&first(1)), missing(3), 1);
    assert_eq!(loss.as_deref(), Some("3 of its 4 lines are missing"));
    check(Some(&whole[..first(1).len() + 50]), missing(3), 1);
    check(None, missing(4), 0);
    let other = first(4).replace("\"loss\":0.1", "\"loss\":0.2");
    let loss = check(Some(&other), Some(MetricsLoss::Content(4)), 4);
    assert_eq!(loss.as_deref(), Some("its 4 lines are not those that were written"));
}

#[test]
fn a_mark_is_the_same_after_a_resume() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let mut writer = started(&path, 0);
    (1..=3).for_each(|number| writer.write(step(number)).unwrap());
    let mark = writer.sync().unwrap();
    let mut writer = started(&path, 2);
    writer.write(step(3)).unwrap();
    assert_eq!(writer.sync().unwrap(), mark);
}
