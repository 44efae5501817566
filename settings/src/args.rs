//! The command-line options that choose a recipe and its run, the same wherever they stand.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::RecipeError;
use crate::load::load;
use crate::raw::RawRecipe;

/// `--config --set --resume --name`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct RecipeArgs {
    /// The recipe, a TOML file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,

    /// Overrides one key of the recipe, for example optim.lr=0.1 (repeatable)
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,

    /// Whether an existing run is continued: auto (where there is one), never, or a checkpoint's or run's folder
    #[arg(long, value_name = "auto|never|PATH", default_value = "never")]
    pub resume: Resume,

    /// The run folder's name [default: the recipe's file name without its ending]
    #[arg(long, value_name = "NAME", value_parser = run_name)]
    pub name: Option<String>,
}

impl RecipeArgs {
    /// Loads the recipe with this process's environment and the `--set` options.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(&self) -> Result<RawRecipe, RecipeError> {
        // Variables that are not Unicode cannot be a recipe's: their names or values would not be TOML.
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        load(&self.config, env, &self.set)
    }

    /// The run folder's name: `--name`, or else the recipe's file name without its ending.
    pub fn run_name(&self) -> String {
        let stem = || self.config.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.name.clone().unwrap_or_else(stem)
    }
}

/// What becomes of an existing run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Its newest checkpoint is continued; without one the run starts anew.
    Auto,
    /// An existing run folder is refused.
    Never,
    /// The checkpoint at this path, or the newest of the run folder at this path, is continued.
    Path(PathBuf),
}

impl FromStr for Resume {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" => Resume::Auto,
            "never" => Resume::Never,
            path => Resume::Path(PathBuf::from(path)),
        })
    }
}

fn run_name(name: &str) -> Result<String, String> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
        return Err("a run's name is one folder name, not empty, without a slash or a leading dot".to_owned());
    }
    Ok(name.to_owned())
}
