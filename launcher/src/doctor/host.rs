//! Reads this host's facts from /proc, /sys and /dev, without libtorch.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use regatta_run_folder::host_name;

use super::facts::{HostFacts, Interface, Limit};
use super::nvidia;
use super::storage::{self, space_of};
use super::{Subject, data_set};
use crate::run::placement::cores;

/// Collects this host's facts, including those about the run folder and the data set.
pub(crate) fn read(subject: &Subject) -> HostFacts {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    HostFacts {
        name: host_name(),
        clock_apart_s: 0.0,
        cores: cores(),
        nvidia: nvidia::read(Path::new("/")),
        interfaces: interfaces(Path::new("/sys/class/net")),
        infiniband: names_in(Path::new("/sys/class/infiniband")),
        shared_memory: space_of(Path::new("/dev/shm")).ok(),
        open_files: limit(&limits, "Max open files"),
        locked_memory_bytes: limit(&limits, "Max locked memory"),
        run_folder: storage::inspect(&subject.run_folder),
        data: subject.data.as_ref().and_then(data_set::inspect),
        clock_ns: now_ns(), // last, right before the line is printed
    }
}

/// The current Unix time in nanoseconds.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}

/// Sorted names of a folder's entries; empty if the folder does not exist.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// Reads a file that holds a single word, as in /sys.
pub(crate) fn word(path: PathBuf) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn interfaces(folder: &Path) -> Vec<Interface> {
    let names = names_in(folder).into_iter().filter(|name| name != "lo");
    let interface = |name: String| Interface {
        is_up: word(folder.join(&name).join("operstate")).is_some_and(|state| state == "up"),
        // Virtual interfaces report -1 or cannot be read.
        megabit_per_second: word(folder.join(&name).join("speed")).and_then(|speed| speed.parse().ok()),
        name,
    };
    names.map(interface).collect()
}

/// Parses a line of /proc/self/limits: name, soft limit, hard limit, unit.
fn limit(limits: &str, name: &str) -> Limit {
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let mut numbers = line.split_whitespace().map(|word| word.parse().ok());
    Limit { soft: numbers.next().flatten(), hard: numbers.next().flatten() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_or_none() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 524288               files     \n\
                    Max locked memory         8388608              unlimited            bytes     \n";
        assert_eq!(limit(text, "Max open files"), Limit { soft: Some(1024), hard: Some(524_288) });
        assert_eq!(limit(text, "Max locked memory"), Limit { soft: Some(8_388_608), hard: None });
    }

    #[test]
    fn the_loopback_is_no_interface() {
        let folder = tempfile::tempdir().unwrap();
        for (name, state, speed) in [("eth0", "up", "100000"), ("ib0", "down", "-1"), ("lo", "unknown", "")] {
            let interface = folder.path().join(name);
            fs::create_dir(&interface).unwrap();
            fs::write(interface.join("operstate"), format!("{state}\n")).unwrap();
            fs::write(interface.join("speed"), format!("{speed}\n")).unwrap();
        }
        let found: Vec<_> = interfaces(folder.path())
            .into_iter()
            .map(|it| (it.name, it.is_up, it.megabit_per_second))
            .collect();
        assert_eq!(found, [("eth0".to_owned(), true, Some(100_000)), ("ib0".to_owned(), false, None)]);
    }
}
