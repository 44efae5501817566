//! `launcher sweep` with real runs: what it records, how it continues, and that launchers share the work.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use regatta_sweep::{End, SweepFolder, TrialResult, results};
use test_jobs::{Job, Running, Workdir, tiny_with};

use crate::run_host::SmallDisk;

/// Three networks of each of two spaces, trained for some tenths of a second each.
pub(crate) const SIX: &str = r#"
mode = "study"
recipe = "recipe.toml"
samples = 3
set = ["train.epochs=4", "data.synthetic_train_images=640", "train.global_batch_size=32", "train.micro_batch_size=16"]
seed = 5

[limits]
flops = [50_000, 400_000]

[[space]]
draw = "anynet_x_e"

[[space]]
draw = "regnet_x"
"#;

/// A recipe that names no network.
pub(crate) fn recipe() -> String {
    let network = "\n[model.anynet]\nstages = [{ depth = 1, width = 16, group_width = 8 }, { depth = 1, width = 16, group_width = 8 }]\n";
    tiny_with(network, "")
}

/// A working folder with a sweep file and its recipe.
pub(crate) fn workdir(sweep: &str) -> Workdir {
    let workdir = Workdir::new(&recipe());
    fs::write(workdir.path().join("six.toml"), sweep).unwrap();
    workdir
}

pub(crate) fn folder(workdir: &Workdir) -> SweepFolder {
    SweepFolder::new(workdir.path().join("sweeps/six"))
}

pub(crate) fn start<'a>(workdir: &'a Workdir, options: &str) -> Job<'a> {
    workdir.launcher(&format!("sweep start six.toml --slots 2 {options}"))
}

pub(crate) fn recorded(workdir: &Workdir) -> Vec<TrialResult> {
    results::read(&folder(workdir).results()).unwrap()
}

/// What must be equal however often a sweep was disturbed: for each trial and budget the end, and the losses of each epoch.
pub(crate) fn repeatable(results: &[TrialResult]) -> BTreeSet<String> {
    let losses = |result: &TrialResult| -> Vec<_> {
        result.epochs.iter().map(|it| (it.step, it.train_loss, it.val_loss, it.val_top1)).collect()
    };
    let line = |it: &TrialResult| {
        format!("{} {} {:?} {:?} {:?}", it.id, it.budget.epochs, it.network, it.end, losses(it))
    };
    results.iter().map(line).collect()
}

fn lines(workdir: &Workdir) -> usize {
    fs::read_to_string(folder(workdir).results()).unwrap_or_default().lines().count()
}

/// Waits until the sweep has this number of results.
fn wait_for_results(running: &mut Running, workdir: &Workdir, number: usize) {
    running.wait_for_file(&folder(workdir).results(), |text| text.lines().count() >= number);
}

#[test]
fn a_sweep_that_is_killed_twice_has_the_results_of_an_undisturbed_one() {
    let disturbed = workdir(SIX);
    for results in [1, 3] {
        let mut running = start(&disturbed, "").start();
        wait_for_results(&mut running, &disturbed, results);
        running.signal("KILL");
        // Its runs are told to stop by the kernel, and may still be saving when the next launcher begins.
        assert_eq!(running.wait().code, None);
    }
    start(&disturbed, "").ends_with(0).says("6 of 6 done");
    let undisturbed = workdir(SIX);
    start(&undisturbed, "").ends_with(0);
    assert_eq!(repeatable(&recorded(&disturbed)), repeatable(&recorded(&undisturbed)));
    assert_eq!(lines(&disturbed), 6, "no network was recorded twice");
    assert!(recorded(&disturbed).iter().all(|result| result.end == End::Done && result.epochs.len() == 4));

    start(&disturbed, "").ends_with(0).says("6 of 6 done");
    assert_eq!(lines(&disturbed), 6, "nothing was left to do");

    disturbed.launcher("sweep analyze sweeps/six --out analysis").ends_with(0);
    let read = |file: &str| fs::read_to_string(disturbed.path().join("analysis").join(file)).unwrap();
    let analysis: serde_json::Value = serde_json::from_str(&read("analysis.json")).unwrap();
    assert_eq!(analysis["distributions"].as_array().unwrap().len(), 2, "{analysis}");
    assert!(read("index.html").contains("<svg") && read("analysis.md").contains("anynet_x_e"));
}

#[test]
fn two_launchers_share_the_work() {
    let workdir = workdir(SIX);
    let both = [start(&workdir, "").start(), start(&workdir, "").start()];
    for launcher in both {
        let ended = launcher.wait();
        assert_eq!(ended.code, Some(0), "{ended}");
    }
    let results = recorded(&workdir);
    assert_eq!((results.len(), lines(&workdir)), (6, 6));
    assert!(results.iter().all(|result| result.attempts == 1), "each network was started once");
}

#[test]
fn a_request_to_stop_saves_checkpoints_and_the_sweep_continues() {
    let workdir = workdir(&SIX.replace("train.epochs=4", "train.epochs=20"));
    let mut running = start(&workdir, "").start();
    let metrics = folder(&workdir).run("anynet_x_e-000").metrics();
    running.wait_for_file(&metrics, |text| text.lines().count() >= 30);
    running.signal("INT");
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(75), &[][..]), "{ended}");
    _ = ended.says("launcher: stopped; `launcher sweep start sweeps/six` continues");
    assert_eq!(lines(&workdir), 0);
    assert_eq!(test_jobs::list(&folder(&workdir).claims()), [""; 0], "all claims were given back");
    let status = workdir.launcher("sweep status sweeps/six").ends_with(0);
    assert!(status.stdout.starts_with("six: 0 of 6 done, 0 diverged, 0 failed, 0 running\n"), "{status}");
    let mut running = workdir.launcher("sweep start sweeps/six --slots 2").start();
    wait_for_results(&mut running, &workdir, 1);
    running.signal("TERM");
    assert_eq!(running.wait().code, Some(75));
    let first = &recorded(&workdir)[0];
    assert_eq!((first.end.clone(), first.attempts, first.epochs.len()), (End::Done, 2, 20));
}

/// A trainer that fails for one network.
fn trainer_that_fails(workdir: &Workdir, id: &str) -> String {
    let trainer = test_jobs::built("trainer");
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *\" {id} \"*) echo 'error: rank 0: a bad day' >&2; exit 70 ;; esac\nexec {} \"$@\"\n",
        trainer.display()
    );
    let path = workdir.path().join("trainer.sh");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn a_network_that_fails_is_recorded_and_tried_again_on_request() {
    let workdir = workdir(
        &SIX.replace("samples = 3", "samples = 1\n")
            .replace("seed = 5", "seed = 5\nstart = { max_restarts = 0 }"),
    );
    let failing = trainer_that_fails(&workdir, "regnet_x-000");
    start(&workdir, &format!("--trainer {failing}")).ends_with(0).says("regnet_x-000: failed: ");
    let failed: Vec<_> = recorded(&workdir).into_iter().filter(|it| it.end != End::Done).collect();
    let [TrialResult { id, end: End::Failed { exit_code: 70, .. }, .. }] = &failed[..] else {
        panic!("{failed:?}")
    };
    assert_eq!(id, "regnet_x-000");
    start(&workdir, "").ends_with(0).says("2 of 2 done, 1 failed");
    start(&workdir, "--retry").ends_with(0).says("regnet_x-000: error ");
    assert!(recorded(&workdir).iter().all(|it| it.end == End::Done));
    let again = workdir.launcher("sweep rerun sweeps/six regnet_x-000").ends_with(0);
    assert!(again.stdout.contains("the same to the bit in every epoch"), "{again}");
}

#[test]
fn a_sweep_whose_runs_all_fail_stops() {
    let workdir = workdir(&SIX.replace("seed = 5", "seed = 5\nstart = { max_restarts = 0 }"));
    let failing = trainer_that_fails(&workdir, "--config");
    let ended = start(&workdir, &format!("--trainer {failing}")).start().wait();
    assert_eq!(ended.code, Some(70), "{ended}");
    _ = ended.says("3 runs in a row failed");
    assert!(lines(&workdir) < 6, "the others were not tried");
}

#[test]
fn a_network_that_diverges_counts_as_one_that_guesses() {
    let diverging = SIX
        .replace("samples = 3", "samples = 1")
        .replace("train.epochs=4\"", "train.epochs=4\", \"optim.lr=1e30\"");
    let workdir = workdir(&diverging);
    start(&workdir, "").ends_with(0).says("2 diverged");
    assert!(recorded(&workdir).iter().all(|it| it.error() == Some(0.9)));
}

#[test]
fn recorded_runs_are_pruned_on_request() {
    let workdir = workdir(&SIX.replace("samples = 3", "samples = 1"));
    start(&workdir, "--prune").ends_with(0);
    assert_eq!(test_jobs::list(&folder(&workdir).runs()), [""; 0]);
    assert_eq!(recorded(&workdir).len(), 2);
    let status = workdir.launcher("sweep status sweeps/six --json").ends_with(0);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!((&status["done"], &status["planned"]), (&2.into(), &2.into()));
}

#[test]
fn a_full_disk_stops_the_sweep_and_loses_nothing() {
    let disturbed = workdir(SIX);
    let sweeps = disturbed.path().join("sweeps");
    let Some(_disk) = SmallDisk::mount(&sweeps, 16) else { return };
    let mut running = start(&disturbed, "--prune").start();
    wait_for_results(&mut running, &disturbed, 1);
    let filler = sweeps.join("filler");
    fs::write(&filler, vec![0; 32 << 20]).unwrap_err();
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(6), &[][..]), "{ended}");
    // Whoever writes first finds out: this launcher, whose error the system explains, or a run.
    let causes = ["No space left on device", "the run's folder cannot be written (is the disk full?): "];
    assert!(causes.iter().any(|cause| ended.stderr.contains(cause)), "{ended}");
    assert!(fs::read(folder(&disturbed).results()).unwrap().ends_with(b"\n"), "complete lines only");
    fs::remove_file(filler).unwrap();
    start(&disturbed, "").ends_with(0).says("6 of 6 done");
    let undisturbed = workdir(SIX);
    start(&undisturbed, "").ends_with(0);
    assert_eq!(repeatable(&recorded(&disturbed)), repeatable(&recorded(&undisturbed)));
}

#[test]
fn a_changed_sweep_is_refused() {
    let workdir = workdir(&SIX.replace("samples = 3", "samples = 1"));
    start(&workdir, "").ends_with(0);
    fs::write(workdir.path().join("six.toml"), SIX.replace("seed = 5", "seed = 6")).unwrap();
    start(&workdir, "").ends_with(2).says("six.toml: seed is not as it was when sweeps/six was started");
    fs::write(workdir.path().join("six.toml"), SIX.replace("samples = 3", "samples = 2")).unwrap();
    start(&workdir, "").ends_with(0).says("4 of 4 done");
    let recipe = fs::read_to_string(workdir.path().join("recipe.toml")).unwrap();
    fs::write(workdir.path().join("recipe.toml"), recipe.replace("lr = 0.05", "lr = 0.06")).unwrap();
    start(&workdir, "").ends_with(2).says("the recipe is not as it was");
}

#[test]
fn wrong_sweeps_leave_no_folder() {
    let refused = |from: &str, to: &str, message: &str| {
        assert!(SIX.contains(from), "{from}");
        let workdir = workdir(&SIX.replacen(from, to, 1));
        start(&workdir, "").ends_with(2).says(message);
        assert!(!workdir.path().join("sweeps").exists());
    };
    refused("samples = 3", "sampels = 3", "error: six.toml:4: unknown field `sampels`");
    refused("recipe.toml", "other.toml", "cannot read the recipe other.toml");
    refused("train.epochs=4", "train.epoch=4", "--set train.epoch=4: unknown key train.epoch");
    refused("train.epochs=4", "train.max_steps=4", "train.max_steps is set in the recipe of a sweep");
    refused("[50_000, 400_000]", "[1, 2]", "no network of anynet_x_e has flops from 1 to 2");
    let workdir = workdir(SIX);
    start(&workdir, "").variable("REGATTA__OPTIM__LR", "1").ends_with(2).says("REGATTA__OPTIM__LR is set");
    let foreign = workdir.path().join("sweeps/six/thesis.tex");
    fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    fs::write(&foreign, "").unwrap();
    start(&workdir, "").ends_with(2).says("sweeps/six exists and is not the folder of a sweep");
    fs::remove_file(foreign).unwrap();
    start(&workdir, "--trainer nowhere").ends_with(2).says("there is no trainer at nowhere");
    workdir.launcher("sweep status runs").ends_with(2).says("runs is not the folder of a sweep");
}

/// Successive halving on one place: 4 networks for 1 epoch, the best 2 of them for 2, the best one for 4.
const HALVING: &str = r#"
mode = "search"
recipe = "recipe.toml"
samples = 4
set = ["train.epochs=4", "data.synthetic_train_images=640", "train.global_batch_size=32", "train.micro_batch_size=16"]

[search]
method = "successive_halving"
reduction = 2

[limits]
flops = [50_000, 400_000]

[[space]]
draw = "regnet_x"
"#;

#[test]
fn a_search_promotes_the_best_networks_by_resuming_them() {
    let workdir = workdir(HALVING);
    let mut running = start(&workdir, "").start();
    wait_for_results(&mut running, &workdir, 3);
    running.signal("KILL");
    running.wait();
    start(&workdir, "").ends_with(0).says("7 results done");
    let results = recorded(&workdir);
    let at = |epochs: u64| -> Vec<&TrialResult> {
        results.iter().filter(|it| it.budget.epochs == epochs).collect()
    };
    assert_eq!([at(1).len(), at(2).len(), at(4).len()], [4, 2, 1]);
    assert!(results.iter().all(|it| it.budget.schedule_epochs == 4), "one curve of the learning rate");
    // A promoted network continues: the epochs of its smaller budget are those of its larger one.
    let last = at(4)[0];
    for earlier in results.iter().filter(|it| it.id == last.id) {
        let losses = |it: &TrialResult| it.epochs.iter().map(|epoch| epoch.val_loss).collect::<Vec<_>>();
        assert_eq!(losses(earlier), losses(last)[..earlier.epochs.len()], "{}", last.id);
    }
    let errors = |results: &[&TrialResult]| {
        results.iter().map(|it| (it.error().unwrap(), it.id.clone())).collect::<Vec<_>>()
    };
    let mut first = errors(&at(1));
    first.sort_by(|a, b| a.0.total_cmp(&b.0));
    let promoted: BTreeSet<_> = at(2).iter().map(|it| it.id.clone()).collect();
    assert!(
        promoted.iter().all(|id| first[..2].iter().any(|(_, best)| best == id) || first[1].0 == first[2].0),
        "{first:?} {promoted:?}"
    );
}
