//! Shell completions and manual pages, made from the definitions of the commands.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use regatta_run_folder::{ExitCode, print_output};

use crate::Cli;

/// What `launcher completions` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsCommand {
    /// The shell
    shell: Shell,
}

/// What `launcher man` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct ManCommand {
    /// The folder to write them to, for example ~/.local/share/man/man1; it is made if it is not there
    folder: PathBuf,
}

/// Prints a shell's completions.
pub(crate) fn completions(command: &CompletionsCommand) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Cli::command(), "launcher", &mut script);
    print_output(String::from_utf8(script)?)?;
    Ok(ExitCode::Done)
}

/// Writes the manual pages.
pub(crate) fn man(command: &ManCommand) -> Result<ExitCode> {
    let folder = &command.folder;
    let write = || {
        std::fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Cli::command(), folder)
    };
    write().with_context(|| format!("cannot write manual pages to {}", folder.display()))?;
    Ok(ExitCode::Done)
}
