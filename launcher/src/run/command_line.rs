//! Builds the command that starts the ranks of a job: a pure function of the job.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use super::hosts::Host;
use super::mpi::{Kind, Starter};

/// A job: how many ranks to start, where, with which program and which options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) starter: Starter,
    pub(crate) ranks: usize,
    /// Empty for this host or the scheduler's allocation.
    pub(crate) hosts: Vec<Host>,
    /// Whether this is a Slurm allocation, in which the starter finds the hosts by itself.
    pub(crate) in_allocation: bool,
    /// Number of this host's GPUs that the ranks use: 0 for ranks on CPUs or on other hosts.
    pub(crate) gpus: usize,
    /// `CUDA_VISIBLE_DEVICES` for the ranks, if it differs from the inherited value.
    pub(crate) visible_gpus: Option<String>,
    /// The network interface for MPI and NCCL.
    pub(crate) interface: Option<String>,
    /// Whether more ranks than cores are allowed.
    pub(crate) oversubscribe: bool,
    /// Whether root starts the ranks.
    pub(crate) as_root: bool,
    /// Names of environment variables to forward to ranks on other hosts.
    pub(crate) forwarded: Vec<String>,
    /// Whether there is no ssh or rsh to reach other hosts; mpirun looks for one even if all ranks are on this host.
    pub(crate) isolated: bool,
    /// Signals that are blocked in the ranks until their handlers are installed.
    pub(crate) blocked_signals: Vec<&'static str>,
    /// Further options for the starter, given by the user.
    pub(crate) extra: Vec<String>,
    pub(crate) trainer: PathBuf,
    pub(crate) arguments: Vec<String>,
}

/// Options whose spelling differs between versions of Open MPI.
struct OpenMpi {
    tag_output: &'static str,
    oversubscribe: &'static str,
    /// Sets the network interface of mpirun's daemons; the interface's name follows.
    daemons_interface: &'static str,
    /// Detects a cut link after 13 seconds; without these options it is never detected.
    keep_alive: &'static str,
}

const OPEN_MPI_4: OpenMpi = OpenMpi {
    tag_output: "--tag-output",
    oversubscribe: "--oversubscribe",
    daemons_interface: "--mca oob_tcp_if_include",
    keep_alive: "--mca oob_tcp_keepalive_time 5 --mca oob_tcp_keepalive_intvl 2 --mca oob_tcp_keepalive_probes 3",
};

const OPEN_MPI_5: OpenMpi = OpenMpi {
    tag_output: "--output tag",
    oversubscribe: "--map-by :OVERSUBSCRIBE",
    daemons_interface: "--prtemca prte_if_include",
    keep_alive: "",
};

/// A program with its arguments and environment variables. Its `Display` form can be pasted into a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandLine {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Job {
    /// Builds the command line for the job's starter.
    pub(crate) fn command_line(&self) -> CommandLine {
        let mut arguments = match self.starter.kind {
            Kind::OpenMpi4 => self.open_mpi(&OPEN_MPI_4),
            Kind::OpenMpi5 => self.open_mpi(&OPEN_MPI_5),
            Kind::Mpich => self.mpich(),
            Kind::Srun => self.srun(),
        };
        arguments.extend(self.extra.iter().cloned());
        if !self.blocked_signals.is_empty() {
            arguments
                .extend(["env".to_owned(), format!("--block-signal={}", self.blocked_signals.join(","))]);
        }
        arguments.push(self.trainer.display().to_string());
        arguments.extend(self.arguments.iter().cloned());
        CommandLine {
            program: self.starter.program.display().to_string(),
            arguments,
            variables: self.variables(),
        }
    }

    /// Whether all ranks run on this host: no hosts are named and there is no allocation.
    pub(crate) fn is_on_this_host(&self) -> bool {
        self.hosts.is_empty() && !self.in_allocation
    }

    /// Environment variables of the starter, inherited by the ranks on this host.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = Vec::new();
        if let Some(gpus) = &self.visible_gpus {
            variables.push(("CUDA_VISIBLE_DEVICES", gpus.clone()));
        }
        if let Some(interface) = &self.interface {
            variables.push(("NCCL_SOCKET_IFNAME", interface.clone()));
        }
        if self.oversubscribe && self.starter.kind == Kind::OpenMpi4 {
            // Otherwise a waiting rank would spin and keep the core from a working one.
            variables.push(("OMPI_MCA_mpi_yield_when_idle", "1".into()));
        }
        if self.isolated && self.is_on_this_host() && self.starter.kind == Kind::OpenMpi4 {
            variables.push(("OMPI_MCA_plm", "isolated".into()));
        }
        variables
    }

    /// All variables to forward to other hosts: the user's and those set by [`Self::variables`].
    fn forwarded(&self) -> Vec<String> {
        let own = self.variables().into_iter().map(|(name, _)| name.to_owned());
        // The scheduler gives each node its own GPUs: this node's value is wrong on the others.
        let is_of_this_node = |name: &&String| self.in_allocation && *name == "CUDA_VISIBLE_DEVICES";
        self.forwarded.iter().filter(|name| !is_of_this_node(name)).cloned().chain(own).collect()
    }

    /// The hosts with their slots. `localhost` gets one slot per rank, so that mpirun does not count cores. None in an allocation,
    /// where the starter finds the hosts.
    fn places(&self) -> Option<String> {
        let entries: Vec<_> = self.hosts.iter().map(|host| format!("{}:{}", host.name, host.slots)).collect();
        match self.is_on_this_host() {
            true => Some(format!("localhost:{}", self.ranks)),
            false => Some(entries.join(",")).filter(|places| !places.is_empty()),
        }
    }

    fn open_mpi(&self, version: &OpenMpi) -> Vec<String> {
        let mut options = Options::default();
        options.add(version.tag_output).with("-n", self.ranks).with_some("--host", self.places());
        // Ranks bind themselves to their share of the cores near their GPU; mpirun's default is one core per rank.
        options.add("--bind-to none");
        options.add(if self.oversubscribe { version.oversubscribe } else { "" });
        options.add(if self.as_root { "--allow-run-as-root" } else { "" });
        if !self.is_on_this_host() {
            options.add(version.keep_alive);
            self.forwarded().into_iter().for_each(|name| _ = options.with("-x", name));
        }
        if let Some(interface) = &self.interface {
            options.with("--mca btl_tcp_if_include", interface).with(version.daemons_interface, interface);
        }
        options.0
    }

    fn mpich(&self) -> Vec<String> {
        let mut options = Options::default();
        options.add("-prepend-rank").with("-n", self.ranks);
        if !self.hosts.is_empty() {
            options.with_some("-hosts", self.places()).with("-genvlist", self.forwarded().join(","));
        }
        options.add("-bind-to none").with_some("-iface", self.interface.as_ref());
        options.0
    }

    fn srun(&self) -> Vec<String> {
        let mut options = Options::default();
        options.add("--mpi=pmix --label --unbuffered").add(&format!("--ntasks={}", self.ranks));
        options.0
    }
}

#[derive(Default)]
struct Options(Vec<String>);

impl Options {
    /// Appends words separated by spaces.
    fn add(&mut self, words: &str) -> &mut Self {
        self.0.extend(words.split_whitespace().map(str::to_owned));
        self
    }

    /// Appends words and a value that may contain any text.
    fn with(&mut self, words: &str, value: impl ToString) -> &mut Self {
        self.add(words).0.push(value.to_string());
        self
    }

    fn with_some(&mut self, words: &str, value: Option<impl ToString>) -> &mut Self {
        match value {
            Some(value) => self.with(words, value),
            None => self,
        }
    }
}

impl CommandLine {
    /// Converts it to a [`Command`].
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.variables {
            write!(f, "{name}={} ", shell_quoted(value))?;
        }
        write!(f, "{}", shell_quoted(&self.program))?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", shell_quoted(argument)))
    }
}

/// Quotes text for a POSIX shell.
pub(crate) fn shell_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+[]".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
pub(crate) mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    pub(crate) fn job(kind: Kind) -> Job {
        let program = if kind == Kind::Srun { "srun" } else { "mpirun" };
        Job {
            starter: Starter { program: program.into(), kind },
            ranks: 4,
            hosts: Vec::new(),
            in_allocation: kind == Kind::Srun,
            gpus: 0,
            visible_gpus: None,
            interface: None,
            oversubscribe: false,
            as_root: false,
            forwarded: vec!["REGATTA__OPTIM__LR".into()],
            isolated: false,
            blocked_signals: Vec::new(),
            extra: Vec::new(),
            trainer: "/opt/regatta/trainer".into(),
            arguments: vec!["--config".into(), "r.toml".into()],
        }
    }

    fn check(job: &Job, expected: Expect) {
        expected.assert_eq(&job.command_line().to_string());
    }

    const KINDS: [Kind; 4] = [Kind::OpenMpi4, Kind::OpenMpi5, Kind::Mpich, Kind::Srun];

    #[test]
    fn ranks_on_this_host() {
        let lines: Vec<_> = KINDS.map(|kind| job(kind).command_line().to_string()).to_vec();
        expect![[r#"
            mpirun --tag-output -n 4 --host localhost:4 --bind-to none /opt/regatta/trainer --config r.toml
            mpirun --output tag -n 4 --host localhost:4 --bind-to none /opt/regatta/trainer --config r.toml
            mpirun -prepend-rank -n 4 -bind-to none /opt/regatta/trainer --config r.toml
            srun --mpi=pmix --label --unbuffered --ntasks=4 /opt/regatta/trainer --config r.toml"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn ranks_on_two_hosts_over_one_interface() {
        let hosts = ["a", "b"].map(|name| Host { name: name.into(), slots: 2 }).to_vec();
        let lines: Vec<_> = KINDS[..3]
            .iter()
            .map(|&kind| {
                let job = Job { hosts: hosts.clone(), interface: Some("eth0".into()), ..job(kind) };
                job.command_line().to_string()
            })
            .collect();
        expect![[r#"
            NCCL_SOCKET_IFNAME=eth0 mpirun --tag-output -n 4 --host a:2,b:2 --bind-to none --mca oob_tcp_keepalive_time 5 --mca oob_tcp_keepalive_intvl 2 --mca oob_tcp_keepalive_probes 3 -x REGATTA__OPTIM__LR -x NCCL_SOCKET_IFNAME --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0 /opt/regatta/trainer --config r.toml
            NCCL_SOCKET_IFNAME=eth0 mpirun --output tag -n 4 --host a:2,b:2 --bind-to none -x REGATTA__OPTIM__LR -x NCCL_SOCKET_IFNAME --mca btl_tcp_if_include eth0 --prtemca prte_if_include eth0 /opt/regatta/trainer --config r.toml
            NCCL_SOCKET_IFNAME=eth0 mpirun -prepend-rank -n 4 -hosts a:2,b:2 -genvlist REGATTA__OPTIM__LR,NCCL_SOCKET_IFNAME -bind-to none -iface eth0 /opt/regatta/trainer --config r.toml"#]].assert_eq(&lines.join("\n"));
    }

    #[test]
    fn other_options() {
        let open_mpi = Job {
            visible_gpus: Some("1,3".into()),
            oversubscribe: true,
            as_root: true,
            extra: vec!["--mca".into(), "pml".into(), "it's".into()],
            ..job(Kind::OpenMpi4)
        };
        check(
            &open_mpi,
            expect![[
                r#"CUDA_VISIBLE_DEVICES=1,3 OMPI_MCA_mpi_yield_when_idle=1 mpirun --tag-output -n 4 --host localhost:4 --bind-to none --oversubscribe --allow-run-as-root --mca pml 'it'\''s' /opt/regatta/trainer --config r.toml"#
            ]],
        );
    }

    /// The scheduler gives each node GPUs of its own, which a variable of the first would take from the others.
    #[test]
    fn the_gpus_of_one_node_are_not_those_of_all() {
        let forwarded = vec!["CUDA_VISIBLE_DEVICES".into(), "NCCL_DEBUG".into()];
        for kind in [Kind::OpenMpi4, Kind::OpenMpi5] {
            let job = Job { in_allocation: true, forwarded: forwarded.clone(), ..job(kind) };
            let line = job.command_line().to_string();
            assert!(line.contains(" -x NCCL_DEBUG ") && !line.contains("CUDA_VISIBLE_DEVICES"), "{line}");
        }
        let hosts = vec![Host { name: "a".into(), slots: 4 }];
        let line = Job { hosts, forwarded, ..job(Kind::OpenMpi4) }.command_line().to_string();
        assert!(line.contains(" -x CUDA_VISIBLE_DEVICES -x NCCL_DEBUG "), "{line}");
    }

    #[test]
    fn without_ssh_and_with_blocked_signals() {
        let alone =
            Job { isolated: true, blocked_signals: vec!["INT", "TERM", "USR2"], ..job(Kind::OpenMpi4) };
        check(
            &alone,
            expect![[
                r#"OMPI_MCA_plm=isolated mpirun --tag-output -n 4 --host localhost:4 --bind-to none env --block-signal=INT,TERM,USR2 /opt/regatta/trainer --config r.toml"#
            ]],
        );
        let elsewhere = Job { hosts: vec![Host { name: "a".into(), slots: 4 }], ..alone };
        assert!(!elsewhere.command_line().to_string().contains("isolated"));
    }
}
