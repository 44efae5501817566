//! The command-line options that select a recipe and a run, shared by all commands, with their parsing and formatting.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::error::{ContextKind, ContextValue};

use crate::error::RecipeError;
use crate::load::load;
use crate::raw::RawRecipe;
use crate::schema;

/// `--config --set --resume --name`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct RecipeArgs {
    /// The recipe, a TOML file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,

    /// Overrides one key of the recipe, for example optim.lr=0.1 (repeatable)
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,

    /// Which run to continue: auto (the one with this name, if it exists), never, or the folder of a checkpoint or run
    #[arg(long, value_name = "auto|never|PATH", default_value = "never")]
    pub resume: Resume,

    /// The run folder's name [default: the recipe's file name without its extension]
    #[arg(long, value_name = "NAME", value_parser = run_name)]
    pub name: Option<String>,
}

impl RecipeArgs {
    /// Loads the recipe with this process's environment and the `--set` options.
    ///
    /// # Errors
    /// Those of [`load`].
    pub fn load(&self) -> Result<RawRecipe, RecipeError> {
        load(&self.config, std::env::vars_os(), &self.set)
    }

    /// Returns the run folder's name: `--name`, or else the recipe's file name without its extension.
    ///
    /// # Errors
    /// A file name that cannot name a folder, such as `..toml`.
    pub fn run_name(&self) -> Result<String, RecipeError> {
        let name = match &self.name {
            Some(name) => name,
            None => self.config.file_stem().and_then(OsStr::to_str).unwrap_or_default(),
        };
        run_name(name).map_err(|expected| RecipeError::RunName { config: self.config.clone(), expected })
    }

    /// Returns command-line arguments that parse to these options, for starting another process with them.
    pub fn to_arguments(&self) -> Vec<String> {
        let Self { config, set, resume, name } = self;
        let config = ("--config", config.display().to_string());
        let resume = ("--resume", resume.to_string());
        let set = set.iter().map(|set| ("--set", set.clone()));
        let name = name.iter().map(|name| ("--name", name.clone()));
        joined([config, resume].into_iter().chain(set).chain(name))
    }
}

/// `--config --set` of a command for which a recipe is optional.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct OptionalRecipeArgs {
    /// The recipe, for its data set, run folder and size; without one, only the machine is examined
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Overrides one key of the recipe, for example optim.lr=0.1 (repeatable)
    #[arg(long, value_name = "SECTION.KEY=VALUE", requires = "config")]
    pub set: Vec<String>,
}

impl OptionalRecipeArgs {
    /// Returns the options as those of a required recipe, if there is one.
    pub fn recipe(&self) -> Option<RecipeArgs> {
        let Self { config, set } = self.clone();
        Some(RecipeArgs { config: config?, set, resume: Resume::Never, name: None })
    }

    /// Loads the recipe, if there is one, as [`RecipeArgs::load`] does.
    ///
    /// # Errors
    /// Those of [`load`].
    pub fn load(&self) -> Result<Option<RawRecipe>, RecipeError> {
        self.recipe().map(|recipe| recipe.load()).transpose()
    }

    /// Returns command-line arguments that parse to these options.
    pub fn to_arguments(&self) -> Vec<String> {
        let Self { config, set } = self;
        let config = config.iter().map(|config| ("--config", config.display().to_string()));
        joined(config.chain(set.iter().map(|set| ("--set", set.clone()))))
    }
}

/// Formats options, each followed by its value. A value that itself looks like an option is joined to its name by `=`.
fn joined(options: impl Iterator<Item = (&'static str, String)>) -> Vec<String> {
    let arguments = options.map(|(name, value)| match value.starts_with('-') {
        true => vec![format!("{name}={value}")],
        false => vec![name.to_owned(), value],
    });
    arguments.flatten().collect()
}

/// Whether and from where a run is resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Continues from the newest checkpoint; without one, the run starts from the beginning.
    Auto,
    /// Rejects an existing run folder.
    Never,
    /// Continues from the checkpoint at this path, or from the newest one of the run folder at this path.
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

impl fmt::Display for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Never => f.write_str("never"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// Parses this process's command line; an invalid one ends the process with exit code 2.
pub fn parse_command_line<C: clap::Parser>() -> C {
    C::try_parse().unwrap_or_else(|error| hint_at_set(error).exit())
}

/// Suggests `--set` if the command line has a bare recipe key, as other trainers accept it: `optim.lr=0.1`,
/// `--optim.lr 0.1`.
pub fn hint_at_set(mut error: clap::Error) -> clap::Error {
    let stray = [ContextKind::InvalidSubcommand, ContextKind::InvalidArg].into_iter().find_map(|kind| {
        let Some(ContextValue::String(argument)) = error.get(kind) else { return None };
        let plain = argument.trim_start_matches(['-', '+']);
        let (key, value) = plain.split_once('=').unwrap_or((plain, "VALUE"));
        let is_pair = plain.contains('=') && !argument.starts_with('-');
        (schema::key_at(key).is_some() || is_pair).then(|| format!("--set {key}={value}"))
    });
    if let Some(option) = stray {
        let tip = format!("a key of the recipe is set with '{option}'");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Maximum length of a run's name in bytes: file systems allow 255, and suffixes need some of these.
const MAX_NAME_BYTES: usize = 200;

/// Checks that `name` can name a run folder; the error describes valid names.
fn run_name(name: &str) -> Result<String, String> {
    let is_folder = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
    if !is_folder || name.contains(char::is_control) || name.len() > MAX_NAME_BYTES {
        return Err(format!(
            "a run's name is one folder name: not empty, without slashes, control characters or a leading dot, of at most \
             {MAX_NAME_BYTES} bytes"
        ));
    }
    Ok(name.to_owned())
}
