//! The exit codes documented in the table of `docs/stopping.md`, against which tests check.

use std::path::Path;

/// The columns of the table.
#[derive(Clone, Copy)]
pub enum Under {
    /// The trainer alone.
    Nothing = 2,
    /// Ranks under mpirun.
    Mpirun,
    /// Ranks under `launcher run`.
    Launcher,
}

/// The exit code in the row `what` of that column.
pub fn documented(what: &str, under: Under) -> Option<i32> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/stopping.md");
    let text = std::fs::read_to_string(file).unwrap();
    let row = text.lines().find(|line| line.split('|').nth(1).is_some_and(|cell| cell.trim() == what));
    let row = row.unwrap_or_else(|| panic!("no row {what}"));
    let code = row.split('|').nth(under as usize).and_then(|cell| cell.trim().parse().ok());
    Some(code.unwrap_or_else(|| panic!("no exit code in {row}")))
}
