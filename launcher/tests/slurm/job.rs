//! Jobs of a test cluster: how they are submitted and watched, and the run folders that they leave.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use regatta_run_folder::checkpoint::newest_valid;
use regatta_run_folder::{AttemptRecord, RunFolder};
use test_jobs::tiny_with;

use super::cluster::Cluster;
use crate::hosts::Hosts;

/// The recipe of all tests with one epoch that takes minutes.
fn recipe() -> String {
    tiny_with("synthetic_train_images = 26", "synthetic_train_images = 200000")
        .replace("epochs = 2", "epochs = 1")
}

/// A trainer that, after its job is requeued, trains 50 steps beyond the newest checkpoint and finishes.
const SOON_DONE: &str = r#"#!/bin/sh
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then
    name=recipe previous=
    for word; do [ "$previous" != --name ] || name=$word; previous=$word; done
    steps=$(ls -d "runs/$name"/checkpoints/step-* | sed 's/.*step-0*//' | sort -n | tail -n 1)
    set -- "$@" --set train.max_steps=$((steps + 50))
fi
exec "$REAL_TRAINER" "$@"
"#;

/// The trainer that jobs run: `TRAINER`, or the one beside the launcher.
pub(crate) fn trainer() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_BIN_EXE_launcher")).with_file_name("trainer");
    let trainer = std::env::var_os("TRAINER").map_or_else(beside, PathBuf::from);
    trainer.exists().then_some(trainer)
}

impl Cluster {
    /// A cluster with a recipe and a trainer in its working folder; None if this machine cannot run one.
    pub(crate) fn for_training(more: &str) -> Option<Self> {
        Self::for_training_on(None, more)
    }

    /// The same, on two hosts.
    pub(crate) fn for_training_on(hosts: Option<Hosts>, more: &str) -> Option<Self> {
        let Some(trainer) = trainer() else {
            println!("skipped: no trainer beside the launcher, and none in TRAINER");
            return None;
        };
        let cluster = Self::start(hosts, more)?;
        fs::write(cluster.work().join("recipe.toml"), recipe()).unwrap();
        let script = SOON_DONE.replace("$REAL_TRAINER", trainer.to_str().unwrap());
        let file = cluster.work().join("trainer.sh");
        fs::write(&file, script).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        Some(cluster)
    }

    /// `sbatch OPTIONS slurm/SCRIPT.sbatch ARGUMENTS`, both separated by spaces.
    pub(crate) fn submit(&self, options: &str, script: &str, arguments: &str) -> Job<'_> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../slurm/{script}.sbatch"));
        let mut command = self.command("sbatch");
        command
            .arg("--parsable")
            .args(options.split_whitespace())
            .arg(script)
            .args(arguments.split_whitespace());
        let output = command.env("TRAINER", self.work().join("trainer.sh")).output().unwrap();
        assert!(output.status.success(), "sbatch: {}", String::from_utf8_lossy(&output.stderr));
        self.job(String::from_utf8(output.stdout).unwrap().trim())
    }

    /// The job with this number.
    pub(crate) fn job(&self, id: &str) -> Job<'_> {
        Job { cluster: self, id: id.to_owned() }
    }

    /// Submits a short job of higher priority that takes a node from the partition `low`.
    pub(crate) fn pre_empt(&self) {
        let job = ["--partition=high", "--nodes=1", "--exclusive", "--output=/dev/null", "--wrap=true"];
        self.output("sbatch", &job);
    }

    /// A run folder of this cluster's jobs.
    pub(crate) fn run(&self, name: &str) -> RunFolder {
        RunFolder::new(self.work().join("runs"), name)
    }

    /// Waits until a run has done some steps.
    pub(crate) fn wait_for_steps(&self, name: &str, steps: usize) {
        let metrics = self.run(name).metrics();
        let lines = || fs::read_to_string(&metrics).map_or(0, |text| text.lines().count());
        self.wait_until(&format!("step {steps} of {name}"), || lines() >= steps);
    }

    /// The step of a run's newest checkpoint; no checkpoint may be damaged.
    pub(crate) fn newest_step(&self, name: &str) -> u64 {
        let (checkpoint, damaged) = newest_valid(&self.run(name)).unwrap();
        assert_eq!(damaged, []);
        checkpoint.expect("the run has a checkpoint").step()
    }

    /// The weights after the last step.
    pub(crate) fn weights(&self, name: &str) -> Vec<u8> {
        let checkpoint = self.run(name).checkpoint(self.newest_step(name));
        fs::read(checkpoint.join("model.safetensors")).unwrap()
    }

    /// The exit codes of all attempts at a run; None for one that was killed.
    pub(crate) fn attempts(&self, name: &str) -> Vec<Option<i32>> {
        let run = self.run(name);
        let files = (1..).map(|number| run.attempt(number)).take_while(|file| file.exists());
        let records = files.map(|file| AttemptRecord::read(&file).unwrap());
        records.map(|record| record.end.map(|end| end.exit_code)).collect()
    }
}

/// A job that was submitted.
pub(crate) struct Job<'a> {
    cluster: &'a Cluster,
    /// The job number.
    pub(crate) id: String,
}

impl Job<'_> {
    /// The value of a field in the controller's record of the job.
    pub(crate) fn field(&self, name: &str) -> String {
        let record = self.cluster.output("scontrol", &["show", "job", "--oneliner", &self.id]);
        let mut values =
            record.split_whitespace().filter_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        values.next().unwrap_or_default().to_owned()
    }

    /// Waits until the job ends; it must complete after exactly `restarts` restarts.
    pub(crate) fn is_done_after(&self, restarts: u32) {
        self.ends("COMPLETED", restarts);
        assert_eq!(self.field("ExitCode"), "0:0");
    }

    /// Waits until the job ends; it must end in `state` after exactly `restarts` restarts.
    pub(crate) fn ends(&self, state: &str, restarts: u32) {
        let unfinished = ["PENDING", "CONFIGURING", "RUNNING", "SIGNALING", "COMPLETING", "REQUEUED"];
        let has_ended = || !unfinished.contains(&&*self.field("JobState"));
        self.cluster.wait_until(&format!("end of job {}", self.id), has_ended);
        assert_eq!([self.field("JobState"), self.field("Restarts")], [state, &restarts.to_string()]);
    }

    /// Sends the signal that Slurm sends before the time limit.
    pub(crate) fn ask_to_stop(&self) {
        self.cluster.output("scancel", &["--batch", "--signal=USR2", &self.id]);
    }
}
