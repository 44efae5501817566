//! `launcher doctor`: what to know before a long run, measured in seconds, and what to do about it.

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

use crate::run::command_line;
use crate::run::gpus::Wanted;
use crate::run::mpi::{Kind, Starter, Via};
use crate::run::placement::{Placement, cores, of_allocation};
use facts::{Facts, HostFacts, Job, Mpirun};
use findings::Finding;

/// What `launcher doctor` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorCommand {
    #[command(flatten)]
    recipe: OptionalRecipeArgs,
    #[command(flatten)]
    placement: Placement,
    /// Prints facts and findings as JSON
    #[arg(long)]
    json: bool,
    /// Prints what this host says of itself, on one line: for the doctor on another host
    #[arg(long, hide = true)]
    of_host: bool,
}

/// What is looked at on each host.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    run_folder: PathBuf,
    /// Where the recipe's images come from.
    data: Option<DataSource>,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Report<'a> {
    can_start: bool,
    findings: &'a [Finding],
    facts: &'a Facts,
}

/// Looks, measures and tells; the exit code says whether a run can start.
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
        let (mpirun, mpirun_problem) = halves(self.placement.starter(Via::Mpirun));
        let job = self.job(mpirun.as_ref(), device)?;
        let ranks = job.ranks;
        let recipe = raw.map(|raw| raw.resolve(ranks, None)).transpose()?;
        let (mut there, hosts_problem) = self.look_at_hosts(&job, recipe.as_ref(), mpirun.is_some())?;
        // Without what starts them, or where hosts do not answer, ranks would only say so once more.
        let may_start = (mpirun.is_some() || ranks == 1) && hosts_problem.is_none();
        let probed = may_start.then(|| ranks::probe(&job, self.options_of_probe(device, &there)));
        let (probe, probe_problem) = halves(probed.transpose().map_err(anyhow::Error::msg));
        let probe = probe.flatten();
        if let Some(probe) = &probe {
            ranks::compare_clocks(&mut there, probe);
        }
        Ok(Facts {
            job: Job {
                ranks,
                ranks_per_host: job::most_on_a_host(&job.hosts, of_allocation("SLURM_JOB_NUM_NODES"), ranks),
                device,
                checkpoints_bytes: recipe.as_ref().map(job::checkpoints_bytes),
            },
            hosts: there,
            hosts_problem,
            trainer: libraries::of(&job.trainer),
            mpirun: mpirun.as_ref().map(says_of_itself),
            mpirun_problem,
            probe,
            probe_problem,
        })
    }

    /// With files missing, the loader would only say so once more.
    fn options_of_probe(&self, device: Device, hosts: &[HostFacts]) -> Vec<String> {
        let files = hosts.iter().flat_map(|host| &host.data).flat_map(|data| &data.files);
        let has_data = !files.into_iter().any(|file| file.problem.is_some());
        let mut options = if has_data { self.recipe.to_arguments() } else { Vec::new() };
        options.extend((device == Device::Cpu).then(|| "--cpu".to_owned()));
        options
    }

    /// The job whose ranks are looked at. Where there is no mpirun nothing is started with it.
    fn job(&self, mpirun: Option<&Starter>, device: Device) -> Result<command_line::Job> {
        let starter = mpirun.cloned().unwrap_or(Starter { program: "mpirun".into(), kind: Kind::OpenMpi4 });
        let job = self.placement.job(starter, device, &Wanted::All)?;
        Ok(command_line::Job { oversubscribe: job.hosts.is_empty() && job.ranks > cores(), ..job })
    }

    /// This host, or each that was named.
    fn look_at_hosts(
        &self,
        job: &command_line::Job,
        recipe: Option<&Recipe>,
        can_ask: bool,
    ) -> Result<(Vec<HostFacts>, Option<String>)> {
        if job.hosts.is_empty() || !can_ask {
            return Ok((vec![host::read(&subject(recipe))], None));
        }
        let own = std::env::current_exe().context("cannot tell where this launcher is")?;
        let arguments =
            [vec!["doctor".to_owned(), "--of-host".to_owned()], self.recipe.to_arguments()].concat();
        Ok(match ranks::hosts(job, &own, &arguments) {
            Ok(hosts) => (hosts, None),
            Err(problem) => (Vec::new(), Some(problem)),
        })
    }
}

/// Without a recipe, runs go where recipes say by default.
fn subject(recipe: Option<&Recipe>) -> Subject {
    Subject {
        run_folder: recipe.map_or_else(|| "runs".into(), |recipe| recipe.run.folder.clone()),
        data: recipe.map(|recipe| recipe.data.source.clone()),
    }
}

/// The value or the error, whose causes are told in one line.
fn halves<T>(outcome: Result<T>) -> (Option<T>, Option<String>) {
    match outcome {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    }
}

fn says_of_itself(starter: &Starter) -> Mpirun {
    let output = Command::new(&starter.program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let version = text.lines().next().unwrap_or_default().to_owned();
    Mpirun { path: starter.program.clone(), version }
}
