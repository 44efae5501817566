//! `trainer data check`: reads every image completely.

use std::fmt::Write;

use anyhow::Result;
use clap::Args;
use regatta_data::SplitReport;
use regatta_run_folder::{ExitCode, counted, print_output};
use regatta_settings::RecipeArgs;
use serde::Serialize;

use super::{SplitName, bar, open, threads};

/// `trainer data check`.
#[derive(Debug, Args)]
pub(super) struct CheckCommand {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// The split to read; both by default
    #[arg(long, value_enum)]
    split: Option<SplitName>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// A split's report with its name.
#[derive(Debug, Serialize)]
struct Checked {
    split: &'static str,
    #[serde(flatten)]
    report: SplitReport,
}

/// Prints what the splits contain. Returns [`ExitCode::Data`] if an image cannot be read.
pub(super) fn run(command: &CheckCommand) -> Result<ExitCode> {
    let splits = command.split.map_or(vec![SplitName::Train, SplitName::Val], |split| vec![split]);
    let mut checked = Vec::new();
    for split in splits {
        let (recipe, source) = open(&command.recipe, split)?;
        let bar = bar(source.len(), "reading");
        let report = regatta_data::check(&*source, threads(&recipe), &|done| bar.set_position(done as u64));
        bar.finish_and_clear();
        checked.push(Checked { split: split.name(), report });
    }
    if command.json {
        print_output(serde_json::to_string_pretty(&checked)?)?;
    } else {
        print_output(checked.iter().map(text).collect::<Vec<_>>().join("\n"))?;
    }
    let is_good = checked.iter().all(|checked| checked.report.bad.is_empty());
    Ok(if is_good { ExitCode::Done } else { ExitCode::Data })
}

/// Formats a report for people.
fn text(Checked { split, report }: &Checked) -> String {
    let SplitReport { images, bytes, classes, smallest_px, largest_px, mean, std, bad } = report;
    let mut text = String::new();
    let numbers = |values: &[f64]| values.iter().map(|it| format!("{it:.4}")).collect::<Vec<_>>().join(", ");
    let [fewest, most] =
        [classes.iter().min_by_key(|class| class.images), classes.iter().max_by_key(|class| class.images)];
    let lines = [
        format!("{split}: {}, {:.1} MB", counted(*images, "image"), *bytes as f64 / 1e6),
        format!("  {} classes", classes.len()),
        format!(
            "  sizes from {}x{} to {}x{} pixels",
            smallest_px[0], smallest_px[1], largest_px[0], largest_px[1]
        ),
        format!("  mean [{}], std [{}] over all pixels", numbers(mean), numbers(std)),
    ];
    for line in &lines {
        writeln!(text, "{line}").expect("a String takes every write");
    }
    if let (Some(fewest), Some(most)) = (fewest, most) {
        writeln!(text, "  from {} in {} to {} in {}", fewest.images, fewest.name, most.images, most.name)
            .expect("a String takes every write");
    }
    if bad.is_empty() {
        writeln!(text, "  all can be read").expect("a String takes every write");
    } else {
        writeln!(text, "  {} cannot be read:", counted(bad.len(), "image"))
            .expect("a String takes every write");
    }
    for image in bad {
        writeln!(text, "    {}: {}", image.name, image.problem).expect("a String takes every write");
    }
    text
}
