//! Two hosts joined by a cable that can be cut: network namespaces of this machine, with host names of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use regatta_run::{AttemptRecord, RunFolder};
use tempfile::TempDir;
use test_jobs::{TINY, Workdir};

/// Two namespaces on a bridge, `one` and `two`. Dropped, they are gone.
struct Hosts {
    folder: TempDir,
    /// Tells their names from those of other tests.
    id: u32,
}

impl Hosts {
    /// None where this machine does not let us.
    fn up() -> Option<Self> {
        let hosts = Self { folder: tempfile::tempdir().unwrap(), id: std::process::id() % 10_000 };
        let middle = hosts.name("m");
        let may =
            format!("ip netns add {middle} && nsenter --net=/run/netns/{middle} unshare --uts --mount true");
        if let Err(why) = hosts.sh(&may) {
            println!("skipped: two hosts need root and iproute2: {why}");
            return None;
        }
        hosts.make().unwrap();
        Some(hosts)
    }

    fn name(&self, host: &str) -> String {
        format!("rg{}{host}", self.id)
    }

    fn address(&self, last: u32) -> String {
        format!("10.{}.{}.{last}", 80 + self.id / 250, self.id % 250)
    }

    /// The bridge and the far ends of the cables live in a namespace of their own: nothing of this host changes.
    fn make(&self) -> Result<(), String> {
        let middle = self.name("m");
        self.sh(&format!("ip -n {middle} link add switch type bridge && ip -n {middle} link set switch up"))?;
        for (number, host) in [(1, "one"), (2, "two")] {
            let (space, address) = (self.name(host), self.address(number));
            self.sh(&format!(
                "ip netns add {space} \
                 && ip -n {middle} link add to{number} type veth peer name eth0 netns {space} \
                 && ip -n {middle} link set to{number} master switch up && ip -n {space} link set lo up \
                 && ip -n {space} addr add {address}/24 dev eth0 && ip -n {space} link set eth0 up"
            ))?;
        }
        let (one, two) = (self.address(1), self.address(2));
        fs::write(self.file("hosts"), format!("127.0.0.1 localhost\n{one} one\n{two} two\n")).unwrap();
        // As ssh: a host, and words that are given to a shell there.
        let agent =
            format!("#!/bin/sh\nhost=$1; shift\nexec {} \"$host\" sh -c \"$*\"\n", self.file("on").display());
        let on = format!(
            "#!/bin/sh\nhost=$1; shift\nexec nsenter --net=/run/netns/rg{}$host unshare --uts --mount sh -c \
             'mount --bind {} /etc/hosts && hostname \"$0\" && exec \"$@\"' \"$host\" \"$@\"\n",
            self.id,
            self.file("hosts").display()
        );
        for (name, text) in [("agent", agent), ("on", on)] {
            fs::write(self.file(name), text).unwrap();
            fs::set_permissions(self.file(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        self.sh(&format!("{} one true", self.file("on").display()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sh(&self, script: &str) -> Result<(), String> {
        let output = Command::new("sh").args(["-c", script]).output().map_err(|error| error.to_string())?;
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() { Ok(()) } else { Err(stderr) }
    }

    /// Takes the cable of the second host out, or puts it in again.
    fn cable(&self, state: &str) {
        self.sh(&format!("ip -n {} link set to2 {state}", self.name("m"))).unwrap();
    }

    /// `launcher run` on the first host, a rank on each.
    fn job<'a>(&self, workdir: &'a Workdir, options: &str) -> test_jobs::Job<'a> {
        self.launcher(workdir, &format!("run {options}"))
    }

    /// The launcher on the first host, for a rank on each.
    fn launcher<'a>(&self, workdir: &'a Workdir, command: &str) -> test_jobs::Job<'a> {
        let net = format!("{}/24", self.address(0));
        let mpi = format!(
            "--mca plm_rsh_agent {} --mca btl_tcp_if_include {net} --mca oob_tcp_if_include {net}",
            self.file("agent").display()
        );
        let on = self.file("on");
        let line = format!("{command} --config recipe.toml --hosts one:1,two:1 -- {mpi}");
        workdir.launcher(&line).under(&[on.to_str().unwrap(), "one"])
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in ["one", "two", "m"] {
            _ = self.sh(&format!("ip netns del {}", self.name(host)));
        }
    }
}

/// Some seconds of steps.
const STEPS: &str = "--set train.max_steps=300 --set checkpoint.interval_steps=50 --set eval.interval_epochs=0 \
                     --set data.synthetic_train_images=200000";

fn weights(run: &RunFolder) -> Vec<u8> {
    fs::read(run.checkpoint(300).join("model.safetensors")).unwrap()
}

/// The weights that an undisturbed run on this host ends with.
fn undisturbed(workdir: &Workdir) -> Vec<u8> {
    let common = "run --config recipe.toml -n 2 --oversubscribe --name undisturbed";
    workdir.launcher(&format!("{common} {STEPS}")).ends_with(0);
    weights(&workdir.run("undisturbed"))
}

#[test]
fn a_rank_on_each_computes_what_two_on_one_do() {
    let Some(hosts) = Hosts::up() else { return };
    let workdir = Workdir::new(TINY);
    let ended = hosts.job(&workdir, STEPS).ends_with(0).says("2 ranks over ");
    let run = workdir.run("recipe");
    assert_eq!(AttemptRecord::read(&run.attempt(1)).unwrap().start.host, "one", "{ended}");
    let ledger = regatta_run::ledger::Snapshot::read(&run.ledger(1)).unwrap();
    assert_eq!((ledger.host.as_str(), ledger.world_size), ("two", 2));
    assert!(weights(&run) == undisturbed(&workdir), "{ended}");
}

/// With --min-ranks the run goes on without a host that does not answer.
#[test]
fn a_host_that_is_gone_is_left_out() {
    let Some(hosts) = Hosts::up() else { return };
    let workdir = Workdir::new(TINY);
    let options = format!("{STEPS} --set comm.timeout_s=3 --min-ranks 1 --back-off 1");
    let mut running = hosts.job(&workdir, &options).start();
    let run = workdir.run("recipe");
    running.wait_for_file(&run.metrics(), |text| text.lines().count() >= 60);
    hosts.cable("down");
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(0), &[][..]), "{ended}");
    let ended = ended.says("launcher: goes on with 1 of 2 ranks").says("1 ranks over ");
    assert_eq!(AttemptRecord::read(&run.attempt(2)).unwrap().start.world_size, 1, "{ended}");
    assert!(run.checkpoint(300).exists(), "{ended}");
}

/// Both ranks wait in vain, say so and end; mpirun notices that a host is gone; the next start finds the cable in again.
#[test]
fn a_cut_cable_is_survived() {
    let Some(hosts) = Hosts::up() else { return };
    let workdir = Workdir::new(TINY);
    let options = format!("{STEPS} --set comm.timeout_s=3 --max-restarts 9 --back-off 1");
    let mut running = hosts.job(&workdir, &options).start();
    let run = workdir.run("recipe");
    running.wait_for_file(&run.metrics(), |text| text.lines().count() >= 60);
    hosts.cable("down");
    let cut = Instant::now();
    running.wait_for_message("launcher: rank ");
    assert!(cut.elapsed() < Duration::from_secs(60), "{:?}", cut.elapsed());
    hosts.cable("up");
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(0), &[][..]), "{ended}");
    let ended = ended.says("a collective is not through after 3 s (comm.timeout_s): ");
    assert!(weights(&run) == undisturbed(&workdir), "{ended}");
}

/// A doctor on each host tells of it, and ranks on both measure.
#[test]
fn both_hosts_are_looked_at() {
    let Some(hosts) = Hosts::up() else { return };
    let workdir = Workdir::new(TINY);
    let ended = hosts.launcher(&workdir, "doctor --json").ends_with(0);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let facts = &report["facts"];
    let found: Vec<_> = facts["hosts"].as_array().unwrap().iter().map(|host| &host["name"]).collect();
    assert_eq!(found, ["one", "two"], "{ended}");
    // Of one clock.
    let apart = facts["hosts"][1]["clock_apart_s"].as_f64().unwrap();
    assert!(apart.abs() < 0.5, "{apart}");
    assert_eq!((&facts["job"]["ranks_per_host"], &facts["probe"]["world_size"]), (&1.into(), &2.into()));
    assert_eq!(facts["hosts"][0]["interfaces"][0]["name"], "eth0");

    hosts.cable("down");
    let ended = hosts.launcher(&workdir, "doctor").ends_with(2);
    assert!(ended.stdout.contains("cannot start: the hosts do not answer: "), "{ended}");
}
