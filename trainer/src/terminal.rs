//! Standard error behind a thread: a terminal that takes nothing more, because mpirun is stopped or somebody pressed Ctrl-S, holds
//! no step.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Texts that wait for the terminal; of more, the lines are counted.
const MAX_QUEUED: usize = 1000;

/// One a process, as standard error is.
static TERMINAL: LazyLock<Terminal> = LazyLock::new(|| {
    let write = || TERMINAL.run(&mut io::stderr());
    std::thread::Builder::new().name("terminal".into()).spawn(write).expect("a thread for the terminal");
    Terminal::default()
});

/// Writes `text` in its turn, without waiting for that.
pub(crate) fn write(text: &[u8]) {
    TERMINAL.push(text);
}

/// Writes `text` in its turn and waits until it stands there, for `limit` at most.
pub(crate) fn write_within(text: &[u8], limit: Duration) {
    TERMINAL.push(text);
    flush(limit);
}

/// Waits until everything stands there, for `limit` at most.
pub(crate) fn flush(limit: Duration) {
    TERMINAL.wait_until_written(limit);
}

/// Standard error as a writer that never waits.
#[derive(Debug)]
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        write(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsRawFd for Stderr {
    fn as_raw_fd(&self) -> RawFd {
        io::stderr().as_raw_fd()
    }
}

#[derive(Default)]
struct Terminal {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    texts: VecDeque<Vec<u8>>,
    is_writing: bool,
    /// Lines that found no room.
    dropped: usize,
}

impl Terminal {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, text: &[u8]) {
        self.lock().push(text);
        self.changed.notify_all();
    }

    /// The thread's life.
    fn run(&self, terminal: &mut impl Write) {
        loop {
            let idle = |queue: &mut Queue| queue.texts.is_empty() && queue.dropped == 0;
            let mut queue =
                self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            let text = queue.pop();
            queue.is_writing = true;
            drop(queue);
            // A terminal that is gone is no reason to stop.
            _ = terminal.write_all(&text).and_then(|()| terminal.flush());
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }

    fn wait_until_written(&self, limit: Duration) {
        let is_busy = |queue: &mut Queue| queue.is_writing || !queue.texts.is_empty();
        _ = self.changed.wait_timeout_while(self.lock(), limit, is_busy);
    }
}

impl Queue {
    fn push(&mut self, text: &[u8]) {
        if self.texts.len() >= MAX_QUEUED {
            self.dropped += usize::from(text.ends_with(b"\n"));
            return;
        }
        if let Some(notice) = self.notice() {
            self.texts.push_back(notice);
        }
        self.texts.push_back(text.to_owned());
    }

    /// The next text, or how many lines there was no room for.
    fn pop(&mut self) -> Vec<u8> {
        self.texts.pop_front().or_else(|| self.notice()).unwrap_or_default()
    }

    fn notice(&mut self) -> Option<Vec<u8>> {
        let dropped = std::mem::take(&mut self.dropped);
        let text = format!(
            "{dropped} lines are not shown here: the terminal took nothing more; the run's log has them\n"
        );
        (dropped > 0).then(|| text.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Takes a text only when somebody reads it.
    struct Blocking(SyncSender<Vec<u8>>);

    impl Write for Blocking {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.send(text.to_owned()).map_err(io::Error::other)?;
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_terminal_that_blocks_holds_nobody_and_what_it_missed_is_counted() {
        let terminal: &'static Terminal = Box::leak(Box::default());
        let (send, receive): (_, Receiver<Vec<u8>>) = sync_channel(0);
        std::thread::spawn(move || terminal.run(&mut Blocking(send)));
        let texts = MAX_QUEUED + 50;
        for number in 0..texts {
            terminal.push(format!("{number}\n").as_bytes());
        }
        terminal.wait_until_written(Duration::from_millis(1)); // gives up
        let mut shown = Vec::new();
        while shown.len() <= MAX_QUEUED {
            shown.push(String::from_utf8(receive.recv().unwrap()).unwrap());
        }
        let missed: usize = match shown.last().unwrap().split_once(" lines are not shown here") {
            Some((missed, _)) => missed.parse().unwrap(),
            // The thread had taken one before the first was too many.
            None => receive.recv().map(|it| String::from_utf8(it).unwrap()).unwrap()[..2].parse().unwrap(),
        };
        assert!((49..=50).contains(&missed), "{missed}");
        assert_eq!(shown[..3], ["0\n", "1\n", "2\n"]);
        terminal.push(b"after\n");
        assert_eq!(receive.recv().unwrap(), b"after\n");
        terminal.wait_until_written(Duration::from_secs(60));
    }
}
