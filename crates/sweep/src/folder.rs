//! The paths of a sweep's folder.

use std::path::{Path, PathBuf};

use regatta_run_folder::RunFolder;

/// The folder of a sweep. It can be moved, and without `runs` and `logs` it is small enough to be kept in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepFolder {
    path: PathBuf,
}

impl SweepFolder {
    /// Returns the folder at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the sweep.
    pub fn name(&self) -> String {
        self.path.file_name().map_or_else(|| "sweep".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// A copy of the sweep file; [`recipe`](Self::recipe) is a copy of the recipe that it names.
    pub fn file(&self) -> PathBuf {
        self.path.join("sweep.toml")
    }

    /// The recipe that all networks share.
    pub fn recipe(&self) -> PathBuf {
        self.path.join("recipe.toml")
    }

    /// One line a result.
    pub fn results(&self) -> PathBuf {
        self.path.join("results.jsonl")
    }

    /// The file whose lock serialises claims and results.
    pub fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// The folder of claims: who trains what at the moment.
    pub fn claims(&self) -> PathBuf {
        self.path.join("claims")
    }

    /// The claim of a trial.
    pub fn claim(&self, id: &str) -> PathBuf {
        self.claims().join(id)
    }

    /// The folder of the run folders.
    pub fn runs(&self) -> PathBuf {
        self.path.join("runs")
    }

    /// The run folder of a trial.
    pub fn run(&self, id: &str) -> RunFolder {
        RunFolder::new(self.runs(), id)
    }

    /// The folder of the launchers' output.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// What the launcher of a trial's run printed.
    pub fn log(&self, id: &str) -> PathBuf {
        self.logs().join(format!("{id}.log"))
    }
}
