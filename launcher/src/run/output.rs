//! What ranks print: rank 0's lines as they are, the errors of others with their rank, everything in full in the run folder.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use regatta_run_folder::{Attempt, RunFolder};

use super::mpi::Kind;

/// Lines of the starter itself that are kept, the last ones.
const KEPT: usize = 100;
/// Lines that wait for the run folder.
const PENDING: usize = 10_000;

/// Where lines go. Shared by the threads that read the starter's two streams.
#[derive(Debug)]
pub(crate) struct Output {
    kind: Kind,
    folder: RunFolder,
    /// The newest attempt before this start: until there is another the folder belongs to that one.
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

/// What remains to be told of an attempt by what was printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// The starter's name.
    pub(crate) by: &'static str,
    /// Its own last lines.
    pub(crate) starter: Vec<String>,
    /// A rank that ended with an error, and the error.
    pub(crate) error: Option<(usize, String)>,
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

    /// What was said by the starter itself, and by the first rank that told of an error.
    pub(crate) fn said(&self) -> Said {
        let state = self.lock();
        Said {
            by: self.kind.name(),
            starter: state.starter.iter().cloned().collect(),
            error: state.error.clone(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, OutputState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, line: &str, stream: Stream) {
        if let Some(shown) = self.shown(line, stream) {
            // A terminal that is gone is no reason to stop the ranks.
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
                if state.starter.len() > KEPT {
                    state.starter.pop_front();
                }
            }
        }
    }

    /// What the terminal shows of a line.
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
            if state.pending.len() < PENDING {
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
            // What does not fit on the disk was still shown.
            _ = writeln!(file, "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn ranks_are_told_apart_on_the_terminal() {
        let output = Output::new(Kind::OpenMpi4, RunFolder::new("/nowhere", "x"), None);
        let shown = |line: &str, stream| output.shown(line, stream);
        assert_eq!(shown("[1,0]<stdout>:done", Stream::Out).as_deref(), Some("done"));
        assert_eq!(shown("[1,2]<stdout>:done", Stream::Out), None);
        assert_eq!(shown("[1,2]<stderr>:abort", Stream::Err).as_deref(), Some("rank 2: abort"));
        assert_eq!(shown("[1,2]<stderr>:error: rank 2: x", Stream::Err).as_deref(), Some("error: rank 2: x"));
        assert_eq!(shown("mpirun noticed", Stream::Err).as_deref(), Some("mpirun noticed"));
    }

    #[test]
    fn lines_wait_for_the_attempt_that_they_belong_to() {
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
        let said = output.said();
        assert_eq!((said.by, &said.starter[..]), ("srun", &["srun: said".to_owned()][..]));
        assert_eq!(said.error, Some((1, "first".to_owned())));
    }
}
