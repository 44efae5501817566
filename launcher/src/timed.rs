//! Runs a command with a time limit and captures its output.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::process_tree;

/// Time for mpirun to end its ranks, between TERM and KILL.
const GRACE: Duration = Duration::from_secs(5);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None if a signal ended it, for example at the time limit.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `command` for at most `limit`, then ends it.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn run(command: &mut Command, limit: Duration) -> io::Result<Ended> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().map(reader);
    let stderr = child.stderr.take().map(reader);
    let status = match wait(&mut child, limit)? {
        Some(status) => Some(status),
        None => end(&mut child)?,
    };
    let text = |reader: Option<JoinHandle<String>>| reader.and_then(|it| it.join().ok()).unwrap_or_default();
    Ok(Ended { code: status.and_then(|it| it.code()), stdout: text(stdout), stderr: text(stderr) })
}

fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait()? {
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            status => return Ok(status),
        }
    }
}

/// Ends the command with TERM first, so that mpirun ends its ranks, then with KILL.
fn end(child: &mut Child) -> io::Result<Option<std::process::ExitStatus>> {
    _ = kill_process(Pid::from_child(child), Signal::TERM);
    if wait(child, GRACE)?.is_none() {
        // A surviving descendant would keep the pipes open, and they are read to the end.
        process_tree::kill(Pid::from_child(child));
        child.wait()?;
    }
    Ok(None)
}

fn reader(mut source: impl Read + Send + 'static) -> JoinHandle<String> {
    let read = move || {
        let mut bytes = Vec::new();
        // After a read error the output so far is kept.
        _ = source.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    std::thread::Builder::new().name("output".into()).spawn(read).expect("a thread for a command's output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_end_by_themselves_or_at_their_limit() {
        let shell = |script: &str, limit_s| {
            run(Command::new("sh").args(["-c", script]), Duration::from_secs(limit_s)).unwrap()
        };
        let ended = shell("echo out; echo err >&2; exit 3", 60);
        assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(3), "out\n", "err\n"));
        let begin = Instant::now();
        assert_eq!(shell("echo begun; exec sleep 60", 1).code, None);
        assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
        assert!(run(&mut Command::new("/nowhere"), Duration::ZERO).is_err());
    }
}
