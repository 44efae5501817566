//! Kills a process together with all its descendants.

use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};

/// Kills a process and its descendants, including those in other process groups. Processes that have already ended are skipped.
pub(crate) fn kill(process: Pid) {
    let descendants = descendants(process);
    _ = kill_process(process, Signal::KILL);
    for process in descendants {
        _ = kill_process(process, Signal::KILL);
    }
}

/// Makes this process the subreaper of its descendants, so that it inherits the ranks of an mpirun that was killed.
pub(crate) fn adopt() {
    // If this fails, ranks still end by themselves, a second or two later.
    _ = set_child_subreaper(Some(getpid()));
}

/// Kills everything that this process started or inherited and waits for it to end, for about 5 s at most: a process that waits
/// for a dead disk may take longer.
pub(crate) fn kill_adopted() {
    for _ in 0..500 {
        for process in descendants(getpid()) {
            _ = kill_process(process, Signal::KILL);
        }
        match waitpid(None, WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => return, // no child is left
        }
    }
}

/// Direct and indirect children of a process.
fn descendants(of: Pid) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(i32, i32)> = numbers.filter_map(|process| Some((process, parent(process)?))).collect();
    let mut found = vec![of.as_raw_nonzero().get()];
    let mut visited = 0;
    while let Some(&parent) = found.get(visited) {
        found.extend(parents.iter().filter(|&&(_, its)| its == parent).map(|&(process, _)| process));
        visited += 1;
    }
    found.into_iter().skip(1).filter_map(Pid::from_raw).collect()
}

fn parent(process: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name is in parentheses and may contain any character.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
