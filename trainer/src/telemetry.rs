//! Logging: rank 0 logs to the terminal, with a progress bar if it is one; every rank logs to its own file.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use console::Term;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use regatta_run_folder::{RunFolder, StorageError, utc};
use regatta_settings::LogFormat;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::terminal;

/// Log filter of the file if `RUST_LOG` is not set.
const FILE_FILTER: &str = "info,trainer=debug,regatta_comm=debug";
/// Maximum redraw rate of the progress bar.
const DRAWS_PER_SECOND: u8 = 20;

/// Starts logging for this process and returns the progress bar of the run's steps (hidden without a terminal). If `quiet`, the
/// terminal shows warnings only.
///
/// # Errors
/// A log file that cannot be opened.
pub(crate) fn start(folder: &RunFolder, rank: usize, format: LogFormat, quiet: bool) -> Result<ProgressBar> {
    let bar = if quiet { ProgressBar::hidden() } else { progress_bar(rank) };
    let path = folder.log(rank);
    let file = File::options().create(true).append(true).open(&path);
    let log = Mutex::new(file.map_err(StorageError::io("open the log", &path))?);
    let mut layers = vec![layer(log, format, false, FILE_FILTER)];
    if rank == 0 {
        layers.push(layer(Terminal(bar.clone()), format, true, if quiet { "warn" } else { "info" }));
    }
    tracing_subscriber::registry().with(layers).init();
    Ok(bar)
}

/// Logs warnings only, to the terminal: for commands that print their result.
pub(crate) fn start_quietly() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_writer(io::stderr).with_filter(filter))
        .init();
}

/// Logs to the terminal alone, of ranks other than 0 only warnings: for commands on several ranks. Returns a bar over the work
/// of rank 0, hidden without a terminal.
pub(crate) fn start_on_terminal(rank: usize, what: &'static str) -> ProgressBar {
    let bar = if rank == 0 { counting_bar(what) } else { ProgressBar::hidden() };
    let filter = if rank == 0 { "info" } else { "warn" };
    tracing_subscriber::registry().with(layer(Terminal(bar.clone()), LogFormat::Text, true, filter)).init();
    bar
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
    let colors = terminal && io::stderr().is_terminal() && wants_colors();
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colors);
    // The other fields of an event are numbers that its message has, too.
    let message = debug_fn(|out, field, value| match field.name() {
        "message" => write!(out, "{value:?}"),
        _ => Ok(()),
    });
    match format {
        LogFormat::Text if terminal => {
            layer.fmt_fields(message).with_target(false).with_timer(Seconds).with_filter(filter).boxed()
        }
        LogFormat::Text => layer.fmt_fields(message).with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
    }
}

/// Returns whether colours are wanted (<https://no-color.org>).
fn wants_colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Timestamps to the second, for the terminal.
struct Seconds;

impl FormatTime for Seconds {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        out.write_str(&utc(SystemTime::now()))
    }
}

fn progress_bar(rank: usize) -> ProgressBar {
    if rank > 0 || !io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len} steps{prefix}")
        .expect("the template is valid")
        .progress_chars("=> ");
    let terminal = Term::read_write_pair(io::stdin(), terminal::Stderr);
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::term(terminal, DRAWS_PER_SECOND))
        .with_style(style)
}

/// Returns a bar for a command or for work before the first step, hidden without a terminal. Its length may be set later.
pub(crate) fn counting_bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {human_pos}/{human_len}{left}")
        .expect("the template is valid")
        .with_key("left", left)
        .progress_chars("=> ");
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
    ProgressBar::with_draw_target(Some(0), target).with_style(style).with_message(what)
}

/// Width of a terminal, in columns, from which the line of the progress bar has room for all numbers.
const WIDE: u16 = 110;

/// Returns whether the terminal is wide.
pub(crate) fn is_wide() -> bool {
    Term::stderr().size_checked().is_some_and(|(_, columns)| columns >= WIDE)
}

/// Returns the end of the line of a progress bar: the time left, empty for less than a second.
pub(crate) fn time_left(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(left) if left.as_secs() > 0 => format!(", {:#} left", HumanDuration(left)),
        _ => String::new(),
    }
}

/// Writes the estimated remaining time, once it is known.
fn left(state: &ProgressState, out: &mut dyn fmt::Write) {
    let left = state.eta();
    if left.as_secs() > 0 {
        _ = write!(out, ", {:#} left", HumanDuration(left));
    }
}

/// Clears the line of the progress bar, before the process exits without unwinding.
pub(crate) fn clear_line() {
    if io::stderr().is_terminal() {
        terminal::write(b"\r\x1b[2K");
    }
}

/// Standard error; hides the progress bar while a line is written.
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
        // Before the first epoch there is nothing to draw again.
        if self.0.length() == Some(0) {
            return terminal::Stderr.write(line);
        }
        self.0.suspend(|| terminal::Stderr.write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
