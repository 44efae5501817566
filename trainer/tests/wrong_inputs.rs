//! Invalid inputs that need processes: endless files, variables that are not UTF-8, ranks, numbers that would become huge
//! allocations. `wrong_inputs.txt` lists the exit code and the first line of each error; nothing may be written to disk.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::expect_file;
use test_jobs::{Job, TINY, Workdir};

/// Arguments of `trainer`, preceded by variables and a number of ranks.
const INPUTS: &[&str] = &[
    "--config nowhere.toml",
    "--config .",
    "--config /dev/zero",
    "--config /dev/full",
    "--config fifo.toml",
    "--config socket.toml",
    "--config zeros.toml",
    "--config large.toml",
    "--config empty.toml",
    "--config latin1.toml",
    "--config ...toml",
    "--config ..toml",
    "--config recipe.toml optim.lr=0.1",
    "--config recipe.toml --name ..",
    "--config recipe.toml --resume nowhere",
    "--config recipe.toml --resume recipe.toml",
    "--config recipe.toml --resume folder",
    "--config recipe.toml --set data.synthetic_train_images=1000000000000",
    "--config recipe.toml --set data.synthetic_train_images=9000000000000000000",
    "--config recipe.toml --set data.synthetic_classes=1000000000",
    "--config recipe.toml --set data.resolution_px=65536",
    "--config recipe.toml --set data.dataset=mnist",
    "--config mnist.toml --set data.folder=nowhere",
    "--config mnist.toml --set data.folder=folder",
    "--config recipe.toml --set run.folder=recipe.toml",
    "--config recipe.toml --set run.folder=/dev/null",
    "--config recipe.toml --set run.folder=/proc",
    "RANK=0 WORLD_SIZE=4 --config recipe.toml",
    "LATIN1 --config recipe.toml",
    "SLURM_STEP_NUM_TASKS=2 --config recipe.toml",
    "ranks=2 --config recipe.toml --debug",
    "ranks=2 --config recipe.toml --set comm.backend=single",
    "ranks=4 --config recipe.toml",
    "ranks=2 --config fifo.toml",
    "ranks=2 --config recipe.toml --set data.synthetic_train_images=1000000000000",
    "recipe --config fifo.toml",
    "recipe --config recipe.toml --set train.epochs=-1",
    "summary --config /dev/zero",
    "summary --config recipe.toml --set model.arch=regnetx_401mf",
    "export --checkpoint recipe.toml --out out",
    "export --checkpoint folder --out out",
    "export --checkpoint folder --out recipe.toml",
    "export --checkpoint folder --out /dev/full --force",
    "probe --config fifo.toml",
];

/// Sets a variable to bytes that are not UTF-8.
const LATIN1: [&str; 4] = ["sh", "-c", "REGATTA__RUN__FOLDER=$(printf 'caf\\351') exec \"$@\"", "sh"];

#[test]
fn every_invalid_input_ends_with_its_exit_code_and_writes_nothing() {
    let workdir = Workdir::new(TINY);
    let folder = workdir.path();
    let _socket = prepare(folder);
    let before = entries(folder);
    let mut table = String::new();
    for input in INPUTS {
        let ended = job(&workdir, input).start().wait();
        let code = ended.code.unwrap_or_else(|| panic!("{input}: {ended}"));
        let first = ended.stderr.lines().find(|line| line.contains("error: ")).unwrap_or_default();
        writeln!(table, "{input}\n    {code} {first}").unwrap();
        assert!(ended.left.is_empty() && !ended.stderr.contains("panicked"), "{input}: {ended}");
        assert_eq!(entries(folder), before, "{input}: {ended}");
    }
    expect_file!["wrong_inputs.txt"].assert_eq(&table);
}

fn job<'a>(workdir: &'a Workdir, input: &str) -> Job<'a> {
    let words: Vec<&str> = input.split(' ').collect();
    let is_ahead = |word: &&str| word.starts_with("ranks=") || word.starts_with(char::is_uppercase);
    let (ahead, arguments) = words.split_at(words.iter().position(|word| !is_ahead(word)).unwrap());
    ahead.iter().fold(workdir.trainer(arguments), |job, word| match word.split_once('=') {
        Some(("ranks", number)) => job.ranks(number.parse().unwrap()),
        Some((name, value)) => job.variable(name, value),
        None => job.under(&LATIN1),
    })
}

/// Creates the files that the inputs name. The socket exists for as long as the listener does.
fn prepare(folder: &Path) -> UnixListener {
    let write = |name: &str, text: &[u8]| fs::write(folder.join(name), text).unwrap();
    write("large.toml", "#".repeat((1 << 20) + 1).as_bytes());
    write("empty.toml", b"");
    write("latin1.toml", &[TINY.as_bytes(), b"# caf\xe9\n"].concat());
    write("...toml", TINY.as_bytes());
    write("..toml", TINY.as_bytes());
    let (model, rest) = TINY.split_once("[data]").unwrap();
    let (_, rest) = rest.split_once("[train]").unwrap();
    write("mnist.toml", format!("{model}[data]\ndataset = \"mnist\"\n[train]{rest}").as_bytes());
    symlink("/dev/zero", folder.join("zeros.toml")).unwrap();
    fs::create_dir(folder.join("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("fifo.toml")).status().unwrap().success());
    UnixListener::bind(folder.join("socket.toml")).unwrap()
}

/// Paths and lengths of everything in a folder, recursively.
fn entries(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let about = entry.metadata().unwrap();
        if about.is_dir() {
            all.extend(entries(&entry.path()));
        }
        all.insert(entry.path(), if about.is_file() { about.len() } else { 0 });
    }
    all
}
