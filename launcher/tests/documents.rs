//! Shell completions, manual pages and help texts.

use std::fs;

use test_jobs::{TINY, Workdir};

use crate::launcher;

#[test]
fn bash_accepts_its_completions() {
    let output = launcher(&["completions", "bash"]).output().unwrap();
    assert!(output.status.success());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("launcher.bash");
    fs::write(&file, &output.stdout).unwrap();
    let script = format!("source {} && complete -p launcher", file.display());
    let bash = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(bash.status.success(), "{}", String::from_utf8_lossy(&bash.stderr));
    assert!(String::from_utf8_lossy(&bash.stdout).contains("_launcher"));
}

#[test]
fn manual_pages_are_written_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let man = folder.path().join("man/man1");
    assert!(launcher(&["man", man.to_str().unwrap()]).status().unwrap().success());
    let names: Vec<_> = fs::read_dir(&man).unwrap().map(|it| it.unwrap().file_name()).collect();
    for page in ["launcher.1", "launcher-man.1"] {
        assert!(names.iter().any(|name| name == page), "{names:?}");
    }
    let page = fs::read_to_string(man.join("launcher.1")).unwrap();
    assert!(page.contains(".TH launcher 1") && page.contains("Starts, watches and explains training jobs"));
}

#[test]
fn existing_pages_are_replaced_only_with_force() {
    let folder = tempfile::tempdir().unwrap();
    let man = |force: &[&str]| {
        let output = launcher(&[&["man", folder.path().to_str().unwrap()], force].concat()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let page = folder.path().join("launcher-run.1");
    fs::write(&page, "mine").unwrap();
    let (code, stderr) = man(&[]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("launcher-run.1 exists already: give another name, or --force to "), "{stderr}");
    assert_eq!(fs::read_to_string(&page).unwrap(), "mine");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no other page is written");
    assert_eq!(man(&["--force"]), (Some(0), String::new()));
    assert!(fs::read_to_string(&page).unwrap().contains(".TH launcher-run 1"));

    let elsewhere = folder.path().join("elsewhere");
    fs::remove_file(&page).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &page).unwrap();
    assert_eq!(man(&["--force"]).0, Some(2), "a link that leads nowhere");
    assert!(!elsewhere.exists());
}

#[test]
fn a_failed_write_is_reported_with_its_path() {
    let output = launcher(&["man", "/proc/nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("error: cannot write manual pages to /proc/nowhere: "), "{stderr}");
}

/// The launcher starts in milliseconds, also on machines without libtorch and MPI.
#[test]
fn neither_libtorch_nor_mpi_is_linked() {
    let output = std::process::Command::new("ldd").arg(env!("CARGO_BIN_EXE_launcher")).output().unwrap();
    let loaded = String::from_utf8(output.stdout).unwrap();
    // The first word of a line is the library; the address after it differs each time.
    let libraries: Vec<&str> = loaded.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(libraries.contains(&"libc.so.6"), "{loaded}");
    assert!(
        !["torch", "mpi", "cuda", "c10"].iter().any(|name| libraries.iter().any(|it| it.contains(name))),
        "{loaded}"
    );
}

/// Also if there is no terminal to give a width.
#[test]
fn help_lines_are_at_most_100_columns_wide() {
    let trainer = test_jobs::built("trainer");
    let programs = [env!("CARGO_BIN_EXE_launcher"), trainer.to_str().unwrap()];
    for (program, commands) in programs.iter().zip([
        &["", "run", "slurm", "doctor", "plan", "report", "autopsy"][..],
        &["", "recipe", "summary", "export", "probe"],
    ]) {
        for command in commands {
            for help in ["-h", "--help"] {
                let arguments = [*command, help].into_iter().filter(|it| !it.is_empty());
                let output = std::process::Command::new(program).args(arguments).output().unwrap();
                let text = String::from_utf8(output.stdout).unwrap();
                assert!(text.contains("Usage: "), "{program} {command} {help}: {text}");
                // A usage line is never wrapped; descriptions of options are.
                let wrapped = text.lines().filter(|line| !line.starts_with("Usage: "));
                let widest = wrapped.max_by_key(|line| line.chars().count()).unwrap();
                assert!(widest.chars().count() <= 100, "{program} {command} {help}: {widest}");
            }
        }
    }
}

/// A reader that closes the pipe early, as `head` does, is not a failure; a full disk is.
#[test]
fn a_closed_standard_output_is_ignored_and_a_full_one_is_reported() {
    let workdir = Workdir::new(TINY);
    let gone = ["bash", "-c", r#"exec > >(exec true); wait $!; exec "$0" "$@""#];
    let full = ["bash", "-c", r#"exec "$0" "$@" >/dev/full"#];
    for command in [
        "completions bash",
        "plan --config recipe.toml --gpus-per-node 1 --step-ms 9",
        "run --config recipe.toml -n 1 --dry-run",
    ] {
        assert_eq!(workdir.launcher(command).under(&gone).ends_with(0).stderr, "");
        let ended = workdir.launcher(command).under(&full).ends_with(6);
        assert_eq!(
            ended.stderr,
            "error: cannot write to standard output: No space left on device (os error 28)\n"
        );
    }
}
