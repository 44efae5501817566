//! Caches the index of an image data set in a file, for as long as what it was built from is unchanged.
//!
//! The file holds the modification time and size of every folder (image folders) or shard (tar shards) that was read. An entry
//! that is damaged, of another version or out of date is built anew. A change within the file system's resolution of time
//! (a few milliseconds on Linux's own file systems) of the previous one cannot be seen.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::fields::{FieldReader, FieldWriter};
use crate::parallel;
use crate::regular_file;

/// The first bytes of a cached index. The digit is the version of the format.
const MAGIC: &[u8; 16] = b"regatta-index-1\n";

/// Where the index comes from that a run uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexOrigin {
    /// Read from this file.
    Cached(PathBuf),
    /// Built, and cached in this file.
    Built(PathBuf),
    /// Built, and not cached: neither beside the data nor in the user's cache folder can a file be written. The reason is the
    /// last attempt's.
    NotCached(String),
}

/// Returns the folder for this user's cached indices: `regatta` in `$XDG_CACHE_HOME`, or in `.cache` of the home folder.
/// `variable` reads an environment variable; relative paths are ignored, as the XDG specification says.
pub fn user_cache_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Some(caches?.join("regatta"))
}

/// Modification time and size of a folder or file, from before it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Below the data's folder, or absolute.
    pub(crate) path: PathBuf,
    /// Seconds and nanoseconds since 1970, and bytes; `None` if it does not exist.
    state: Option<(i64, i64, u64)>,
}

impl Stamp {
    pub(crate) fn of(root: &Path, path: &Path) -> Self {
        let state = fs::metadata(root.join(path)).ok();
        let state = state.map(|found| (found.mtime(), found.mtime_nsec(), found.size()));
        Self { path: path.to_owned(), state }
    }
}

/// The files in which an index may be cached, in the order of preference.
#[derive(Debug)]
pub(crate) struct Cache {
    /// The folder that the stamps' paths are relative to.
    root: PathBuf,
    places: Vec<PathBuf>,
}

impl Cache {
    /// The cache of the index called `name` of the data in `root`: beside the data in `beside`, else in the user's folder.
    pub(crate) fn new(root: &Path, beside: &Path, name: &str, user_folder: Option<&Path>) -> Self {
        let absolute = std::path::absolute(beside).unwrap_or_else(|_| beside.to_owned());
        let key = blake3::hash(absolute.as_os_str().as_bytes()).to_hex();
        let in_user_folder = user_folder.map(|folder| folder.join(format!("{}-{name}.index", &key[..16])));
        let places = std::iter::once(beside.join(format!(".regatta-{name}.index"))).chain(in_user_folder);
        Self { root: root.to_owned(), places: places.collect() }
    }

    /// Returns the first cached index that is valid and that `parse` accepts.
    pub(crate) fn load<T>(&self, parse: impl Fn(&[u8]) -> Option<T>) -> Option<(T, IndexOrigin)> {
        self.places.iter().find_map(|place| {
            let mut file = Vec::new();
            regular_file::open(place).ok()?.read_to_end(&mut file).ok()?;
            let index = parse(self.verify(&file)?)?;
            Some((index, IndexOrigin::Cached(place.clone())))
        })
    }

    /// Returns the index in a cached file, if its hash and all stamps are right.
    fn verify<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        let (hash, content) = file.strip_prefix(MAGIC)?.split_at_checked(blake3::OUT_LEN)?;
        if blake3::hash(content).as_bytes() != hash {
            return None;
        }
        let mut fields = FieldReader(content);
        let index = fields.bytes()?;
        let stamps = read_stamps(&mut fields)?;
        let is_current = |stamp: &Stamp| Stamp::of(&self.root, &stamp.path) == *stamp;
        parallel::map(&stamps, is_current, &mut |_| ()).into_iter().all(|current| current).then_some(index)
    }

    /// Writes the index to the first place that can be written to.
    pub(crate) fn store(&self, index: &[u8], stamps: &[Stamp]) -> IndexOrigin {
        let mut content = FieldWriter::default();
        content.bytes(index);
        write_stamps(&mut content, stamps);
        let hash = blake3::hash(&content.0);
        let mut reason = String::new();
        for place in &self.places {
            match write_atomically(place, &[MAGIC, hash.as_bytes(), &content.0]) {
                Ok(()) => return IndexOrigin::Built(place.clone()),
                Err(error) => reason = format!("{}: {error}", place.display()),
            }
        }
        IndexOrigin::NotCached(reason)
    }
}

fn write_stamps(fields: &mut FieldWriter, stamps: &[Stamp]) {
    fields.u64(stamps.len() as u64);
    for Stamp { path, state } in stamps {
        fields.bytes(path.as_os_str().as_bytes());
        let (seconds, nanoseconds, size) = state.unwrap_or_default();
        fields.u64s(&[u64::from(state.is_some()), seconds as u64, nanoseconds as u64, size]);
    }
}

fn read_stamps(fields: &mut FieldReader) -> Option<Vec<Stamp>> {
    let stamps = (0..fields.u64()?).map(|_| {
        let path = PathBuf::from(OsString::from_vec(fields.bytes()?.to_vec()));
        let [exists, seconds, nanoseconds, size] = fields.u64s()?.try_into().ok()?;
        let state = (exists == 1).then_some((seconds as i64, nanoseconds as i64, size));
        Some(Stamp { path, state })
    });
    let stamps = stamps.collect::<Option<_>>()?;
    fields.end().map(|()| stamps)
}

/// Writes a file under a temporary name in the same folder, which is created if need be, and renames it.
pub(crate) fn write_atomically(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let temporary = temporary_beside(path);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| _ = fs::remove_file(&temporary))
}

/// Returns a hidden name beside `path` that no other process uses.
pub(crate) fn temporary_beside(path: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.trim_start_matches('.');
    path.with_file_name(format!(".{name}.{}-{}.tmp", std::process::id(), now.as_nanos()))
}

/// Removes files under a temporary name of processes that have ended.
pub(crate) fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_running = |process: u32| Path::new("/proc").join(process.to_string()).exists();
        if process_of(&entry.file_name()).is_some_and(|process| !is_running(process)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Returns the process that gave a file its temporary name.
fn process_of(name: &OsStr) -> Option<u32> {
    let name = name.to_str()?.strip_prefix('.')?.strip_suffix(".tmp")?;
    let (process, time) = name.rsplit_once('.')?.1.split_once('-')?;
    time.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    process.parse().ok()
}
