//! Keeps a bounded number of shards open.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::{ShardFault, TarError};
use crate::error::DataError;

/// Most shards of a source that are open at a time. A process may have 1,024 open files by default, and training and validation
/// shards are two sources.
const MOST_OPEN: usize = 256;

/// The shards of a set, opened when they are read. Beyond [`MOST_OPEN`] the one that was opened first is closed.
#[derive(Debug)]
pub(super) struct OpenShards {
    paths: Vec<PathBuf>,
    lengths: Vec<u64>,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    files: Vec<Option<Arc<File>>>,
    /// The open shards in the order in which they were opened.
    order: VecDeque<usize>,
}

impl OpenShards {
    pub(super) fn new(paths: Vec<PathBuf>, lengths: Vec<u64>) -> Self {
        let table = Table { files: vec![None; paths.len()], order: VecDeque::new() };
        Self { paths, lengths, table: Mutex::new(table) }
    }

    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Returns a shard's file, which stays open for as long as the caller holds it.
    pub(super) fn get(&self, shard: usize) -> Result<Arc<File>, DataError> {
        if let Some(file) = &self.table().files[shard] {
            return Ok(Arc::clone(file));
        }
        // Opened without the lock: another thread may do the same, and the table keeps one of the two.
        let file = Arc::new(open(&self.paths[shard], self.lengths[shard])?);
        Ok(self.table().insert(shard, file))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing in between leaves the table invalid.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn insert(&mut self, shard: usize, file: Arc<File>) -> Arc<File> {
        if let Some(open) = &self.files[shard] {
            return Arc::clone(open);
        }
        if self.order.len() >= MOST_OPEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.files[oldest] = None;
        }
        self.order.push_back(shard);
        self.files[shard] = Some(Arc::clone(&file));
        file
    }
}

fn open(path: &Path, expected: u64) -> Result<File, DataError> {
    let failed = |source| DataError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?.len();
    match found == expected {
        true => Ok(file),
        false => {
            let fault = ShardFault::Changed { expected, found };
            Err(TarError::Shard { shard: path.to_owned(), fault }.into())
        }
    }
}
