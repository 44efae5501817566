//! A process with everything that it started, ended at once.

use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};

/// Kills a process and its descendants, those in process groups of their own too. What is gone already is passed over.
pub(crate) fn kill(process: Pid) {
    let descendants = descendants(process);
    _ = kill_process(process, Signal::KILL);
    for process in descendants {
        _ = kill_process(process, Signal::KILL);
    }
}

/// From now on this process inherits what its descendants leave behind: the ranks of an mpirun that was killed.
pub(crate) fn adopt() {
    // Without, ranks end by themselves, a second or two later.
    _ = set_child_subreaper(Some(getpid()));
}

/// Kills everything that this process started or inherited, and waits for its end, for some seconds at most: a process that waits
/// for a dead disk takes its own time.
pub(crate) fn kill_adopted() {
    for _ in 0..500 {
        for process in descendants(getpid()) {
            _ = kill_process(process, Signal::KILL);
        }
        match waitpid(None, WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => return, // there is nobody to wait for
        }
    }
}

/// The processes that a process started, and those that they did.
fn descendants(of: Pid) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(i32, i32)> = numbers.filter_map(|process| Some((process, parent(process)?))).collect();
    let mut found = vec![of.as_raw_nonzero().get()];
    let mut looked_at = 0;
    while let Some(&parent) = found.get(looked_at) {
        found.extend(parents.iter().filter(|&&(_, its)| its == parent).map(|&(process, _)| process));
        looked_at += 1;
    }
    found.into_iter().skip(1).filter_map(Pid::from_raw).collect()
}

fn parent(process: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program stands in parentheses and may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
