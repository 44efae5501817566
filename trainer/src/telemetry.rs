//! The log: rank 0 on the terminal with a progress bar where it is one, every rank in full in its own file.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;

use anyhow::Result;
use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use regatta_run::{RunFolder, StorageError};
use regatta_settings::LogFormat;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::terminal;

/// What a rank writes to its file where `RUST_LOG` is not set.
const FILE_FILTER: &str = "info,trainer=debug,regatta_comm=debug";
/// How often the bar is drawn at most.
const DRAWS_PER_SECOND: u8 = 20;

/// Starts logging for this process and returns the progress bar of the run's steps (hidden where there is no terminal).
pub(crate) fn start(folder: &RunFolder, rank: usize, format: LogFormat) -> Result<ProgressBar> {
    let bar = progress_bar(rank);
    let path = folder.log(rank);
    let file = File::options().create(true).append(true).open(&path);
    let log =
        Mutex::new(file.map_err(|source| StorageError::Io { operation: "open the log", path, source })?);
    let mut layers = vec![layer(log, format, false, FILE_FILTER)];
    if rank == 0 {
        layers.push(layer(Terminal(bar.clone()), format, true, "info"));
    }
    tracing_subscriber::registry().with(layers).init();
    Ok(bar)
}

/// Warnings alone, to the terminal: for commands whose output is their answer.
pub(crate) fn start_quietly() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_writer(io::stderr).with_filter(filter))
        .init();
}

fn layer<W>(
    writer: W,
    format: LogFormat,
    terminal: bool,
    default: &str,
) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colors = terminal && io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colors);
    match format {
        LogFormat::Text if terminal => layer.with_target(false).with_filter(filter).boxed(),
        LogFormat::Text => layer.with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
    }
}

fn progress_bar(rank: usize) -> ProgressBar {
    if rank > 0 || !io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{msg} [{bar:32}] {pos}/{len} steps, {eta} left")
        .expect("the template is valid")
        .progress_chars("=> ");
    let terminal = Term::read_write_pair(io::stdin(), terminal::Stderr);
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::term(terminal, DRAWS_PER_SECOND))
        .with_style(style)
}

/// Standard error, with the progress bar taken out of the way of each line.
struct Terminal(ProgressBar);

impl<'a> MakeWriter<'a> for Terminal {
    type Writer = TerminalLine<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        TerminalLine(&self.0)
    }
}

struct TerminalLine<'a>(&'a ProgressBar);

impl Write for TerminalLine<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| terminal::Stderr.write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
