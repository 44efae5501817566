//! Appends events to a file in a run's folder of event files.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use regatta_run_folder::{StorageError, host_name};

use crate::proto::{Event, SessionLog, Summary, Value, What};
use crate::record::framed;

/// The event file of one attempt. Every event is passed to the operating system immediately, in a single write; a reader skips
/// an incomplete one at the end.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// Creates an event file in `folder`, and the folder. Of the events in the files that the folder already has, a reader drops
    /// those of `first_step` and later.
    ///
    /// TensorBoard's own reader does so at the second and each later start of a session
    /// (<https://github.com/tensorflow/tensorboard/blob/2.21.0/tensorboard/backend/event_processing/plugin_event_accumulator.py>),
    /// hence every file begins with one. Its reader in Rust instead drops the events of a tag from the step of a later event on.
    ///
    /// # Errors
    /// If the folder or the file cannot be written.
    pub fn create(folder: &Path, wall_time: SystemTime, first_step: u64) -> Result<Self, StorageError> {
        fs::create_dir_all(folder).map_err(StorageError::io("create the folder", folder))?;
        let path = folder.join(name(wall_time, newest(folder)?));
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = file.map_err(StorageError::io("create", &path))?;
        let mut writer = Self { path, file };
        writer.append(wall_time, 0, What::FileVersion("brain.Event:2".to_owned()))?;
        writer.append(wall_time, first_step, What::SessionLog(SessionLog { status: SessionLog::START }))?;
        Ok(writer)
    }

    /// Appends the values of a step.
    ///
    /// # Errors
    /// If the file cannot be written, for example because the disk is full.
    pub fn write(&mut self, wall_time: SystemTime, step: u64, value: Vec<Value>) -> Result<(), StorageError> {
        self.append(wall_time, step, What::Summary(Summary { value }))
    }

    fn append(&mut self, wall_time: SystemTime, step: u64, what: What) -> Result<(), StorageError> {
        let event = Event { wall_time: seconds(wall_time), step: step as i64, what: Some(what) };
        let record = framed(&event.encode_to_vec());
        self.file.write_all(&record).map_err(StorageError::io("append to", &self.path))
    }
}

/// Returns the seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Returns a name that sorts after those of the files that are there, since readers take the files in that order. `newest` is
/// the second in the last one's name; this host's clock may be behind the one that wrote it.
fn name(wall_time: SystemTime, newest: Option<u64>) -> String {
    let second = (seconds(wall_time) as u64).max(newest.map_or(0, |newest| newest + 1));
    format!("{PREFIX}{second:010}.{}.{}.0", host_name(), std::process::id())
}

const PREFIX: &str = "events.out.tfevents.";

/// Returns the largest second in the names of the event files in a folder.
fn newest(folder: &Path) -> Result<Option<u64>, StorageError> {
    let second = |name: &str| name.strip_prefix(PREFIX)?.split('.').next()?.parse().ok();
    let mut newest = None;
    for entry in fs::read_dir(folder).map_err(StorageError::io("list", folder))? {
        let name = entry.map_err(StorageError::io("list", folder))?.file_name();
        newest = newest.max(name.to_str().and_then(second));
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::value::scalar;

    /// The events of a file.
    fn read(path: &Path) -> Vec<Event> {
        let mut rest = &*fs::read(path).unwrap();
        let mut events = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<8>() {
            let length = u64::from_le_bytes(*length) as usize;
            let message = &after[4..4 + length];
            assert_eq!(framed(message), rest[..length + 16]);
            events.push(Event::decode(message).unwrap());
            rest = &rest[length + 16..];
        }
        events
    }

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn files_begin_with_version_and_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), at(7), 5).unwrap();
        writer.write(at(8), 6, vec![scalar("a/b", 0.5), scalar("c", f64::NAN)]).unwrap();
        let events = read(&writer.path);
        let [version, start, values] = &events[..] else { panic!("{events:?}") };
        assert_eq!(version.what, Some(What::FileVersion("brain.Event:2".to_owned())));
        assert_eq!((start.wall_time, start.step), (7.0, 5));
        assert_eq!(start.what, Some(What::SessionLog(SessionLog { status: 1 })));
        assert_eq!((values.wall_time, values.step), (8.0, 6));
        let Some(What::Summary(summary)) = &values.what else { panic!("{values:?}") };
        assert_eq!(summary.value[0], scalar("a/b", 0.5));
    }

    #[test]
    fn files_sort_in_the_order_of_their_attempts() {
        let folder = tempfile::tempdir().unwrap();
        let mut names = Vec::new();
        for second in [1_700_000_000, 1_700_000_000, 1_600_000_000] {
            let writer = EventWriter::create(folder.path(), at(second), 1).unwrap();
            let name = writer.path.file_name().unwrap().to_str().unwrap().to_owned();
            names.push(name[..PREFIX.len() + 11].to_owned());
        }
        expect_test::expect![[r#"
            [
                "events.out.tfevents.1700000000.",
                "events.out.tfevents.1700000001.",
                "events.out.tfevents.1700000002.",
            ]
        "#]]
        .assert_debug_eq(&names);
    }

    #[test]
    fn a_full_disk_is_named() {
        let path = PathBuf::from("/dev/full");
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        let mut writer = EventWriter { path, file };
        let error = writer.write(at(1), 1, vec![scalar("a", 1.0)]).unwrap_err();
        assert_eq!(
            regatta_run_folder::describe(&error),
            "cannot append to /dev/full: No space left on device (os error 28)"
        );
    }
}
