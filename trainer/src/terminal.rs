//! Standard error, written by a thread of its own, so that a terminal that blocks (mpirun is stopped, or Ctrl-S was pressed)
//! does not delay training.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Maximum number of queued texts; further lines are dropped and counted.
const MAX_QUEUED: usize = 1000;

/// The terminal of this process.
static TERMINAL: LazyLock<Terminal> = LazyLock::new(|| {
    let write = || TERMINAL.run(&mut io::stderr());
    std::thread::Builder::new().name("terminal".into()).spawn(write).expect("a thread for the terminal");
    Terminal::default()
});

/// Queues `text` and returns at once.
pub(crate) fn write(text: &[u8]) {
    TERMINAL.push(text);
}

/// Queues `text` and waits until it is written, for `limit` at most.
pub(crate) fn write_within(text: &[u8], limit: Duration) {
    TERMINAL.push(text);
    flush(limit);
}

/// Waits until all queued texts are written, for `limit` at most.
pub(crate) fn flush(limit: Duration) {
    TERMINAL.wait_until_written(limit);
}

/// A writer to standard error that never blocks.
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
    /// Lines dropped because the queue was full.
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

    /// Writes queued texts, forever.
    fn run(&self, terminal: &mut impl Write) {
        loop {
            let idle = |queue: &mut Queue| queue.texts.is_empty() && queue.dropped == 0;
            let mut queue =
                self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            let text = queue.pop();
            queue.is_writing = true;
            drop(queue);
            // A closed terminal does not end the run.
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

    /// Returns the next text, or a notice of the dropped lines.
    fn pop(&mut self) -> Vec<u8> {
        self.texts.pop_front().or_else(|| self.notice()).unwrap_or_default()
    }

    fn notice(&mut self) -> Option<Vec<u8>> {
        let dropped = std::mem::take(&mut self.dropped);
        let text = format!(
            "{dropped} lines are not shown here: the terminal accepted no more output; the run's log has them\n"
        );
        (dropped > 0).then(|| text.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};

    use super::*;

    /// A terminal that announces every write, then blocks until the text is received.
    struct Blocking {
        begun: Sender<()>,
        texts: SyncSender<Vec<u8>>,
    }

    impl Write for Blocking {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.begun.send(()).map_err(io::Error::other)?;
            self.texts.send(text.to_owned()).map_err(io::Error::other)?;
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_terminal_delays_nobody_and_dropped_lines_are_counted() {
        let terminal: &'static Terminal = Box::leak(Box::default());
        let ((begun, is_begun), (texts, shown)) = (channel(), sync_channel(0));
        std::thread::spawn(move || terminal.run(&mut Blocking { begun, texts }));
        let next = || String::from_utf8(shown.recv().unwrap()).unwrap();
        terminal.push(b"0\n");
        is_begun.recv().unwrap(); // the first line left the queue, and its write blocks
        for number in 1..=MAX_QUEUED + 50 {
            terminal.push(format!("{number}\n").as_bytes());
        }
        terminal.wait_until_written(Duration::from_millis(1)); // gives up
        for number in 0..=MAX_QUEUED {
            assert_eq!(next(), format!("{number}\n"));
        }
        let notice = next();
        assert!(notice.starts_with("50 lines are not shown here"), "{notice}");
        terminal.push(b"after\n");
        assert_eq!(next(), "after\n");
        terminal.wait_until_written(Duration::from_secs(60));
    }
}
