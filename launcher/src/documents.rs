//! Shell completions and manual pages, generated from the definitions of the commands.

use std::io;
use std::iter::once;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use regatta_run_folder::{ExitCode, check_output, print_output, write_output};

use crate::Cli;

/// Options of `launcher completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsCommand {
    /// The shell
    shell: Shell,
}

/// Options of `launcher man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManCommand {
    /// The folder to write them to, for example ~/.local/share/man/man1; created if missing
    folder: PathBuf,
    /// Replaces existing pages
    #[arg(long)]
    force: bool,
}

/// Prints the completion script of a shell.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn completions(command: &CompletionsCommand) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Cli::command(), "launcher", &mut script);
    print_output(String::from_utf8(script)?)?;
    Ok(ExitCode::Done)
}

/// Writes the manual pages, or none if one of them may not be replaced.
///
/// # Errors
/// If a page exists and `--force` is missing, or a page cannot be written.
pub(crate) fn man(command: &ManCommand) -> Result<ExitCode> {
    let folder = &command.folder;
    let failed = || format!("cannot write manual pages to {}", folder.display());
    let pages = pages().with_context(failed)?;
    std::fs::create_dir_all(folder).with_context(failed)?;
    for (name, _) in &pages {
        check_output(folder.join(name), command.force)?;
    }
    for (name, page) in &pages {
        write_output(folder.join(name), command.force, page)?;
    }
    Ok(ExitCode::Done)
}

/// Renders the launcher's page and one for each command, each with its file name.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut launcher = Cli::command().disable_help_subcommand(true);
    launcher.build();
    let commands = launcher.get_subcommands().filter(|command| !command.is_hide_set());
    let page = |command: &clap::Command| {
        let (page, mut text) = (Man::new(command.clone()), Vec::new());
        page.render(&mut text)?;
        Ok((page.get_filename(), text))
    };
    once(&launcher).chain(commands).map(page).collect()
}
