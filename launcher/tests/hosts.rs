//! Two hosts with cables that can be cut: network namespaces on this machine, with host names of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Two network namespaces on a bridge, `one` and `two`; removed when dropped.
pub(crate) struct Hosts {
    folder: TempDir,
    /// Distinguishes their names from those of other tests.
    id: u32,
}

impl Hosts {
    /// Creates the hosts; None if this machine does not allow it.
    pub(crate) fn up() -> Option<Self> {
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

    /// The address of host 1 or 2, or of the namespace between them (254).
    pub(crate) fn address(&self, last: u32) -> String {
        format!("10.{}.{}.{last}", 80 + self.id / 250, self.id % 250)
    }

    /// Creates the namespaces. The bridge and its ends of the cables have a namespace of their own, so this host is unchanged.
    fn make(&self) -> Result<(), String> {
        let middle = self.name("m");
        let address = self.address(254);
        self.sh(&format!(
            "ip -n {middle} link set lo up && ip -n {middle} link add switch type bridge \
             && ip -n {middle} addr add {address}/24 dev switch && ip -n {middle} link set switch up"
        ))?;
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
        // Takes the arguments of ssh: a host, and words for a shell there.
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

    /// A file of the hosts: `on HOST COMMAND` runs a command on a host, `agent` does so with the arguments of ssh.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sh(&self, script: &str) -> Result<(), String> {
        let output = Command::new("sh").args(["-c", script]).output().map_err(|error| error.to_string())?;
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() { Ok(()) } else { Err(stderr) }
    }

    /// Unplugs the cable of a host (`down`), or plugs it in again (`up`).
    pub(crate) fn cable(&self, host: u32, state: &str) {
        self.sh(&format!("ip -n {} link set to{host} {state}", self.name("m"))).unwrap();
    }

    /// The namespace between the hosts, which reaches both.
    pub(crate) fn middle(&self) -> String {
        format!("/run/netns/{}", self.name("m"))
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in ["one", "two", "m"] {
            _ = self.sh(&format!("ip netns del {}", self.name(host)));
        }
    }
}
