//! Fuzz targets: whatever the bytes of a file are, reading it gives images or an error; no panic, no hang, no memory without bound.
//!
//! In `make test` each target reads its seeds (`fuzz/seeds`, written by `fuzz/seeds.py`), the inputs that once broke something
//! (`fuzz/corpus`), and a fixed number of mutations. With REGATTA_FUZZ_SECONDS it goes on for that long with other mutations each
//! time (`make fuzz`, which also limits the memory of the process). An input is in a file before it is read, so it is there even
//! if C code ends the process. An input that breaks something belongs into the corpus.

mod image;
mod mutator;
mod pixels;
mod shards;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use self::mutator::Mutator;

/// The longest time that an input may take when there is time to look.
const SLOW: Duration = Duration::from_secs(10);

/// Most inputs that mutations start from.
const MOST_KEPT: usize = 1000;

/// What is fuzzed.
struct Target {
    /// Name of the folders of its seeds and its corpus.
    name: &'static str,
    /// Words of the format.
    dictionary: &'static [&'static [u8]],
    /// Corrects checksums, without which mutations hardly get anywhere.
    repair: fn(&mut [u8]),
    /// Mutations that `make test` reads.
    mutations: usize,
    /// Reads the file, whose content comes with it, and returns what happened in words. It panics where a promise is broken.
    read: fn(&Path, &[u8]) -> String,
}

/// Reads all inputs on a thread of its own, which this one watches.
fn run(target: Target) {
    let seconds = std::env::var("REGATTA_FUZZ_SECONDS").ok().map(|text| text.parse().expect("seconds"));
    let input = input_path(target.name);
    if seconds.is_some() {
        println!("{}: if the process dies, the input is in {}", target.name, input.display());
    }
    let (name, path) = (target.name, input.clone());
    let (done, outcomes) = mpsc::channel();
    let worker = thread::spawn(move || {
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let outcome = (target.read)(&path, bytes);
            done.send(()).unwrap();
            outcome
        };
        read_all(&target, seconds.map(Duration::from_secs), read)
    });
    let (start, limit) = (Instant::now(), if seconds.is_some() { SLOW } else { Duration::MAX });
    let mut executions = 0_u64;
    loop {
        match outcomes.recv_timeout(limit) {
            Ok(()) => executions += 1,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("{name}: {} takes more than {limit:?}", input.display()),
        }
    }
    let kinds = worker.join().unwrap_or_else(|_| panic!("{name}: {} broke a promise", input.display()));
    let rate = executions as f64 / start.elapsed().as_secs_f64();
    println!("{name}: {executions} inputs, {rate:.0} a second, {} kinds of outcomes", kinds.len());
    let mut kinds: Vec<_> = kinds.into_iter().map(|(kind, count)| (count, kind)).collect();
    kinds.sort_by(|one, other| other.cmp(one));
    kinds
        .iter()
        .take(10)
        .for_each(|(count, kind)| println!("{:6.2} % {kind}", 100.0 * *count as f64 / executions as f64));
    fs::remove_dir_all(input.parent().unwrap()).unwrap();
}

/// A file in a new folder, which stays if something breaks.
fn input_path(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix(&format!("regatta-fuzz-{name}-")).tempdir_in(parent);
    folder.unwrap().keep().join("input")
}

/// Reads seeds, corpus and mutations, and returns how often there was each kind of outcome. An input with an outcome of a new kind
/// is mutated further.
fn read_all(target: &Target, time: Option<Duration>, read: impl Fn(&[u8]) -> String) -> HashMap<String, u64> {
    let start = Instant::now();
    let mut kinds = HashMap::new();
    let mut is_new = |bytes: &[u8]| {
        let count = kinds.entry(kind(&read(bytes))).or_insert(0);
        *count += 1;
        *count == 1
    };
    let mut pool = [files("seeds", target.name), files("corpus", target.name)].concat();
    assert!(!pool.is_empty(), "seeds of {}", target.name);
    pool.iter().for_each(|bytes| _ = is_new(bytes));
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut mutator = Mutator::new(time.map_or(13, |_| clock()), target.dictionary);
    let mut count = 0;
    while time.map_or(count < target.mutations, |time| start.elapsed() < time) {
        let mut bytes = mutator.mutate(&pool);
        if mutator.chance(2) {
            (target.repair)(&mut bytes);
        }
        count += 1;
        if is_new(&bytes) && pool.len() < MOST_KEPT {
            pool.push(bytes);
        }
    }
    kinds
}

/// What outcomes have in common that differ in names and numbers only.
fn kind(outcome: &str) -> String {
    outcome.split(" | ").map(without_names).collect::<Vec<_>>().join(" | ")
}

/// The last cause of an error, with a sign in place of each word that may come from the input.
fn without_names(error: &str) -> String {
    let is_word = |word: &str| word.bytes().all(|letter| letter.is_ascii_alphabetic());
    let cause = error.rsplit(": ").next().unwrap_or_default();
    let words = cause.split(' ').map(|word| if is_word(word) { word } else { "#" });
    words.take(8).collect::<Vec<_>>().join(" ")
}

/// The content of a target's files, in the order of their names.
fn files(kind: &str, target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(kind).join(target);
    // A target that nothing has broken has no corpus.
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn idx() {
    run(pixels::IDX);
}

#[test]
fn cifar() {
    run(pixels::CIFAR);
}

#[test]
fn tar() {
    run(shards::TAR);
}

#[test]
fn image() {
    run(image::IMAGE);
}
