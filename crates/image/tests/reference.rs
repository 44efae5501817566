//! Runs the Python scripts of this folder, which write cases and what torchvision and Pillow make of them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Exit status of a script whose Python lacks the libraries.
const SKIPPED: i32 = 77;

/// Runs a script with a working folder and returns the cases that it wrote to `cases.json`. Without a Python that has the
/// libraries it prints that the test is skipped and returns none.
pub(crate) fn cases(script: &str, folder: &Path) -> Option<Vec<Value>> {
    let python = match test_jobs::python() {
        Ok(python) => python,
        Err(reason) => {
            println!("skipped: {reason}");
            return None;
        }
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    let output = Command::new(python).arg(script).arg(folder).output().unwrap();
    if output.status.code() == Some(SKIPPED) {
        println!("skipped: {}", String::from_utf8_lossy(&output.stdout));
        return None;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let cases = std::fs::read_to_string(folder.join("cases.json")).unwrap();
    Some(serde_json::from_str(&cases).unwrap())
}

/// The number of bytes that differ, and the largest difference.
pub(crate) fn difference(ours: &[u8], theirs: &[u8]) -> (usize, u8) {
    assert_eq!(ours.len(), theirs.len());
    let differences =
        ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b)).filter(|difference| *difference > 0);
    differences.fold((0, 0), |(count, largest), difference| (count + 1, largest.max(difference)))
}
