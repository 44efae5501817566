//! A Slurm cluster for one test: controller, two nodes and munge on this machine, with its own ports and folder.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use test_jobs::scrub;

use crate::hosts::Hosts;

/// Longest wait for one event, on a machine that has other work too.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// Longest wait for the end of a cluster's jobs, or of its daemons.
const CLEANING: Duration = Duration::from_secs(15);
/// Marks every process of every job of a cluster.
const MARK: &str = "REGATTA_TEST_CLUSTER";
const PROGRAMS: [&str; 9] =
    ["slurmctld", "slurmd", "munged", "sbatch", "srun", "scontrol", "mpirun", "setpriv", "unshare"];

/// A running cluster; ended, with all its jobs, when dropped.
pub(crate) struct Cluster {
    folder: TempDir,
    daemons: Vec<Child>,
    /// The hosts that its nodes run on, if they have hosts of their own.
    pub(crate) hosts: Option<Hosts>,
}

impl Cluster {
    /// Starts a cluster with additional lines for slurm.conf. With hosts, its nodes run on them and its controller between
    /// them. If this machine cannot run Slurm, prints the reason and returns None.
    pub(crate) fn start(hosts: Option<Hosts>, more: &str) -> Option<Self> {
        if let Err(reason) = usable() {
            println!("skipped: {reason}");
            return None;
        }
        let folder =
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
        let mut cluster = Self { folder, daemons: Vec::new(), hosts };
        cluster.write_files(more);
        cluster.start_daemons();
        Some(cluster)
    }

    /// The folder that jobs are submitted from.
    pub(crate) fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// A command in that folder that uses this cluster, in the environment that its jobs inherit.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = match &self.hosts {
            None => Command::new(program.as_ref()),
            Some(hosts) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", hosts.middle())).arg(program.as_ref());
                command
            }
        };
        scrub(&mut command);
        command.env_remove("TRAINER");
        command
            .current_dir(self.work())
            .env("SLURM_CONF", self.configuration())
            .env(MARK, self.path())
            .envs(["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"].map(|name| (name, "1")))
            // The nodes share this machine's cores: ranks must neither be bound to a core nor spin.
            .env("OMPI_MCA_hwloc_base_binding_policy", "none")
            .env("OMPI_MCA_mpi_yield_when_idle", "1")
            // Files that killed ranks leave are removed with the folder.
            .env("OMPI_MCA_btl_vader_backing_directory", self.path())
            .stdin(Stdio::null());
        command
    }

    /// The standard output of a command, which must succeed.
    pub(crate) fn output(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Waits until `is_so`.
    pub(crate) fn wait_until(&self, what: &str, is_so: impl FnMut() -> bool) {
        assert!(within(LIMIT, is_so), "no {what} in {LIMIT:?}\n{}", self.explain());
    }

    /// Whether everything that jobs started has ended.
    pub(crate) fn has_no_processes(&self) -> bool {
        self.processes().is_empty()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn configuration(&self) -> PathBuf {
        self.path().join("slurm.conf")
    }

    fn write_files(&self, more: &str) {
        for folder in ["work", "state", "spool.node1", "spool.node2", "tmp.node1", "tmp.node2"] {
            fs::create_dir(self.path().join(folder)).unwrap();
        }
        for gpu in ["gpu0", "gpu1"] {
            symlink("/dev/null", self.path().join(gpu)).unwrap(); // a GPU is a device file
        }
        let [controller, node1, node2] = free_ports().map(|port| port.to_string());
        let fill = |template: &str| {
            template
                .replace("@controller@", &self.address(254))
                .replace("@node1@", &self.address(1))
                .replace("@node2@", &self.address(2))
                .replace("@folder@", self.path().to_str().unwrap())
                .replace("@controller_port@", &controller)
                .replace("@node1_port@", &node1)
                .replace("@node2_port@", &node2)
                .replace("@more@", more)
        };
        fs::write(self.configuration(), fill(include_str!("slurm.conf"))).unwrap();
        fs::write(self.path().join("gres.conf"), fill(include_str!("gres.conf"))).unwrap();
        let key = self.path().join("munge.key");
        fs::write(&key, [7; 1024]).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    }

    fn address(&self, number: u32) -> String {
        self.hosts.as_ref().map_or_else(|| "127.0.0.1".to_owned(), |hosts| hosts.address(number))
    }

    /// The command line that runs a shell script as a node, with a host name of its own: ranks on one host name would use Open
    /// MPI's shared memory.
    fn as_node(&self, number: u32) -> String {
        match &self.hosts {
            None => "unshare --uts".to_owned(),
            Some(hosts) => format!("{} {}", hosts.file("on").display(), ["one", "two"][number as usize - 1]),
        }
    }

    fn start_daemons(&mut self) {
        let at = |name: &str| self.path().join(name).display().to_string();
        let munged = format!(
            "exec munged --foreground --key-file={} --socket={} --pid-file={} --log-file={} --seed-file={}",
            at("munge.key"),
            at("munge.socket"),
            at("munged.pid"),
            at("munged.log"),
            at("munged.seed"),
        );
        let socket = self.path().join("munge.socket");
        let configuration = self.configuration().display().to_string();
        self.daemon(&munged);
        self.wait_until("socket of munge", || socket.exists());
        self.daemon(&format!("exec slurmctld -D -f {configuration}"));
        // A node that finds no controller retries only after a minute or two.
        self.wait_until("answer of the controller", || {
            self.command("sinfo").stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
        });
        for number in [1, 2] {
            let node = format!("node{number}");
            self.daemon(&format!(
                "exec {} sh -c 'hostname {node} && exec slurmd -D -f {configuration} -N {node}'",
                self.as_node(number)
            ));
        }
        self.wait_until("two idle nodes", || {
            let sinfo =
                self.command("sinfo").args(["-h", "-p", "low", "-t", "idle", "-o", "%D"]).output().unwrap();
            sinfo.stdout.trim_ascii() == b"2"
        });
    }

    /// Starts a daemon in the foreground; it ends with this thread at the latest.
    fn daemon(&mut self, script: &str) {
        let log =
            fs::File::options().create(true).append(true).open(self.path().join("daemons.log")).unwrap();
        let child = self
            .command("setpriv")
            .args(["--pdeathsig", "TERM", "sh", "-c", script])
            .env("PATH", search_path())
            .env_remove(MARK)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.daemons.push(child.unwrap());
    }

    /// The ends of the logs of daemons and jobs.
    fn explain(&self) -> String {
        let logs = |folder: &Path| {
            let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            files.filter(|file| file.extension().is_some_and(|ending| ending == "log")).collect::<Vec<_>>()
        };
        let files = [logs(self.path()), logs(&self.work())].concat();
        let text = |file: &PathBuf| {
            let bytes = fs::read(file).unwrap_or_default();
            let end = &bytes[bytes.len().saturating_sub(3000)..];
            format!("--- {}\n{}", file.display(), String::from_utf8_lossy(end))
        };
        files.iter().map(text).collect()
    }

    /// Every live process of the cluster's jobs.
    fn processes(&self) -> Vec<String> {
        let mark = format!("{MARK}={}", self.path().display());
        let is_marked = |pid: &String| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|entry| entry == mark.as_bytes())
        };
        let names =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).filter(is_marked).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.explain());
        }
        self.end_jobs();
        let alive = self.daemons.iter_mut().filter_map(|daemon| match daemon.try_wait() {
            Ok(None) => Some(daemon.id().to_string()),
            _ => None,
        });
        kill("TERM", &alive.collect::<Vec<_>>());
        within(CLEANING, || self.daemons.iter_mut().all(|daemon| matches!(daemon.try_wait(), Ok(Some(_)))));
        for daemon in &mut self.daemons {
            _ = daemon.kill();
            _ = daemon.wait();
        }
    }
}

impl Cluster {
    /// Cancels all jobs through the controller, so that the nodes' helpers end too, then kills what is left.
    fn end_jobs(&self) {
        _ = self.command("scancel").arg("--user=root").stderr(Stdio::null()).status();
        let no_jobs = || self.command("squeue").arg("-h").output().is_ok_and(|jobs| jobs.stdout.is_empty());
        within(CLEANING, || no_jobs() && self.has_no_processes());
        kill("KILL", &self.processes());
    }
}

/// Sends a signal to processes, ignoring those that have ended.
fn kill(signal: &str, pids: &[String]) {
    if !pids.is_empty() {
        _ = Command::new("kill").arg(format!("-{signal}")).args(pids).stderr(Stdio::null()).status();
    }
}

/// Checks that a cluster can be started here; the error is the reason why not.
fn usable() -> Result<(), String> {
    for program in PROGRAMS {
        let is_there = |folder: PathBuf| folder.join(program).exists();
        if !std::env::split_paths(&search_path()).any(is_there) {
            return Err(format!("no {program}"));
        }
    }
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Err("a Slurm that starts jobs must be root".to_owned());
    }
    let unshare = Command::new("unshare").args(["--uts", "true"]).stderr(Stdio::null()).status();
    match unshare.is_ok_and(|status| status.success()) {
        true => Ok(()),
        false => Err("no host names of our own (unshare --uts)".to_owned()),
    }
}

/// PATH with the folders of system daemons added.
fn search_path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Three unused ports.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Waits until `is_so`; returns whether that happened within the limit.
fn within(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}
