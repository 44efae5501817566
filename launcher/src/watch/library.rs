//! The runs that are served: a run folder, or the run folders in a folder. Names never lead out of it.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use anyhow::Result;
use regatta_report::run::{Document, RunFiles, RunState, Summary};
use regatta_run_folder::RunFolder;

use crate::failure::Usage;

/// When and how large the files of a run were, which tells whether it changed.
pub(super) type Stamp = Vec<(u64, Option<SystemTime>)>;

/// The runs that are served.
#[derive(Debug)]
pub(super) struct Library {
    /// The folder that has the run folders, without links.
    folder: PathBuf,
    /// The only run that is served; none for all of the folder.
    only: Option<String>,
    /// Summaries by name, with the stamps of what they summarise.
    summaries: Mutex<HashMap<String, (Stamp, Summary)>>,
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
        let (folder, only) = match (is_run(&full), name, full.parent()) {
            (true, Some(name), Some(parent)) => (parent.to_owned(), Some(name)),
            _ => (full, None),
        };
        Ok(Self { folder, only, summaries: Mutex::default() })
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

    /// Returns the document of the page of some runs; none if one of them does not exist, or none is named.
    pub(super) fn document(&self, names: &[String]) -> Option<Document> {
        if names.is_empty() {
            return None;
        }
        let files = |name: &String| RunFiles::read(&self.run(name)?).ok();
        Some(Document::of(&names.iter().map(files).collect::<Option<Vec<_>>>()?))
    }

    /// Returns the summaries of all runs, the last changed first.
    pub(super) fn summaries(&self) -> Vec<Summary> {
        let mut stamped: Vec<_> = self.names().into_iter().map(|name| (self.stamp_of(&name), name)).collect();
        stamped.sort_by_key(|(stamp, _)| std::cmp::Reverse(stamp.iter().map(|file| file.1).max()));
        let mut known = self.summaries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut current = HashMap::new();
        let mut summaries = Vec::new();
        for (stamp, name) in stamped {
            let kept = known
                .remove(&name)
                .filter(|(of, summary)| *of == stamp && summary.state != RunState::Running);
            let read = || Some(Summary::of(&RunFiles::read(&self.run(&name)?).ok()?));
            let Some(summary) = kept.map(|(_, summary)| summary).or_else(read) else { continue };
            summaries.push(summary.clone());
            current.insert(name, (stamp, summary));
        }
        *known = current;
        summaries
    }

    /// Returns the stamp of some runs, or of all.
    pub(super) fn stamp(&self, names: &[String]) -> Stamp {
        let all = if names.is_empty() { self.names() } else { names.to_vec() };
        all.iter().flat_map(|name| self.stamp_of(name)).collect()
    }

    fn stamp_of(&self, name: &str) -> Stamp {
        let Some(path) = self.run(name) else { return Vec::new() };
        let folder = RunFolder::new(&path, "");
        let of = |path: &Path| {
            let found = fs::metadata(path).ok();
            (found.as_ref().map_or(0, fs::Metadata::len), found.and_then(|it| it.modified().ok()))
        };
        let mut files = vec![folder.metrics(), folder.config(), folder.evaluations()];
        files.extend(
            fs::read_dir(folder.attempts()).into_iter().flatten().flatten().map(|entry| entry.path()),
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
