//! What holds up a process of this host, as the kernel sees it: for a rank that is behind and cannot say why itself.

use std::path::PathBuf;

/// `cannot get on with writing to runs/x/metrics.jsonl`, where the main thread of a process is in such a call of the kernel. None
/// where it is not, or where the kernel does not let us look.
pub(crate) fn held_up_in(process: u32) -> Option<String> {
    let of_process = PathBuf::from(format!("/proc/{process}"));
    let call = std::fs::read_to_string(of_process.join("syscall")).ok()?;
    let mut words = call.split_whitespace();
    let doing = match words.next()?.parse().ok()? {
        libc::SYS_write | libc::SYS_writev | libc::SYS_pwrite64 => "writing to",
        libc::SYS_fsync | libc::SYS_fdatasync => "making durable",
        libc::SYS_read | libc::SYS_pread64 => "reading from",
        _ => return None,
    };
    let descriptor = u32::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    let file = std::fs::read_link(of_process.join("fd").join(descriptor.to_string())).ok()?;
    let file = match file.to_str().and_then(|file| file.split_once(":[")) {
        Some((kind, _)) => format!("a {kind}, which nobody empties or fills"),
        None => file.display().to_string(),
    };
    Some(format!("it does not get on with {doing} {file}"))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_process_whose_pipe_is_full_is_held_up_in_writing() {
        let mut child = Command::new("yes").stdout(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut found = None;
        while found.is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
            found = held_up_in(child.id());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let expected = "it does not get on with writing to a pipe, which nobody empties or fills";
        assert_eq!(found.as_deref(), Some(expected));
        assert_eq!(held_up_in(child.id()), None, "it is gone");
    }
}
