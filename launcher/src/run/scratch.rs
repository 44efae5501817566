//! Temporary folders of one job for Open MPI's shared memory and session files, removed with the job however it ends.
//! In Open MPI's default folders under /dev/shm and /tmp, files of killed jobs are never removed.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use regatta_ledger::LOCAL_MEMORY;

use super::command_line::Job;
use super::mpi::Kind;

/// Open MPI's settings for the folders of shared memory segments and of session files.
const SEGMENTS: &str = "OMPI_MCA_btl_vader_backing_directory";
const SESSION: &str = "OMPI_MCA_orte_tmpdir_base";

/// Prefix of the folders' names.
const PREFIX: &str = "regatta-mpi-";

/// Folders that are removed with their contents on drop.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    folders: Vec<(&'static str, LockedFolder)>,
}

/// A folder with a lock that is held as long as its launcher lives.
#[derive(Debug)]
struct LockedFolder {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Creates the folders for an Open MPI job whose ranks are all on this host. Settings of the user take precedence; folders that
    /// cannot be created are left to Open MPI.
    pub(crate) fn of(job: &Job) -> Self {
        if job.starter.kind != Kind::OpenMpi4 || !job.is_on_this_host() {
            return Self::default();
        }
        let places = [(SEGMENTS, PathBuf::from(LOCAL_MEMORY)), (SESSION, std::env::temp_dir())];
        let is_free = |name: &str| std::env::var_os(name).is_none();
        let made = places.into_iter().filter(|(name, _)| is_free(name));
        Self { folders: made.filter_map(|(name, place)| Some((name, create_in(&place)?))).collect() }
    }

    /// Environment variables that point Open MPI to the folders.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.folders.iter().map(|(name, folder)| (*name, folder.path.display().to_string()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for (_, folder) in &self.folders {
            // A leftover folder must not fail the run.
            _ = fs::remove_dir_all(&folder.path);
        }
    }
}

/// Creates a locked folder named after this process, accessible to this user only.
fn create_in(place: &Path) -> Option<LockedFolder> {
    remove_abandoned(place);
    let named = |attempt: u32| place.join(format!("{PREFIX}{}-{attempt}", std::process::id()));
    // Containers that share the place may have the same process numbers: then take the next name.
    (0..100).map(named).find_map(|path| {
        DirBuilder::new().mode(0o700).create(&path).ok()?;
        let lock = File::open(&path).ok()?;
        lock.lock().ok()?;
        // Another launcher may have removed it as abandoned before it was locked.
        path.is_dir().then_some(LockedFolder { path, _lock: lock })
    })
}

/// Removes the folders of killed launchers, whose locks are free. Those of other users cannot be opened.
fn remove_abandoned(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if is_ours && File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok()) {
            _ = fs::remove_dir_all(entry.path());
        }
    }
}
