//! Output of the ranks: the terminal shows rank 0's lines and the errors of the others, prefixed with their rank; the run folder
//! gets everything.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use regatta_run_folder::{Attempt, RunFolder};

use super::mpi::Kind;

/// Number of the starter's own last lines to keep.
const MAX_STARTER_LINES: usize = 100;
/// Most lines to buffer until the attempt has its folder.
const MAX_PENDING_LINES: usize = 10_000;

/// Distributes lines to the terminal and the run folder. Shared by the threads that read the starter's two streams.
#[derive(Debug)]
pub(crate) struct Output {
    kind: Kind,
    folder: RunFolder,
    /// The newest attempt before this start: the log files belong to it until a newer one exists.
    before: Option<u64>,
    state: Mutex<OutputState>,
}

#[derive(Debug, Default)]
struct OutputState {
    starter: VecDeque<String>,
    error: Option<(usize, String)>,
    pending: Vec<(usize, String)>,
    files: BTreeMap<usize, Option<File>>,
    is_ours: bool,
}

/// The printed lines that explain how an attempt ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AttemptOutput {
    /// The starter's name.
    pub(crate) starter_name: &'static str,
    /// The starter's own last lines.
    pub(crate) starter_lines: Vec<String>,
    /// The first rank that printed an error, and the error.
    pub(crate) rank_error: Option<(usize, String)>,
}

/// One of the starter's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

impl Output {
    pub(crate) fn new(kind: Kind, folder: RunFolder, before: Option<u64>) -> Arc<Self> {
        Arc::new(Self { kind, folder, before, state: Mutex::default() })
    }

    /// Starts the thread that reads `source` to its end.
    pub(crate) fn relay(
        self: &Arc<Self>,
        source: impl Read + Send + 'static,
        stream: Stream,
    ) -> JoinHandle<()> {
        let output = Arc::clone(self);
        let read = move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                output.take(&text, stream);
                line.clear();
            }
        };
        std::thread::Builder::new().name("output".into()).spawn(read).expect("a thread for the ranks' output")
    }

    /// The starter's own lines and the first error of a rank.
    pub(crate) fn summary(&self) -> AttemptOutput {
        let state = self.lock();
        AttemptOutput {
            starter_name: self.kind.name(),
            starter_lines: state.starter.iter().cloned().collect(),
            rank_error: state.error.clone(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, OutputState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, line: &str, stream: Stream) {
        if let Some(shown) = self.shown(line, stream) {
            // A closed terminal must not stop the ranks.
            _ = match stream {
                Stream::Out => writeln!(std::io::stdout(), "{shown}"),
                Stream::Err => writeln!(std::io::stderr(), "{shown}"),
            };
        }
        let mut state = self.lock();
        match self.kind.rank_of_line(line) {
            Some((rank, text)) => {
                if let (None, Some(error)) = (&state.error, text.strip_prefix("error: ")) {
                    let error = error.strip_prefix(&format!("rank {rank}: ")).unwrap_or(error);
                    state.error = Some((rank, error.to_owned()));
                }
                self.keep(&mut state, rank, text);
            }
            None => {
                state.starter.push_back(line.to_owned());
                if state.starter.len() > MAX_STARTER_LINES {
                    state.starter.pop_front();
                }
            }
        }
    }

    /// The line as shown on the terminal; None if it is not shown.
    fn shown(&self, line: &str, stream: Stream) -> Option<String> {
        match (self.kind.rank_of_line(line), stream) {
            (None, _) => Some(line.to_owned()),
            (Some((0, text)), _) => Some(text.to_owned()),
            (Some(_), Stream::Out) => None,
            (Some((rank, text)), Stream::Err) => {
                let is_named = text.contains(&format!("rank {rank}: "));
                Some(if is_named { text.to_owned() } else { format!("rank {rank}: {text}") })
            }
        }
    }

    fn keep(&self, state: &mut OutputState, rank: usize, text: &str) {
        if !state.is_ours {
            state.is_ours = Attempt::newest(&self.folder).is_ok_and(|newest| newest > self.before);
        }
        if !state.is_ours {
            if state.pending.len() < MAX_PENDING_LINES {
                state.pending.push((rank, text.to_owned()));
            }
            return;
        }
        for (rank, text) in std::mem::take(&mut state.pending) {
            self.append(state, rank, &text);
        }
        self.append(state, rank, text);
    }

    fn append(&self, state: &mut OutputState, rank: usize, text: &str) {
        let open = || File::options().create(true).append(true).open(self.folder.output(rank)).ok();
        if let Some(file) = state.files.entry(rank).or_insert_with(open) {
            // A full disk loses the line here only: it was shown.
            _ = writeln!(file, "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn ranks_are_distinguished_on_the_terminal() {
        let output = Output::new(Kind::OpenMpi4, RunFolder::new("/nowhere", "x"), None);
        let shown = |line: &str, stream| output.shown(line, stream);
        assert_eq!(shown("[1,0]<stdout>:done", Stream::Out).as_deref(), Some("done"));
        assert_eq!(shown("[1,2]<stdout>:done", Stream::Out), None);
        assert_eq!(shown("[1,2]<stderr>:abort", Stream::Err).as_deref(), Some("rank 2: abort"));
        assert_eq!(shown("[1,2]<stderr>:error: rank 2: x", Stream::Err).as_deref(), Some("error: rank 2: x"));
        assert_eq!(shown("mpirun noticed", Stream::Err).as_deref(), Some("mpirun noticed"));
    }

    #[test]
    fn lines_are_buffered_until_their_attempt_exists() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(root.path(), "x");
        folder.create().unwrap();
        fs::write(folder.attempt(1), "").unwrap();
        let output = Output::new(Kind::Srun, folder.clone(), Some(1));
        output.take("1: before", Stream::Out);
        assert!(!folder.output(1).exists());
        fs::write(folder.attempt(2), "").unwrap();
        output.take("0: of rank 0", Stream::Out);
        output.take("1: after", Stream::Out);
        output.take("srun: said", Stream::Out);
        assert_eq!(fs::read_to_string(folder.output(1)).unwrap(), "before\nafter\n");
        assert_eq!(fs::read_to_string(folder.output(0)).unwrap(), "of rank 0\n");
        output.take("1: error: rank 1: first", Stream::Err);
        output.take("0: error: second", Stream::Err);
        let summary = output.summary();
        assert_eq!(
            (summary.starter_name, &summary.starter_lines[..]),
            ("srun", &["srun: said".to_owned()][..])
        );
        assert_eq!(summary.rank_error, Some((1, "first".to_owned())));
    }
}
