//! `launcher sweep submit`: submits a sweep to Slurm as a job array, each task of which trains one network after another.

use std::fmt::Write;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use regatta_run_folder::ExitCode;
use regatta_settings::Device;
use regatta_sweep::{Mode, SweepFile, SweepFolder};

use super::device;
use super::start::Sweep;
use crate::failure::Usage;
use crate::run::command_line::shell_quoted;
use crate::slurm::{self, JobOptions, Resources};
use crate::trainer_binary;

/// Options of `launcher sweep submit`.
#[derive(Debug, clap::Args)]
#[command(mut_arg("time", |time| time.help("Time limit of each job; it is requeued until no network is left")))]
pub(crate) struct SubmitCommand {
    /// The sweep file, or the folder of a sweep that was started before
    #[arg(value_name = "FILE|SWEEP")]
    sweep: PathBuf,
    /// Number of jobs at once, the tasks of the array
    #[arg(long, value_name = "N", value_parser = slurm::count)]
    at_once: NonZeroU32,
    /// Number of runs at once in each job
    #[arg(long, value_name = "N", value_parser = slurm::count, default_value = "1")]
    slots: NonZeroU32,
    /// Gives each rank a GPU
    #[arg(long)]
    gpus: bool,
    /// Trains networks again that failed before, once in each start of a job
    #[arg(long)]
    retry: bool,
    /// Removes the folders of runs whose results are recorded
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    job: JobOptions,
}

/// Prints the script, or creates the sweep's folder, submits the array and prints its job's number.
///
/// # Errors
/// If the sweep or the options are invalid, no partition can run the jobs, or sbatch rejects them.
pub(crate) fn submit(command: &SubmitCommand) -> Result<u8> {
    let trainer = trainer_binary::find(command.job.trainer.as_deref())?;
    let sweep = Sweep::read(&command.sweep)?;
    let script = command.script(&sweep.folder, &sweep.file, &trainer)?;
    if let Some(partitions) = slurm::partitions() {
        command.job.check_partition(&partitions, command.resources(&sweep.file))?;
    }
    command.check_device(device(&sweep.check()?)?)?;
    if !command.job.dry_run {
        sweep.create()?;
    }
    command.job.submit(&script)?;
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
        self.job.check()?;
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
        let folder_of_logs = folder.logs().display().to_string().replace('%', "%%");
        let log = format!("{folder_of_logs}/slurm-%A-%a.log");
        script += &self.job.directives(&folder.name(), self.resources(file), "USR2", &log);
        _ = writeln!(script, "#SBATCH --array=1-{}", self.at_once);
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

    fn resources(&self, file: &SweepFile) -> Resources {
        let ranks = self.slots.get().saturating_mul(file.start.ranks as u32);
        Resources { nodes: 1, ranks_per_node: ranks, gpus_per_node: self.gpus.then_some(ranks) }
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
            #SBATCH --nodes=1
            #SBATCH --ntasks-per-node=1
            #SBATCH --time=04:00:00
            #SBATCH --requeue
            #SBATCH --signal=B:USR2@120
            #SBATCH --open-mode=append
            #SBATCH --output='my sweeps/50%%/logs/slurm-%A-%a.log'
            #SBATCH --array=1-4

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
            #SBATCH --nodes=1
            #SBATCH --ntasks-per-node=4
            #SBATCH --gpus-per-node=4
            #SBATCH --cpus-per-task=8
            #SBATCH --time=04:00:00
            #SBATCH --requeue
            #SBATCH --signal=B:USR2@120
            #SBATCH --open-mode=append
            #SBATCH --output='my sweeps/50%%/logs/slurm-%A-%a.log'
            #SBATCH --array=1-4

            command=(/opt/launcher sweep start 'my sweeps/50%' --slots=2 --trainer=/opt/trainer --retry)

        "#]],
        );
    }
}
