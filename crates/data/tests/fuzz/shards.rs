//! The target of tar shards: the index of a shard, of ILSVRC's archive of archives, and of bytes from another rank.

use std::fs;
use std::path::Path;

use regatta_data::{DataError, FolderIndex, IndexOrigin, ShardIndex, TarShards};

use super::Target;
use super::pixels::{describe, fetch_all};
use crate::folder::QUIET;
use crate::tar_bytes::seal;

pub(super) const TAR: Target = Target {
    name: "tar",
    dictionary: &[
        b"../",
        b"/",
        b"ustar\x0000",
        b"ustar  \0",
        b"00000000001\0",
        b"77777777777\0",
        b"\x80\0\0\0\0\0\0\0\0\0\x02\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"11 size=10\n",
        b"30 size=18446744073709551615\n",
        b"15 path=a.jpg\n",
        b"21 GNU.sparse.major=1\n",
        b".jpg",
        b".cls",
        b".json",
        b".tar",
        b"{\"label\": 999999}",
        b"999999",
        b"L",
        b"K",
        b"x",
        b"g",
        b"5",
    ],
    repair: seal_headers,
    mutations: 8000,
    read: |input, bytes| {
        let shards = [input.to_owned()];
        let built = [ShardIndex::train(&shards, &QUIET), ShardIndex::archive_of_classes(input, &QUIET)];
        let outcomes = built.map(|index| index_outcome(input, index));
        if let Ok(index) = ShardIndex::from_bytes(bytes) {
            assert_eq!(index.to_bytes(), bytes);
        }
        _ = FolderIndex::from_bytes(bytes);
        outcomes.join(" | ")
    },
};

/// Fetches the images of an index, and removes its cache.
fn index_outcome(shard: &Path, built: Result<(ShardIndex, IndexOrigin), DataError>) -> String {
    let (index, origin) = match built {
        Ok(built) => built,
        Err(error) => return describe(&error),
    };
    let IndexOrigin::Built(cache) = origin else { panic!("an index from elsewhere: {origin:?}") };
    fs::remove_file(cache).unwrap();
    assert_eq!(ShardIndex::from_bytes(&index.to_bytes()).unwrap().to_bytes(), index.to_bytes());
    let source = TarShards::new(vec![shard.to_owned()], index);
    let images = fetch_all(&source, &mut Vec::new()).unwrap();
    assert_eq!(source.index().images_of(0).len(), images);
    format!("{images} images")
}

/// Corrects the checksum of every block that looks like a header.
fn seal_headers(shard: &mut [u8]) {
    for block in shard.chunks_exact_mut(512).filter(|block| block[257..].starts_with(b"ustar")) {
        seal(block);
    }
}
