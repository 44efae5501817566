//! Finds the system call that blocks another process of this host, to explain why a rank is behind.

use std::path::PathBuf;

/// Describes the file operation that blocks the main thread of a process, such as `it is blocked writing to
/// runs/x/metrics.jsonl`. Returns `None` if the thread is in no such system call, or the kernel does not allow access.
pub(crate) fn blocked_in(process: u32) -> Option<String> {
    let of_process = PathBuf::from(format!("/proc/{process}"));
    let call = std::fs::read_to_string(of_process.join("syscall")).ok()?;
    let mut words = call.split_whitespace();
    let operation = match words.next()?.parse().ok()? {
        libc::SYS_write | libc::SYS_writev | libc::SYS_pwrite64 => "writing to",
        libc::SYS_fsync | libc::SYS_fdatasync => "syncing",
        libc::SYS_read | libc::SYS_pread64 => "reading from",
        _ => return None,
    };
    let descriptor = u32::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    let file = std::fs::read_link(of_process.join("fd").join(descriptor.to_string())).ok()?;
    let file = match file.to_str().and_then(|file| file.split_once(":[")) {
        Some((kind, _)) => format!("a {kind} whose other end is idle"),
        None => file.display().to_string(),
    };
    Some(format!("it is blocked {operation} {file}"))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_process_with_a_full_pipe_is_blocked_writing() {
        let mut child = Command::new("yes").stdout(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut found = None;
        while found.is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
            found = blocked_in(child.id());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let expected = "it is blocked writing to a pipe whose other end is idle";
        assert_eq!(found.as_deref(), Some(expected));
        assert_eq!(blocked_in(child.id()), None, "the process is gone");
    }
}
