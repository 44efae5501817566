//! `launcher sweep submit`: submits a sweep to Slurm as a job array, each task of which trains one network after another.

use std::fmt::Write;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use regatta_run_folder::{ExitCode, print_output};
use regatta_settings::Device;
use regatta_sweep::{Mode, SweepFile, SweepFolder};

use super::device;
use super::start::Sweep;
use crate::failure::Usage;
use crate::run::command_line::shell_quoted;
use crate::slurm::{self, Request, TimeLimit};
use crate::trainer_binary;

/// Options of `launcher sweep submit`.
#[derive(Debug, clap::Args)]
pub(crate) struct SubmitCommand {
    /// The sweep file, or the folder of a sweep that was started before
    #[arg(value_name = "FILE|SWEEP")]
    sweep: PathBuf,
    /// Number of jobs at once, the tasks of the array
    #[arg(long, value_name = "N", value_parser = slurm::count)]
    at_once: NonZeroU32,
    /// Time limit of each job; it is requeued until no network is left
    #[arg(long, value_name = "[D-]HH:MM:SS")]
    time: TimeLimit,
    /// Number of runs at once in each job
    #[arg(long, value_name = "N", value_parser = slurm::count, default_value = "1")]
    slots: NonZeroU32,
    /// Gives each rank a GPU
    #[arg(long)]
    gpus: bool,
    /// Cores of each rank [default: the cluster's]
    #[arg(long, value_name = "N", value_parser = slurm::count)]
    cpus_per_rank: Option<NonZeroU32>,
    /// Seconds before the time limit at which runs are asked to stop; must cover a step and a checkpoint
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u16).range(1..))]
    checkpoint_seconds: u16,
    /// Trains networks again that failed before, once in each start of a job
    #[arg(long)]
    retry: bool,
    /// Removes the folders of runs whose results are recorded
    #[arg(long)]
    prune: bool,
    /// The trainer to start [default: TRAINER, or the one beside the launcher, or on the path]
    #[arg(long, value_name = "FILE")]
    trainer: Option<PathBuf>,
    /// Prints the script without submitting it
    #[arg(long)]
    dry_run: bool,
    /// Options for sbatch, as --name=value, such as --partition=gpu
    #[arg(last = true, value_name = "SBATCH OPTIONS")]
    extra: Vec<String>,
}

/// Prints the script, or creates the sweep's folder, submits the array and prints its job's number.
///
/// # Errors
/// If the sweep or the options are invalid, no partition can run the jobs, or sbatch rejects them.
pub(crate) fn submit(command: &SubmitCommand) -> Result<u8> {
    let trainer = trainer_binary::find(command.trainer.as_deref())?;
    let sweep = Sweep::read(&command.sweep)?;
    let script = command.script(&sweep.folder, &sweep.file, &trainer)?;
    slurm::check_options(&command.extra)?;
    if let Some(partitions) = slurm::partitions() {
        slurm::check_request(&partitions, &command.request(&sweep.file))?;
    }
    command.check_device(device(&sweep.check()?)?)?;
    if command.dry_run {
        print_output(script)?;
        return Ok(ExitCode::Done.code() as u8);
    }
    sweep.create()?;
    print_output(slurm::submit(&script, &command.extra)?)?;
    Ok(ExitCode::Done.code() as u8)
}

impl SubmitCommand {
    /// Generates the script, after checking what goes into it.
    fn script(&self, folder: &SweepFolder, file: &SweepFile, trainer: &Path) -> Result<String> {
        let launcher = std::env::current_exe().context("cannot find this program's file")?;
        for (what, path) in [
            ("the sweep's folder", folder.path()),
            ("the trainer's path", trainer),
            ("the launcher's path", &launcher),
        ] {
            slurm::check_text(what, &path.display().to_string())?;
        }
        slurm::check_time(self.time, self.checkpoint_seconds)?;
        Ok(self.text(folder, file, &launcher, trainer))
    }

    /// Rejects GPUs for runs on processors, and the other way round: the jobs would find out only when they run.
    fn check_device(&self, device: Device) -> Result<(), Usage> {
        let problem = match (self.gpus, device) {
            (true, Device::Cpu) => "--gpus, but the recipe's train.device is \"cpu\": leave one of them out",
            (false, Device::Cuda) => "the recipe's train.device is \"cuda\": pass --gpus",
            _ => return Ok(()),
        };
        Err(Usage(problem.into()))
    }

    /// The script, a pure function of the options and the sweep file.
    fn text(&self, folder: &SweepFolder, file: &SweepFile, launcher: &Path, trainer: &Path) -> String {
        let mut script = String::from(
            "#!/bin/bash\n# Made by `launcher sweep submit`: each job trains one network of the sweep after another, and requeues itself\n# if it is stopped before none is left.\n",
        );
        for option in self.options(folder, file) {
            _ = writeln!(script, "#SBATCH --{option}");
        }
        let path = |path: &Path| shell_quoted(&path.display().to_string());
        let mut words = vec![path(launcher), "sweep".into(), "start".into(), path(folder.path())];
        words.extend([format!("--slots={}", self.slots), format!("--trainer={}", path(trainer))]);
        words.extend((!self.gpus).then(|| "--gpus=none".to_owned()));
        // A search may need this job again once others have finished; a study does not.
        words.extend((file.mode == Mode::Study).then(|| "--no-wait".to_owned()));
        words.extend(self.retry.then(|| "--retry".to_owned()));
        words.extend(self.prune.then(|| "--prune".to_owned()));
        words.extend(rustix::process::geteuid().is_root().then(|| "--allow-run-as-root".to_owned()));
        _ = writeln!(script, "\ncommand=({})\n", words.join(" "));
        script.push_str(slurm::TAIL);
        script
    }

    fn options(&self, folder: &SweepFolder, file: &SweepFile) -> Vec<String> {
        let ranks = self.ranks(file);
        let folder_of_logs = folder.logs().display().to_string().replace('%', "%%");
        let logs = format!("{folder_of_logs}/slurm-%A-%a.log");
        let mut options = vec![
            format!("job-name={}", shell_quoted(&folder.name())),
            format!("array=1-{}", self.at_once),
            "nodes=1".to_owned(),
            format!("ntasks-per-node={ranks}"),
        ];
        options.extend(self.gpus.then(|| format!("gpus-per-node={ranks}")));
        options.extend(self.cpus_per_rank.map(|cores| format!("cpus-per-task={cores}")));
        options.extend([
            format!("time={}", self.time),
            "requeue".to_owned(),
            format!("signal=B:USR2@{}", self.checkpoint_seconds),
            "open-mode=append".to_owned(),
            format!("output={}", shell_quoted(&logs)),
        ]);
        options
    }

    /// Number of ranks in each job.
    fn ranks(&self, file: &SweepFile) -> u32 {
        self.slots.get().saturating_mul(file.start.ranks as u32)
    }

    fn request(&self, file: &SweepFile) -> Request {
        Request {
            nodes: 1,
            gpus_per_node: if self.gpus { self.ranks(file) } else { 0 },
            time: self.time,
            partition: slurm::requested_partition(&self.extra),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use clap::Parser;
    use expect_test::{Expect, expect};

    use super::*;

    /// Checks the script, without the tail that all have, of `launcher sweep submit` with these options.
    fn check(sweep_file: &str, options: &str, expected: Expect) {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("six.toml");
        std::fs::write(&path, sweep_file).unwrap();
        let words = "launcher sweep submit six.toml --at-once 4 --time 04:00:00"
            .split(' ')
            .chain(options.split_whitespace());
        let crate::Command::Sweep(command) = crate::Cli::parse_from(words).command else {
            panic!("another command")
        };
        let super::super::Command::Submit(command) = command.command else { panic!("another command") };
        let (folder, file) = (SweepFolder::new("my sweeps/50%"), SweepFile::read(&path).unwrap());
        let text = command.text(&folder, &file, Path::new("/opt/launcher"), Path::new("/opt/trainer"));
        let text = text.replace(" --allow-run-as-root", "");
        expected.assert_eq(text.strip_suffix(slurm::TAIL).expect("the script ends like all"));
        assert!(Command::new("bash").args(["-n", "-c", &text]).status().unwrap().success());
    }

    const STUDY: &str =
        "mode = \"study\"\nrecipe = \"r.toml\"\nsamples = 3\nspace = [{ draw = \"regnet_x\" }]\n";

    #[test]
    fn a_study_on_processors() {
        check(
            STUDY,
            "--prune",
            expect![[r#"
            #!/bin/bash
            # Made by `launcher sweep submit`: each job trains one network of the sweep after another, and requeues itself
            # if it is stopped before none is left.
            #SBATCH --job-name=50%
            #SBATCH --array=1-4
            #SBATCH --nodes=1
            #SBATCH --ntasks-per-node=1
            #SBATCH --time=04:00:00
            #SBATCH --requeue
            #SBATCH --signal=B:USR2@120
            #SBATCH --open-mode=append
            #SBATCH --output='my sweeps/50%%/logs/slurm-%A-%a.log'

            command=(/opt/launcher sweep start 'my sweeps/50%' --slots=1 --trainer=/opt/trainer --gpus=none --no-wait --prune)

        "#]],
        );
    }

    #[test]
    fn a_search_on_gpus() {
        let search =
            STUDY.replace("study", "search") + "search = { method = \"asha\" }\nstart = { ranks = 2 }\n";
        check(
            &search,
            "--gpus --cpus-per-rank 8 --slots 2 --retry",
            expect![[r#"
            #!/bin/bash
            # Made by `launcher sweep submit`: each job trains one network of the sweep after another, and requeues itself
            # if it is stopped before none is left.
            #SBATCH --job-name=50%
            #SBATCH --array=1-4
            #SBATCH --nodes=1
            #SBATCH --ntasks-per-node=4
            #SBATCH --gpus-per-node=4
            #SBATCH --cpus-per-task=8
            #SBATCH --time=04:00:00
            #SBATCH --requeue
            #SBATCH --signal=B:USR2@120
            #SBATCH --open-mode=append
            #SBATCH --output='my sweeps/50%%/logs/slurm-%A-%a.log'

            command=(/opt/launcher sweep start 'my sweeps/50%' --slots=2 --trainer=/opt/trainer --retry)

        "#]],
        );
    }
}
