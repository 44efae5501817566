//! The batch scripts as texts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
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

/// Runs the script of one node with signals put in front of or behind the line that starts the ranks, and stand-ins for mpirun and
/// scontrol. Returns the exit code, whether mpirun was told, and what scontrol was asked.
fn with_signals(before: &str, behind: &str) -> (Option<i32>, bool, String) {
    let bin = tempfile::tempdir().unwrap();
    let program = |name: &str, text: &str| {
        let file = bin.path().join(name);
        fs::write(&file, format!("#!/bin/bash\n{text}\n")).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    };
    // One that is not told ends otherwise, in the end.
    program("mpirun", "trap '>told; exit 75' USR2; for ((i = 0; i < 300; i++)); do sleep 0.1; done; exit 9");
    program("scontrol", "echo JobState=RUNNING; echo \"$@\" >>asked");
    let script =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../slurm/single-node.sbatch"));
    let trap = "trap : TERM";
    let start = "\"${command[@]}\" &\n";
    let script = script.unwrap();
    assert!(script.contains(trap) && script.contains(start));
    let script =
        script.replace(trap, &format!("{before}\n{trap}")).replace(start, &format!("{start}{behind}\n"));
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    let status = bash
        .args(["-c", &script])
        .current_dir(bin.path())
        .envs([("PATH", &*path), ("SLURM_JOB_ID", "7")])
        .status();
    let asked = fs::read_to_string(bin.path().join("asked")).unwrap();
    (status.unwrap().code(), bin.path().join("told").exists(), asked)
}

#[test]
fn a_signal_before_the_ranks_are_there_is_not_lost() {
    for (before, behind, is_told) in [("kill -USR2 $$", "", false), ("", "kill -USR2 $$", true)] {
        let (code, told, asked) = with_signals(before, behind);
        assert_eq!((code, told), (Some(75), is_told), "{before}{behind}");
        assert!(asked.lines().any(|line| line == "requeue 7"), "{asked}");
    }
}
