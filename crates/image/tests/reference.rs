//! Runs the Python scripts of this folder, which write cases and what torchvision and Pillow make of them.

use std::path::Path;

use serde_json::Value;

/// Runs a script with a working folder and returns the cases that it wrote to `cases.json`. Without a Python that has the
/// libraries it prints that the test is skipped and returns none.
pub(crate) fn cases(script: &str, folder: &Path) -> Option<Vec<Value>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    if let Err(reason) = test_jobs::run_script(&script, folder) {
        println!("skipped: {reason}");
        return None;
    }
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
