//! The text of the batch scripts, and how they handle signals.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Users copy single scripts, so each is complete; the part that they share must stay the same.
#[test]
fn all_scripts_are_bash_with_the_same_ending() {
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

/// Runs the script for one node with signals inserted before or after the line that starts the ranks, and stand-ins for mpirun
/// and scontrol. Returns the exit code, whether mpirun received the signal, and the arguments of the calls of scontrol.
fn with_signals(before: &str, behind: &str) -> (Option<i32>, bool, String) {
    let bin = tempfile::tempdir().unwrap();
    let program = |name: &str, text: &str| {
        let file = bin.path().join(name);
        fs::write(&file, format!("#!/bin/bash\n{text}\n")).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    };
    // Without the signal it ends with another exit code.
    program(
        "mpirun",
        "trap '>signalled; exit 75' USR2; for ((i = 0; i < 300; i++)); do sleep 0.1; done; exit 9",
    );
    program("scontrol", "echo JobState=RUNNING; echo \"$@\" >>requests");
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
    let requests = fs::read_to_string(bin.path().join("requests")).unwrap();
    (status.unwrap().code(), bin.path().join("signalled").exists(), requests)
}

#[test]
fn a_signal_before_the_ranks_start_is_not_lost() {
    for (before, behind, is_signalled) in [("kill -USR2 $$", "", false), ("", "kill -USR2 $$", true)] {
        let (code, signalled, requests) = with_signals(before, behind);
        assert_eq!((code, signalled), (Some(75), is_signalled), "{before}{behind}");
        assert!(requests.lines().any(|line| line == "requeue 7"), "{requests}");
    }
}
