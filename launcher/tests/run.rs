//! `launcher run` with real ranks: what it prints, which failures it restarts, and what it cleans up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use regatta_run_folder::{AttemptRecord, RunFolder};
use test_jobs::{Running, TINY, Workdir};

/// Length and checkpoints of the runs that are disturbed: some seconds of steps.
pub(crate) const STEPS: &str = "--set train.max_steps=400 --set checkpoint.interval_steps=50 --set eval.interval_epochs=0 \
                     --set data.synthetic_train_images=200000";

/// Starts a job on two ranks and waits until it has done 60 steps.
pub(crate) fn start(workdir: &Workdir, options: &str) -> Running {
    let back_off = if options.contains("--back-off") { "" } else { "--back-off 0.2" };
    let common = format!("run --config recipe.toml -n 2 --oversubscribe {back_off}");
    let mut running = workdir.launcher(&format!("{common} {STEPS} {options}")).start();
    running.wait_for_file(&workdir.run("recipe").metrics(), |text| text.lines().count() >= 60);
    running
}

/// Trains the same steps without a disturbance and compares the final weights.
fn assert_weights_are_those_of_an_undisturbed_run(workdir: &Workdir) {
    let common = "run --config recipe.toml -n 2 --oversubscribe --name undisturbed";
    workdir.launcher(&format!("{common} {STEPS}")).ends_with(0);
    let weights = |run: &RunFolder| fs::read(run.checkpoint(400).join("model.safetensors")).unwrap();
    assert!(weights(&workdir.run("recipe")) == weights(&workdir.run("undisturbed")));
}

pub(crate) fn ends_of_attempts(run: &RunFolder) -> Vec<(String, i32)> {
    let records = (1..).map(|number| run.attempt(number)).take_while(|path| path.exists());
    let end = |path: std::path::PathBuf| {
        AttemptRecord::read(&path).unwrap().end.map(|end| (end.end, end.exit_code))
    };
    records.map(|path| end(path).unwrap_or_default()).collect()
}

#[test]
fn a_dry_run_prints_only_the_command() {
    let workdir = Workdir::new(TINY);
    let ended = workdir
        .launcher("run --config recipe.toml -n 1 --set optim.lr=0.1 --name x --dry-run -- -v")
        .ends_with(0);
    let line = ended.stdout.trim_end();
    assert!(line.contains(" -n 1 ") && line.contains(" -v "), "{ended}");
    assert!(
        line.ends_with("trainer --config recipe.toml --resume never --set optim.lr=0.1 --name x"),
        "{ended}"
    );
    assert_eq!(test_jobs::list(workdir.path()), ["recipe.toml"]);
}

#[test]
fn rank_0_is_printed_and_its_output_is_saved() {
    let workdir = Workdir::new(TINY);
    let ended =
        workdir.launcher("run --config recipe.toml -n 2 --oversubscribe").ends_with(0).says("2 ranks over ");
    assert!(ended.stdout.starts_with("done: best top-1 "), "{ended}");
    assert!(!ended.stderr.contains("[1,0]"), "{ended}");
    let kept = fs::read_to_string(workdir.run("recipe").output(0)).unwrap();
    assert!(kept.contains("2 ranks over ") && kept.contains("done: best top-1 "), "{kept}");
}

#[test]
fn a_killed_rank_is_named_and_the_run_continues() {
    let workdir = Workdir::new(TINY);
    let running = start(&workdir, "");
    running.signal_rank("KILL", 1);
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(0), &[][..]), "{ended}");
    let ended = ended.says("launcher: rank 1 on ").says(" was killed by signal 9 (Killed) (step ");
    _ = ended.says("its log: runs/recipe/log/rank-0001.log. Restart 1 of 3 from runs/recipe/checkpoints/step-000000050 in 0.2 s.");
    let [first, second] = &ends_of_attempts(&workdir.run("recipe"))[..] else { panic!("two attempts") };
    assert!(first.0.contains("was killed by signal 9") && first.1 == 137, "{first:?}");
    assert_eq!(*second, ("done".to_owned(), 0));
    assert_weights_are_those_of_an_undisturbed_run(&workdir);
}

/// The process of the job that runs `program`.
pub(crate) fn process_of(running: &Running, program: &str) -> u32 {
    let is_it = |pid: &u32| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let name = line.split('\0').next().unwrap_or_default();
        Path::new(name).file_name().is_some_and(|name| name == program)
    };
    running.processes().into_iter().find(is_it).unwrap()
}

fn kill(pid: u32) {
    signal(pid, "KILL");
}

pub(crate) fn signal(pid: u32, signal: &str) {
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args([&format!("-{signal}"), &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_killed_mpirun_is_restarted() {
    let workdir = Workdir::new(TINY);
    let running = start(&workdir, "");
    kill(process_of(&running, "mpirun"));
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(0), &[][..]), "{ended}");
    _ = ended
        .says("launcher: mpirun itself was killed by signal 9 (Killed) (step ")
        .says("Restart 1 of 3 from ");
    assert_weights_are_those_of_an_undisturbed_run(&workdir);
}

/// The ranks do not outlive the launcher, and another start continues the run.
#[test]
fn ranks_end_with_a_killed_launcher() {
    let workdir = Workdir::new(TINY);
    let running = start(&workdir, "");
    running.signal("KILL");
    let deadline = Instant::now() + Duration::from_secs(20);
    while running.processes().iter().any(|&pid| !is_zombie(pid)) {
        assert!(Instant::now() < deadline, "{:?} are left", running.processes());
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(running);
    let again = "run --config recipe.toml -n 2 --oversubscribe --resume auto";
    workdir
        .launcher(&format!("{again} {STEPS}"))
        .ends_with(0)
        .says("resumed from runs/recipe/checkpoints/step-");
    assert_weights_are_those_of_an_undisturbed_run(&workdir);
}

fn is_zombie(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.is_empty() || status.contains("State:\tZ")
}

#[test]
fn a_rank_that_hangs_is_named_and_the_run_continues() {
    let workdir = Workdir::new(TINY);
    let running = start(&workdir, "--set comm.timeout_s=2");
    running.signal_rank("STOP", 1);
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(0), &[][..]), "{ended}");
    let ended = ended
        .says("launcher: rank 0 on ")
        .says(" ended with exit code 4: a collective has not completed after 2 s");
    _ = ended.says("rank 1 on ").says(" gives no sign of life").says("Restart 1 of 3 from ");
    assert_weights_are_those_of_an_undisturbed_run(&workdir);
}

#[test]
fn a_stalled_run_is_ended_and_restarted() {
    let workdir = Workdir::new(TINY);
    let running = start(&workdir, "--stall-timeout 6");
    for rank in [0, 1] {
        running.signal_rank("STOP", rank);
    }
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(0), &[][..]), "{ended}");
    _ = ended
        .says("launcher: the job was ended here: no progress for 6 s (--stall-timeout)")
        .says("Restart 1 of 3");
    assert_weights_are_those_of_an_undisturbed_run(&workdir);
}

pub(crate) const ENDLESS_RUN: &str = "--set train.max_steps=1000000";

#[test]
fn permanent_failures_are_not_restarted() {
    let workdir = Workdir::new(TINY);
    let ended =
        workdir.launcher("run --config recipe.toml -n 2 --oversubscribe --set optim.lr=1e30").ends_with(5);
    _ = ended
        .says("launcher: rank 0 on ")
        .says(" ended with exit code 5: the loss is NaN in step 2 of epoch 1");
    let refused = workdir.launcher("run --config recipe.toml -n 2 --oversubscribe").ends_with(2);
    // In most cases mpirun names the rank.
    let refused = refused.says(" ended with exit code 2: ").says("runs/recipe");
    _ = refused.says(". Not restarted: a restart would end with exit code 2 again.");
    assert_eq!(ends_of_attempts(&workdir.run("recipe")).len(), 1);
}

/// The trainer is a script that always fails in the same step.
#[test]
fn a_crash_loop_stops() {
    let workdir = Workdir::new(TINY);
    let script = workdir.path().join("crashes");
    let trainer = test_jobs::built("trainer");
    fs::write(&script, format!("#!/bin/sh\n{} \"$@\" --set train.max_steps=2\nexit 9\n", trainer.display()))
        .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let options = "--max-restarts 9 --back-off 0.1 --trainer crashes";
    let ended = workdir.launcher(&format!("run --config recipe.toml -n 1 {options}")).ends_with(9);
    let ended = ended.says("Restart 1 of 9 from runs/recipe/checkpoints/step-000000002 in 0.1 s.");
    _ = ended.says("Not restarted: it failed in step 2 twice in a row.");
}

#[test]
fn a_run_taken_over_by_another_start_is_left_to_it() {
    let workdir = Workdir::new(TINY);
    let running = start(&workdir, ENDLESS_RUN);
    fs::write(workdir.run("recipe").attempt(2), "").unwrap();
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(6), &[][..]), "{ended}");
    _ = ended.says("another start of this run owns runs/recipe now");
    assert!(!workdir.run("recipe").attempt(3).exists());
}

/// A file system of one megabyte, for one test.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(folder: &'a Path) -> Option<Self> {
        fs::create_dir(folder).unwrap();
        let mut mount = std::process::Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(folder).output().unwrap();
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
    let Some(_disk) = SmallDisk::mount(&runs) else { return };
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
