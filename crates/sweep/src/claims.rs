//! Claims: which launcher trains which trial, so that several launchers on one sweep do not do the same work.
//!
//! A claim is a lease. Its owner renews it; one that was not renewed for [`LEASE`] may be taken over, and at once if its owner was a
//! process of this host that has ended. Claims are changed only by a process that holds the sweep's [`Lock`].

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Duration;

use regatta_run_folder::{StorageError, host_name, write_unsynced};
use serde::{Deserialize, Serialize};

use crate::folder::SweepFolder;
use crate::lock::{Lock, touch};

/// Time after which a claim that is not renewed may be taken over.
pub const LEASE: Duration = Duration::from_secs(90);
/// Interval at which an owner renews its claims.
pub const RENEWAL: Duration = Duration::from_secs(15);

/// A process that trains networks: a launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Name of its host.
    pub host: String,
    /// Its process id on that host.
    pub process_id: u32,
    /// What else tells it apart from every other process, now and after a restart of the host.
    token: String,
}

/// A claim of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The trial's name.
    pub id: String,
    /// Epochs that it is trained to.
    pub epochs: u64,
    /// Who trains it.
    pub owner: Owner,
}

impl Owner {
    /// Returns this process.
    pub fn here() -> Self {
        Self::of_process(std::process::id())
    }

    /// Returns a process of this host.
    pub fn of_process(process_id: u32) -> Self {
        Self { host: host_name(), process_id, token: token(process_id).unwrap_or_default() }
    }

    /// Returns whether this is known to be a process of this host that has ended.
    fn has_ended(&self) -> bool {
        let Some((place, _)) = self.token.rsplit_once(' ') else { return false };
        place == here() && token(self.process_id).as_ref() != Some(&self.token)
    }
}

/// Returns the boot of this host and the space of its process ids, within which a process id and its time of start are unique.
fn here() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim(), space.display())
}

/// Returns what tells a process of this host apart, if it exists and has not ended: [`here`] and the time of its start.
fn token(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name is in parentheses and may contain any character. The state comes next, the start is field 22.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?;
    (!matches!(state, "Z" | "X")).then(|| format!("{} {start}", here()))
}

/// Returns the claims that are in force. Those of owners that are gone are left out.
///
/// # Errors
/// If the folder of claims cannot be read.
pub fn in_force(folder: &SweepFolder, lock: &Lock) -> Result<Vec<Claim>, StorageError> {
    let claims = folder.claims();
    let mut found = Vec::new();
    for entry in fs::read_dir(&claims).map_err(StorageError::io("list", &claims))? {
        let path = entry.map_err(StorageError::io("list", &claims))?.path();
        // A claim cut short by a crash is none; one that was just removed, neither.
        let Some(claim) = read(&path) else { continue };
        let renewed = fs::metadata(&path).and_then(|it| it.modified());
        let age =
            renewed.ok().and_then(|renewed| lock.now().duration_since(renewed).ok()).unwrap_or_default();
        if age < LEASE && !claim.owner.has_ended() {
            found.push(claim);
        }
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

/// Claims a trial that is not in force, with an empty or a former claim replaced.
///
/// # Errors
/// If the claim cannot be written.
pub fn take(folder: &SweepFolder, claim: &Claim, _lock: &Lock) -> Result<(), StorageError> {
    let bytes = serde_json::to_vec(claim).expect("strings and numbers always have a JSON form");
    write_unsynced(&folder.claim(&claim.id), &bytes)
}

/// Renews a claim. Returns whether it still is this owner's; if not, its work must be given up.
///
/// # Errors
/// If the claim exists and cannot be renewed.
pub fn renew(folder: &SweepFolder, claim: &Claim) -> Result<bool, StorageError> {
    let path = folder.claim(&claim.id);
    if read(&path).as_ref() != Some(claim) {
        return Ok(false);
    }
    match OpenOptions::new().write(true).open(&path).and_then(|file: File| touch(&file)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        outcome => outcome.map(|_| true).map_err(StorageError::io("renew", &path)),
    }
}

/// Gives a claim back, if it still is this owner's.
///
/// # Errors
/// If it cannot be removed.
pub fn give_back(folder: &SweepFolder, claim: &Claim, _lock: &Lock) -> Result<(), StorageError> {
    let path = folder.claim(&claim.id);
    match read(&path).as_ref() == Some(claim) {
        true => fs::remove_file(&path).map_err(StorageError::io("remove", &path)),
        false => Ok(()),
    }
}

/// Returns whether a claim still is this owner's.
pub fn is_held(folder: &SweepFolder, claim: &Claim) -> bool {
    read(&folder.claim(&claim.id)).as_ref() == Some(claim)
}

fn read(path: &Path) -> Option<Claim> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
