//! `launcher doctor`: checks hosts, GPUs and communication before a long run, in seconds, and suggests remedies.

mod facts;
mod findings;

mod data_set;
mod host;
mod job;
mod libraries;
mod nvidia;
mod ranks;
mod storage;

mod report;

#[cfg(test)]
mod testing;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use regatta_run_folder::{ExitCode, print_output};
use regatta_settings::{DataSource, Device, OptionalRecipeArgs, Recipe};
use serde::Serialize;

use crate::run::command_line::Job;
use crate::run::gpus::GpuSelection;
use crate::run::mpi::{Kind, Starter, Via};
use crate::run::placement::{Placement, cores, slurm_variable};
use facts::{Facts, HostFacts, JobFacts, Mpirun};
use findings::Finding;

/// Options of `launcher doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorCommand {
    #[command(flatten)]
    recipe: OptionalRecipeArgs,
    #[command(flatten)]
    placement: Placement,
    /// Prints facts and findings as JSON
    #[arg(long)]
    json: bool,
    /// Prints this host's facts as one line of JSON, for the doctor on another host
    #[arg(long, hide = true)]
    of_host: bool,
}

/// What the doctor inspects on each host.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    run_folder: PathBuf,
    /// Source of the recipe's images.
    data: Option<DataSource>,
}

/// The output of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    can_start: bool,
    findings: &'a [Finding],
    facts: &'a Facts,
}

/// Collects the facts and prints the findings; the exit code is 0 if a run can start, else 2.
///
/// # Errors
/// If the recipe or the options are invalid.
pub(crate) fn doctor(command: &DoctorCommand) -> Result<ExitCode> {
    if command.of_host {
        let raw = command.recipe.load()?;
        let subject = subject(raw.map(|raw| raw.resolve(1, None)).transpose()?.as_ref());
        print_output(serde_json::to_string(&host::read(&subject))?)?;
        return Ok(ExitCode::Done);
    }
    let facts = command.facts()?;
    let findings = findings::of(&facts);
    let can_start = findings::can_start(&findings);
    if command.json {
        let report = Report { can_start, findings: &findings, facts: &facts };
        print_output(serde_json::to_string_pretty(&report)?)?;
    } else {
        let findings: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        let verdict = if can_start { "a run can start" } else { "a run cannot start" };
        print_output(format_args!("{}\n{findings}{verdict}", report::table(&facts)))?;
    }
    Ok(if can_start { ExitCode::Done } else { ExitCode::Usage })
}

impl DoctorCommand {
    fn facts(&self) -> Result<Facts> {
        let raw = self.recipe.load()?;
        let device = raw.as_ref().map_or(Device::Auto, |raw| raw.train.device);
        let (mpirun, mpirun_problem) = value_and_problem(self.placement.starter(Via::Mpirun));
        let job = self.job(mpirun.as_ref(), device)?;
        let ranks = job.ranks;
        let recipe = raw.map(|raw| raw.resolve(ranks, None)).transpose()?;
        let (mut hosts, hosts_problem) = self.inspect_hosts(&job, recipe.as_ref(), mpirun.is_some())?;
        // Without a starter, or with hosts that do not answer, the probe would only repeat that problem.
        let may_start = (mpirun.is_some() || ranks == 1) && hosts_problem.is_none();
        let probed = may_start.then(|| ranks::probe(&job, self.options_of_probe(device, &hosts)));
        let (probe, probe_problem) = value_and_problem(probed.transpose().map_err(anyhow::Error::msg));
        let probe = probe.flatten();
        if let Some(probe) = &probe {
            ranks::compare_clocks(&mut hosts, probe);
        }
        Ok(Facts {
            job: JobFacts {
                ranks,
                ranks_per_host: job::most_on_a_host(&job.hosts, slurm_variable("SLURM_JOB_NUM_NODES"), ranks),
                device,
                checkpoints_bytes: recipe.as_ref().map(job::checkpoints_bytes),
            },
            hosts,
            hosts_problem,
            trainer: libraries::of(&job.trainer),
            mpirun: mpirun.as_ref().map(mpirun_version),
            mpirun_problem,
            probe,
            probe_problem,
        })
    }

    /// Options of `trainer probe`. Without the recipe if data files are missing, which the loader would only report again.
    fn options_of_probe(&self, device: Device, hosts: &[HostFacts]) -> Vec<String> {
        let files = hosts.iter().flat_map(|host| &host.data).flat_map(|data| &data.files);
        let has_data = !files.into_iter().any(|file| file.problem.is_some());
        let mut options = if has_data { self.recipe.to_arguments() } else { Vec::new() };
        options.extend((device == Device::Cpu).then(|| "--cpu".to_owned()));
        options
    }

    /// The job whose ranks are probed. Without an mpirun a placeholder is filled in, and never started.
    fn job(&self, mpirun: Option<&Starter>, device: Device) -> Result<Job> {
        let starter = mpirun.cloned().unwrap_or(Starter { program: "mpirun".into(), kind: Kind::OpenMpi4 });
        let job = self.placement.job(starter, device, &GpuSelection::All)?;
        Ok(Job { oversubscribe: job.hosts.is_empty() && job.ranks > cores(), ..job })
    }

    /// Collects the facts of this host, or of each that was named.
    fn inspect_hosts(
        &self,
        job: &Job,
        recipe: Option<&Recipe>,
        can_start_there: bool,
    ) -> Result<(Vec<HostFacts>, Option<String>)> {
        if job.hosts.is_empty() || !can_start_there {
            return Ok((vec![host::read(&subject(recipe))], None));
        }
        let own = std::env::current_exe().context("cannot find the launcher's own path")?;
        let arguments =
            [vec!["doctor".to_owned(), "--of-host".to_owned()], self.recipe.to_arguments()].concat();
        Ok(match ranks::hosts(job, &own, &arguments) {
            Ok(hosts) => (hosts, None),
            Err(problem) => (Vec::new(), Some(problem)),
        })
    }
}

/// Without a recipe, the run folder is the default of recipes.
fn subject(recipe: Option<&Recipe>) -> Subject {
    Subject {
        run_folder: recipe.map_or_else(|| "runs".into(), |recipe| recipe.run.folder.clone()),
        data: recipe.map(|recipe| recipe.data.source.clone()),
    }
}

/// Splits a result into its value and its error, with the causes in one line.
fn value_and_problem<T>(outcome: Result<T>) -> (Option<T>, Option<String>) {
    match outcome {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    }
}

fn mpirun_version(starter: &Starter) -> Mpirun {
    let output = Command::new(&starter.program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let version = text.lines().next().unwrap_or_default().to_owned();
    Mpirun { path: starter.program.clone(), version }
}
