//! Runs cases in `reference.py` and reads PyTorch's results.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tch::Tensor;
use test_jobs::{SKIPPED, python};

use crate::tensor_file;

/// Tensors by name.
pub(super) type Tensors = BTreeMap<String, Tensor>;

/// A computation that the trainer and PyTorch both do.
pub(super) struct Case {
    pub(super) name: String,
    /// The case for `reference.py`, without the name.
    pub(super) description: Value,
    /// The tensors that both sides start from.
    pub(super) inputs: Tensors,
    /// The trainer's results.
    pub(super) results: Tensors,
}

/// Calls `compare(case and tensor, ours, theirs)` for every result of every case. Both sides must have the same results. Without
/// a Python that has PyTorch it prints that the test is skipped.
pub(super) fn compare_with_pytorch(cases: &[Case], compare: impl Fn(&str, &Tensor, &Tensor)) {
    let folder = tempfile::tempdir().unwrap();
    if let Err(reason) = run_reference(cases, folder.path()) {
        println!("skipped: {reason}");
        return;
    }
    for case in cases {
        let theirs =
            tensor_file::read_all(&folder.path().join(format!("{}.out.safetensors", case.name))).unwrap();
        let names = |tensors: &Tensors| tensors.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&case.results), names(&theirs), "{}", case.name);
        for (name, ours) in &case.results {
            assert_eq!(ours.size(), theirs[name].size(), "{}: {name}", case.name);
            compare(&format!("{}: {name}", case.name), ours, &theirs[name]);
        }
    }
}

/// Computes the cases in PyTorch. The error is the reason why no reference is available; a reference that fails fails the test.
fn run_reference(cases: &[Case], folder: &Path) -> Result<(), String> {
    let mut list = Vec::new();
    for Case { name, description, inputs, .. } in cases {
        let path = folder.join(format!("{name}.in.safetensors"));
        tensor_file::write(&path, inputs.iter().map(|(name, tensor)| (name.clone(), tensor))).unwrap();
        let mut entry = description.clone();
        entry["name"] = json!(name);
        list.push(entry);
    }
    std::fs::write(folder.join("cases.json"), Value::from(list).to_string()).unwrap();

    let mut reference = Script::start("reference.py", folder)?;
    reference.wait_for("computed")
}

/// A running script of this folder, which works in parts and prints a line after each.
pub(super) struct Script {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Script {
    /// Starts a script with a working folder. The error is the reason why no Python is available.
    pub(super) fn start(name: &str, folder: &Path) -> Result<Self, String> {
        let python = python()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests").join(name);
        let mut command = Command::new(&python);
        command.arg(script).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{} does not start: {error}", python.display()));
        let output = BufReader::new(child.stdout.take().unwrap());
        Ok(Self { child, output })
    }

    /// Waits until the script prints `part`. The error is the reason why this Python lacks the libraries; a script that fails
    /// fails the test, with the cause on the standard error that both share.
    pub(super) fn wait_for(&mut self, part: &str) -> Result<(), String> {
        let mut others = String::new();
        for line in self.output.by_ref().lines().map(Result::unwrap) {
            if line == part {
                return Ok(());
            }
            others += &line;
        }
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(SKIPPED), "the reference ended before it had {part}: {others}");
        Err(others)
    }

    /// Lets the script continue with the next part.
    pub(super) fn go_on(&mut self) {
        writeln!(self.child.stdin.as_ref().unwrap()).unwrap();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
