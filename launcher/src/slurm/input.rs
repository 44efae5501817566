//! Checks the text that goes into a batch script or sbatch's command line: no control characters, and no other script.

use std::iter::once;
use std::path::Path;

use regatta_settings::RecipeArgs;

use crate::failure::Usage;

/// Short options of sbatch whose value may follow as the next word.
const WITH_VALUE: &str = "AabBcCdDeFGiJLmMnNopqStwx";

/// Rejects control characters in text that goes into the script: a newline in a comment or an `#SBATCH` option would begin a
/// command. The run's name needs no check here: it is checked as a folder's name.
pub(super) fn check_script(recipe: &RecipeArgs, trainer: &Path) -> Result<(), Usage> {
    let arguments = recipe.to_arguments();
    let before = once("option").chain(arguments.iter().map(String::as_str));
    before.zip(&arguments).try_for_each(|(option, text)| check(option, text))?;
    check("the trainer's path", &trainer.display().to_string())
}

/// Rejects control characters in a text.
pub(crate) fn check(what: &str, text: &str) -> Result<(), Usage> {
    match text.chars().any(char::is_control) {
        true => Err(Usage(format!(
            "{what} {text:?}: a batch script must not contain control characters such as a newline: leave them out"
        ))),
        false => Ok(()),
    }
}

/// Rejects words after `--` that sbatch would run as a script in place of the generated one.
pub(crate) fn check_options(options: &[String]) -> Result<(), Usage> {
    let mut takes_value = false;
    for option in options {
        let is_value = std::mem::replace(&mut takes_value, is_short_with_value(option));
        if is_value {
            takes_value = false;
            continue;
        }
        let name = option.split('=').next().unwrap_or_default();
        if !option.starts_with('-') || ["-", "--"].contains(&&**option) {
            return Err(Usage(format!(
                "-- {option}: sbatch would take it for the script to run: write options as --name=value"
            )));
        }
        // Names may be abbreviated as long as they differ from --wait and --wckey.
        if name.len() >= "--wr".len() && "--wrap".starts_with(name) {
            return Err(Usage(format!(
                "-- {option}: sbatch would run this instead of the generated script: leave it out"
            )));
        }
    }
    Ok(())
}

fn is_short_with_value(option: &str) -> bool {
    option.strip_prefix('-').is_some_and(|name| name.len() == 1 && WITH_VALUE.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_name_another_script_are_rejected() {
        let verdict = |options: &str| {
            let options: Vec<_> = options.split_whitespace().map(str::to_owned).collect();
            check_options(&options).map_or_else(|refusal| refusal.to_string(), |()| "fine".into())
        };
        for fine in
            ["", "--partition=gpu", "-p gpu -A me", "-pgpu --hold", "-H --comment=evil.sh", "-t 5 --wait"]
        {
            assert_eq!(verdict(fine), "fine", "{fine}");
        }
        let script = |word: &str| {
            format!("-- {word}: sbatch would take it for the script to run: write options as --name=value")
        };
        assert_eq!(verdict("evil.sh"), script("evil.sh"));
        assert_eq!(verdict("--hold evil.sh"), script("evil.sh"));
        assert_eq!(verdict("-H evil.sh"), script("evil.sh"));
        assert_eq!(verdict("-p gpu evil.sh"), script("evil.sh"));
        assert_eq!(verdict("-pgpu evil.sh"), script("evil.sh"));
        assert_eq!(verdict("--partition gpu"), script("gpu"));
        assert_eq!(verdict("-- evil.sh"), script("--"));
        for wrap in ["--wrap=evil", "--wrap", "--wr=evil"] {
            assert_eq!(
                verdict(wrap),
                format!("-- {wrap}: sbatch would run this instead of the generated script: leave it out")
            );
        }
    }

    #[test]
    fn control_characters_are_rejected_in_scripts() {
        let args = |config: &str, set: &str, resume: &str| RecipeArgs {
            config: config.into(),
            set: vec![set.into()],
            resume: resume.parse().unwrap(),
            name: None,
        };
        let verdict = |args: RecipeArgs, trainer: &str| {
            check_script(&args, Path::new(trainer))
                .map_or_else(|refusal| refusal.to_string(), |()| "fine".into())
        };
        assert_eq!(verdict(args("r x.toml", "a.b=\"it's\"", "auto"), "/bin/t"), "fine");
        let refusal = |what: &str| {
            format!(
                "{what}: a batch script must not contain control characters such as a newline: leave them out"
            )
        };
        let config = args("r/x\n#SBATCH --uid=0.toml", "a.b=1", "auto");
        assert_eq!(verdict(config, "t"), refusal("--config \"r/x\\n#SBATCH --uid=0.toml\""));
        let config = args("r\n/x.toml", "a.b=1", "auto");
        assert_eq!(verdict(config, "t"), refusal("--config \"r\\n/x.toml\""));
        let set = args("r.toml", "a.b=\"\r\"", "auto");
        assert_eq!(verdict(set, "t"), refusal("--set \"a.b=\\\"\\r\\\"\""));
        let resume = args("r.toml", "a.b=1", "runs/\n");
        assert_eq!(verdict(resume, "t"), refusal("--resume \"runs/\\n\""));
        assert_eq!(verdict(args("r.toml", "a.b=1", "auto"), "t\n"), refusal("the trainer's path \"t\\n\""));
    }
}
