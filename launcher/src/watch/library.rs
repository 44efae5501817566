//! The runs that are served: a run folder, or the run folders in a folder. Names never lead out of it.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use regatta_report::run::{Document, RunFiles, RunState, Summary};
use regatta_run_folder::RunFolder;

use crate::failure::Usage;

/// A number that changes with the files and the states of runs. It means nothing to another process.
pub(super) type Version = u64;

/// When and how large the files of a run were, which tells whether it changed.
type Stamp = Vec<(u64, Option<SystemTime>)>;

/// Interval at which a running run is read again although its files did not change, since a run that is killed changes no file.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Number of documents that are kept for further connections.
const MOST_DOCUMENTS: usize = 8;

/// The runs that are served.
#[derive(Debug)]
pub(super) struct Library {
    /// The folder that has the run folders, without links.
    folder: PathBuf,
    /// The only run that is served; none for all of the folder.
    only: Option<String>,
    /// What was read last, by the runs' names.
    known: Mutex<HashMap<String, Known>>,
    /// The newest documents, the last read first.
    documents: Mutex<Vec<Shown>>,
}

/// A document with the names of its runs and its version.
type Shown = (Vec<String>, Version, Arc<Document>);

/// A run as it was read.
#[derive(Clone, Debug)]
struct Known {
    stamp: Stamp,
    summary: Summary,
    read_at: Instant,
}

impl Library {
    /// Opens a run folder, or a folder of run folders, which may still be empty.
    ///
    /// # Errors
    /// If it is no folder.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let full = fs::canonicalize(path).ok().filter(|full| full.is_dir()).ok_or_else(|| {
            Usage(format!(
                "{} is not a folder: give a run folder, such as runs/regnetx, or a folder of them",
                path.display()
            ))
        })?;
        let name = full.file_name().map(|name| name.to_string_lossy().into_owned());
        let is_or_becomes_run = is_run(&full) || RunFolder::new(&full, "").plan().is_file();
        let (folder, only) = match (is_or_becomes_run, name, full.parent()) {
            (true, Some(name), Some(parent)) => (parent.to_owned(), Some(name)),
            _ => (full, None),
        };
        Ok(Self { folder, only, known: Mutex::default(), documents: Mutex::default() })
    }

    /// The name of the only run that is served, if it is one.
    pub(super) fn only_run(&self) -> Option<&str> {
        self.only.as_deref()
    }

    /// The title of the index.
    pub(super) fn title(&self) -> String {
        format!("Runs in {}", self.folder.display())
    }

    /// Whether all of these are names of runs.
    pub(super) fn has(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.run(name).is_some())
    }

    /// Returns the document of the page of some runs, with its version; none if one of them does not exist, or none is named.
    /// Connections to the same page share it.
    pub(super) fn document(&self, names: &[String]) -> Option<(Arc<Document>, Version)> {
        if names.is_empty() {
            return None;
        }
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let (stamps, read_at) = (self.stamps(names), Instant::now());
        let current = self.version_of(names, &stamps);
        let kept = documents.iter().find(|(of, version, _)| of == names && *version == current);
        if let Some((_, version, document)) = kept {
            return Some((document.clone(), *version));
        }
        let files: Vec<RunFiles> = names.iter().map(|name| self.files(name)).collect::<Option<_>>()?;
        let document = Arc::new(Document::of(&files));
        let known = names.iter().zip(stamps).zip(&document.runs).map(|((name, stamp), run)| {
            let known = Known { stamp, summary: run.summary.clone(), read_at };
            self.all_known().insert(name.clone(), known.clone());
            (name, known)
        });
        let known: Vec<(&String, Known)> = known.collect();
        let version = version(known.iter().map(|(name, run)| (*name, &run.stamp, Some(run.summary.state))));
        documents.retain(|(of, ..)| of != names);
        documents.truncate(MOST_DOCUMENTS - 1);
        documents.insert(0, (names.to_vec(), version, document.clone()));
        Some((document, version))
    }

    /// Returns the version that a page of some runs would have now.
    pub(super) fn version(&self, names: &[String]) -> Version {
        self.version_of(names, &self.stamps(names))
    }

    fn stamps(&self, names: &[String]) -> Vec<Stamp> {
        names.iter().map(|name| self.stamp_of(name)).collect()
    }

    fn version_of(&self, names: &[String], stamps: &[Stamp]) -> Version {
        // The state of a run that changed is not yet known, and the stamp says that it changed.
        let state = |(name, stamp): (&String, &Stamp)| self.known(name, stamp).map(|run| run.summary.state);
        let states: Vec<Option<RunState>> = names.iter().zip(stamps).map(state).collect();
        version(names.iter().zip(stamps).zip(states).map(|((name, stamp), state)| (name, stamp, state)))
    }

    /// Returns the summaries of all runs, the last changed first, with the version of their index.
    pub(super) fn index(&self) -> (Vec<Summary>, Version) {
        let run = |name: String| {
            let known = self.known(&name, &self.stamp_of(&name)).or_else(|| self.read(&name))?;
            Some((name, known))
        };
        let mut runs: Vec<(String, Known)> = self.names().into_iter().filter_map(run).collect();
        runs.sort_by_key(|(_, run)| std::cmp::Reverse(run.stamp.iter().map(|file| file.1).max()));
        let version = version(runs.iter().map(|(name, run)| (name, &run.stamp, Some(run.summary.state))));
        (runs.into_iter().map(|(_, run)| run.summary).collect(), version)
    }

    /// Returns what is known of a run with this stamp. One that was running is read again after a while, since it may have been killed.
    fn known(&self, name: &str, stamp: &Stamp) -> Option<Known> {
        let run = self.all_known().get(name).filter(|run| run.stamp == *stamp)?.clone();
        match run.summary.state == RunState::Running && run.read_at.elapsed() > LOOK_AGAIN {
            true => self.read(name),
            false => Some(run),
        }
    }

    /// Reads and summarises a run.
    fn read(&self, name: &str) -> Option<Known> {
        let (stamp, read_at) = (self.stamp_of(name), Instant::now());
        let run = Known { stamp, summary: Summary::of(&self.files(name)?), read_at };
        self.all_known().insert(name.to_owned(), run.clone());
        Some(run)
    }

    fn files(&self, name: &str) -> Option<RunFiles> {
        RunFiles::read(&self.run(name)?).ok()
    }

    fn all_known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stamp_of(&self, name: &str) -> Stamp {
        let Some(path) = self.run(name) else { return Vec::new() };
        let folder = RunFolder::new(&path, "");
        let of = |path: &Path| {
            let found = fs::metadata(path).ok();
            (found.as_ref().map_or(0, fs::Metadata::len), found.and_then(|it| it.modified().ok()))
        };
        let within =
            |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files = vec![folder.metrics(), folder.config(), folder.plan(), folder.evaluations()];
        files.extend(within(folder.attempts()));
        files.extend(
            within(folder.ranks()).filter(|path| path.extension().is_some_and(|ending| ending == "error")),
        );
        files.sort_unstable();
        files.iter().map(|path| of(path)).collect()
    }

    /// Returns the names of all runs.
    fn names(&self) -> Vec<String> {
        if let Some(only) = &self.only {
            return vec![only.clone()];
        }
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| self.run(name).is_some()).collect()
    }

    /// Returns the folder of a run; none if the name is not that of a run in the folder. Neither a name such as `..` nor a link leads
    /// out of the folder.
    fn run(&self, name: &str) -> Option<PathBuf> {
        let is_one_name = matches!(Path::new(name).components().collect::<Vec<_>>()[..], [Component::Normal(part)] if part == name);
        if !is_one_name || self.only.as_deref().is_some_and(|only| only != name) {
            return None;
        }
        let path = fs::canonicalize(self.folder.join(name)).ok()?;
        (path.parent() == Some(&self.folder) && is_run(&path)).then_some(path)
    }
}

/// Returns the version of runs with these stamps and states.
fn version<'a>(runs: impl Iterator<Item = (&'a String, &'a Stamp, Option<RunState>)>) -> Version {
    let mut hasher = DefaultHasher::new();
    runs.for_each(|(name, stamp, state)| (name, stamp, state.map(RunState::word)).hash(&mut hasher));
    hasher.finish()
}

fn is_run(path: &Path) -> bool {
    RunFolder::new(path, "").attempts().is_dir()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names_do_not_leave_the_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let runs = temporary.path().join("runs");
        for run in ["runs/a", "runs/b", "secret"] {
            fs::create_dir_all(temporary.path().join(run).join("attempts")).unwrap();
        }
        symlink(temporary.path().join("secret"), runs.join("link")).unwrap();
        fs::create_dir(runs.join("no_run")).unwrap();
        let library = Library::open(&runs).unwrap();
        let mut names = library.names();
        names.sort_unstable();
        assert_eq!(names, ["a", "b"]);
        for name in ["..", "../secret", "link", "no_run", "", ".", "a/", "./a", "a/../b", "/etc", "a\0"] {
            assert_eq!(library.run(name), None, "{name:?}");
        }
        let one = Library::open(&runs.join("a")).unwrap();
        assert_eq!((one.only_run(), one.names()), (Some("a"), vec!["a".to_owned()]));
        assert_eq!(one.run("b"), None);
    }
}
