//! The batch scripts as texts.

use std::fs;
use std::path::Path;
use std::process::Command;

/// They are copied, so each is whole; what they share must not drift apart.
#[test]
fn all_scripts_end_alike_and_are_bash() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slurm");
    let tail = include_str!("../../src/slurm/tail.sh");
    let scripts: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(scripts.len(), 4, "{scripts:?}");
    for script in scripts {
        assert!(fs::read_to_string(&script).unwrap().ends_with(tail), "{}", script.display());
        assert!(
            Command::new("bash").arg("-n").arg(&script).status().unwrap().success(),
            "{}",
            script.display()
        );
    }
}
