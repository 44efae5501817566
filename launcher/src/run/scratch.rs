//! Folders of one job's own in which Open MPI keeps what its ranks on this host share: gone with the job, however it ended.
//! In those that it takes by itself, under /dev/shm and /tmp, the leftovers of killed jobs stay for good.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use regatta_ledger::LOCAL_MEMORY;

use super::command_line::Job;
use super::mpi::Kind;

/// Open MPI's settings: where segments of shared memory lie, and where the files of a job.
const SEGMENTS: &str = "OMPI_MCA_btl_vader_backing_directory";
const SESSION: &str = "OMPI_MCA_orte_tmpdir_base";

/// What the names of such folders start with.
const PREFIX: &str = "regatta-mpi-";

/// Folders that are removed with what is in them when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    folders: Vec<(&'static str, Held)>,
}

/// A folder, locked while its launcher lives.
#[derive(Debug)]
struct Held {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// For a job of Open MPI's that is all on this host. What the user has set stays, and what cannot be made is left to Open MPI.
    pub(crate) fn of(job: &Job) -> Self {
        if job.starter.kind != Kind::OpenMpi4 || !job.is_on_this_host() {
            return Self::default();
        }
        let places = [(SEGMENTS, PathBuf::from(LOCAL_MEMORY)), (SESSION, std::env::temp_dir())];
        let is_free = |name: &str| std::env::var_os(name).is_none();
        let made = places.into_iter().filter(|(name, _)| is_free(name));
        Self { folders: made.filter_map(|(name, place)| Some((name, make_in(&place)?))).collect() }
    }

    /// What tells Open MPI.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.folders.iter().map(|(name, folder)| (*name, folder.path.display().to_string()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for (_, folder) in &self.folders {
            // What cannot be removed is no reason to fail a run.
            _ = fs::remove_dir_all(&folder.path);
        }
    }
}

/// A folder with this process's number in its name, for nobody else.
fn make_in(place: &Path) -> Option<Held> {
    remove_abandoned(place);
    let named = |attempt: u32| place.join(format!("{PREFIX}{}-{attempt}", std::process::id()));
    // Process numbers repeat between containers that share the place: then the next name.
    (0..100).map(named).find_map(|path| {
        DirBuilder::new().mode(0o700).create(&path).ok()?;
        let lock = File::open(&path).ok()?;
        lock.lock().ok()?;
        // Another launcher may have taken it for abandoned before it was locked.
        path.is_dir().then_some(Held { path, _lock: lock })
    })
}

/// Removes the folders of launchers that were killed: nobody holds their locks. Those of other users cannot be opened.
fn remove_abandoned(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if is_ours && File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok()) {
            _ = fs::remove_dir_all(entry.path());
        }
    }
}
