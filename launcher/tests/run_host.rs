//! What `launcher run` does to its host: disk, shared memory, cores and the remote shell.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use test_jobs::{Running, TINY, Workdir};

use crate::run::{ENDLESS_RUN, STEPS, ends_of_attempts, kill, process_of};

/// A small file system, for one test.
pub(crate) struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// Mounts one of this many megabytes at a new folder, if the user may.
    pub(crate) fn mount(folder: &'a Path, megabytes: u32) -> Option<Self> {
        fs::create_dir(folder).unwrap();
        let size = format!("size={megabytes}m");
        let mut mount = std::process::Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(folder).output().unwrap();
        if mounted.status.success() {
            return Some(Self(folder));
        }
        println!("skipped: a small disk needs root: {}", String::from_utf8_lossy(&mounted.stderr));
        None
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("--lazy").arg(self.0).status().unwrap();
    }
}

/// The error does not blame the last logged step, and the attempt's own record has room for the end.
#[test]
fn a_full_disk_is_reported() {
    let workdir = Workdir::new(TINY);
    let runs = workdir.path().join("runs");
    let Some(_disk) = SmallDisk::mount(&runs, 1) else { return };
    let line = format!("run --config recipe.toml -n 1 --back-off 0.2 {STEPS} {ENDLESS_RUN}");
    let mut running = workdir.launcher(&line).start();
    running.wait_for_file(&workdir.run("recipe").metrics(), |text| text.lines().count() >= 10);
    let filled = fs::write(runs.join("filler"), vec![0; 2 << 20]).unwrap_err();
    assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(6), &[][..]), "{ended}");
    let ended = ended.says("No space left on device").says(" (step ");
    let ended = ended
        .says(" ended with exit code 6: cannot create runs/recipe/attempts/000002: No space left on device");
    let ended = ended.says("Not restarted: the run folder failed twice in a row before any step.");
    assert!(!ended.stderr.contains("in step"), "{ended}");
    let [(end, 6)] = &ends_of_attempts(&workdir.run("recipe"))[..] else { panic!("one attempt") };
    assert!(end.contains("No space left on device"), "{end}");
    let report = crate::launcher(&["autopsy", "runs/recipe"]).current_dir(workdir.path()).output().unwrap();
    let report = String::from_utf8(report.stdout).unwrap();
    assert!(
        report.contains("\nended with exit code 6: ") && report.contains("No space left on device"),
        "{report}"
    );
}

/// Another start cannot repair it: neither a file in place of the folder, nor a folder with damaged files.
#[test]
fn an_unusable_run_folder_is_not_retried() {
    let line = "run --config recipe.toml -n 1 --back-off 0.1 --resume auto";
    let unusable = Workdir::new(TINY);
    fs::write(unusable.path().join("runs"), "").unwrap();
    let ended = unusable.launcher(line).ends_with(6);
    let ended = ended.says(" ended with exit code 6: cannot ");
    _ = ended.says("Not restarted: the run folder cannot be used as it is.");

    let damaged = Workdir::new(TINY);
    damaged.launcher(&format!("{line} --set train.max_steps=4")).ends_with(0);
    fs::remove_file(damaged.run("recipe").metrics()).unwrap();
    fs::create_dir(damaged.run("recipe").metrics()).unwrap();
    let ended = damaged.launcher(line).ends_with(6);
    _ = ended.says("metrics.jsonl").says("Not restarted: the run folder cannot be used as it is.");
}

/// Killed ranks leave their shared memory behind, and a killed mpirun the files of its job.
#[test]
fn files_that_open_mpi_shares_are_removed_with_the_job() {
    let workdir = Workdir::new(TINY);
    let line =
        format!("run --config recipe.toml -n 2 --oversubscribe --max-restarts 0 {STEPS} {ENDLESS_RUN}");
    let without = ["env", "-u", "OMPI_MCA_btl_vader_backing_directory"];
    let mut running = workdir.launcher(&line).under(&without).start();
    running.wait_for_file(&workdir.run("recipe").metrics(), |text| text.lines().count() >= 5);
    let own = format!("regatta-mpi-{}-0", running.id());
    let folders = [Path::new("/dev/shm").join(&own), std::env::temp_dir().join(&own)];
    for folder in &folders {
        assert!(fs::read_dir(folder).unwrap().count() > 0, "{}", folder.display());
    }
    kill(process_of(&running, "mpirun"));
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(137), &[][..]), "{ended}");
    assert_eq!(folders.map(|folder| folder.exists()), [false, false]);
}

/// A killed launcher cannot clean up; the next one on the host does, except for folders that are in use.
#[test]
fn leftovers_of_a_killed_launcher_are_removed_by_the_next_job() {
    let workdir = Workdir::new(TINY);
    let without = ["env", "-u", "OMPI_MCA_btl_vader_backing_directory"];
    let start = |name: &str| {
        let line = format!("run --config recipe.toml -n 1 --name {name} {STEPS} {ENDLESS_RUN}");
        let mut running = workdir.launcher(&line).under(&without).start();
        running.wait_for_file(&workdir.run(name).metrics(), |text| text.lines().count() >= 5);
        running
    };
    let folder = |running: &Running| Path::new("/dev/shm").join(format!("regatta-mpi-{}-0", running.id()));
    let (killed, running) = (start("killed"), start("running"));
    let (abandoned, in_use) = (folder(&killed), folder(&running));
    assert!(abandoned.exists() && in_use.exists());
    kill(killed.id());
    assert_eq!(killed.wait().code, None, "killed by a signal");
    let next = "run --config recipe.toml -n 1 --name next --set train.max_steps=2";
    workdir.launcher(next).under(&without).ends_with(0);
    assert!(!abandoned.exists() && in_use.exists());
}

/// Other programs on the machine, such as another job, keep their cores.
#[test]
fn ranks_stay_on_the_cores_that_the_launcher_was_given() {
    let workdir = Workdir::new(TINY);
    let trainer = workdir.path().join("prints");
    fs::write(&trainer, "#!/bin/sh\ngrep Cpus_allowed_list: /proc/self/status\n").unwrap();
    fs::set_permissions(&trainer, fs::Permissions::from_mode(0o755)).unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let own = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    let first = own.split(['-', ',']).next().unwrap();
    let on_one_core = |options: &str| {
        let line = format!("run --config recipe.toml --trainer prints --allow-run-as-root {options}");
        let mut taskset = std::process::Command::new("taskset");
        taskset.args(["-c", first, env!("CARGO_BIN_EXE_launcher")]).args(line.split(' '));
        let output = taskset.current_dir(workdir.path()).output().unwrap();
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
    };
    let [stdout, stderr] = on_one_core("-n 1");
    assert_eq!(stdout, format!("Cpus_allowed_list:\t{first}\n"), "{stderr}");
    let [_, stderr] = on_one_core("-n 2");
    assert!(stderr.starts_with("error: 2 ranks, but this host has 1 core: "), "{stderr}");
}

/// Without ssh and rsh, Open MPI 4 needs `plm=isolated`; `make train` sets it unless the environment chooses otherwise.
#[test]
fn make_train_needs_no_remote_shell() {
    let workdir = Workdir::new(TINY);
    let install = |name: &str, script: &str| {
        fs::write(workdir.path().join(name), script).unwrap();
        fs::set_permissions(workdir.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let mpirun = |version: &str| {
        let says = format!(
            "[ $1 = --version ] && echo 'mpirun (Open MPI) {version}' || echo ${{OMPI_MCA_plm-unset}}"
        );
        install("mpirun", &format!("#!/bin/sh\n{says}\n"));
    };
    let plm = |variables: &[(&str, &str)]| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/train.sh");
        let mut train = std::process::Command::new("/bin/bash");
        train.arg(script).arg("trainer").env_clear().envs(variables.iter().copied());
        train.envs([("PATH", workdir.path().to_str().unwrap()), ("CONFIG", "recipe.toml"), ("NAME", "x")]);
        let output = train.current_dir(workdir.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    mpirun("4.1.4");
    assert_eq!(plm(&[]), "isolated\n");
    assert_eq!(plm(&[("OMPI_MCA_plm", "slurm")]), "slurm\n");
    assert_eq!(plm(&[("SLURM_JOB_ID", "7")]), "unset\n");
    mpirun("5.0.3");
    assert_eq!(plm(&[]), "unset\n");
    mpirun("4.1.4");
    install("rsh", "#!/bin/sh\n");
    assert_eq!(plm(&[]), "unset\n");
}
