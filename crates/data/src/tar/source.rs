//! The images of tar shards as a source: each fetch is one read at a known place.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::index::{Place, ShardIndex};
use super::open_files::OpenShards;
use crate::error::DataError;
use crate::source::{Encoding, Source, names_if_any};

/// One split of a data set in tar shards (WebDataset).
#[derive(Debug)]
pub struct TarShards {
    index: ShardIndex,
    shards: OpenShards,
}

impl TarShards {
    /// Combines shards with their index. The shards may be copies (see [`stage`](crate::stage)) of those that it was built from;
    /// one whose size differs is refused when an image of it is fetched.
    ///
    /// # Panics
    /// If there are more or fewer shards than in the index.
    pub fn new(shards: Vec<PathBuf>, index: ShardIndex) -> Self {
        assert_eq!(shards.len(), index.shards(), "the shards of the index");
        Self { shards: OpenShards::new(shards, index.shard_lengths().to_vec()), index }
    }

    /// Returns its index.
    pub fn index(&self) -> &ShardIndex {
        &self.index
    }

    /// Returns the paths of the shards.
    pub fn shards(&self) -> &[PathBuf] {
        self.shards.paths()
    }
}

impl Source for TarShards {
    fn len(&self) -> usize {
        self.index.len()
    }

    fn classes(&self) -> usize {
        self.index.classes()
    }

    fn class_names(&self) -> Option<&[String]> {
        names_if_any(self.index.class_names())
    }

    fn name(&self, index: usize) -> String {
        let shard = &self.shards.paths()[self.index.place(index).shard];
        format!("{}: {}", shard.display(), self.index.member(index).display())
    }

    fn encoding(&self) -> Encoding {
        Encoding::Compressed
    }

    fn fetch(&self, index: usize, stored: &mut Vec<u8>) -> Result<i64, DataError> {
        let Place { shard, offset, length } = self.index.place(index);
        let file = self.shards.get(shard)?;
        // Only a longer image than any before it fills new memory with zeros.
        stored.resize(length as usize, 0);
        let failed = |source| DataError::Read { path: self.shards.paths()[shard].clone(), source };
        file.read_exact_at(stored, offset).map_err(failed)?;
        Ok(self.index.label(index) as i64)
    }
}
