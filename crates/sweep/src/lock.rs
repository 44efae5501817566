//! The lock that serialises changes of claims and results among all launchers of a sweep.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use regatta_run_folder::StorageError;
use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, flock, futimens};

/// Longest wait for another launcher, which holds the lock for milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// The lock, held until it is dropped or its process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    now: SystemTime,
}

impl Lock {
    /// Waits for the lock of the file `path`, which is created if needed.
    ///
    /// # Errors
    /// If the file cannot be created or locked, or another process holds the lock for a minute.
    pub fn acquire(path: &Path) -> Result<Self, StorageError> {
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = open.map_err(StorageError::io("open", path))?;
        let begun = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR)
                    if begun.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(POLL);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let found = "another launcher has held this lock for a minute; is it stopped (Ctrl-Z)?"
                        .to_owned();
                    return Err(StorageError::Content { path: path.to_owned(), found });
                }
                Err(error) => return Err(StorageError::io("lock", path)(error.into())),
            }
        }
        let now = touch(&file).map_err(StorageError::io("touch", path))?;
        Ok(Self { _file: file, now })
    }

    /// Returns the file system's time when the lock was taken, which may differ from this host's.
    pub fn now(&self) -> SystemTime {
        self.now
    }
}

/// Sets a file's time to the file system's present time and returns it. Needs no room on the disk.
pub(crate) fn touch(file: &File) -> io::Result<SystemTime> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    futimens(file, &Timestamps { last_access: now, last_modification: now })?;
    file.metadata()?.modified()
}
