//! The Markdown form of a report (GitHub's, for its tables).

use super::{Cell, Page, Part, Section, Table};

pub(super) fn document(page: &Page) -> String {
    let mut lines = format!("# {}\n", escaped(&page.title));
    for section in &page.sections {
        lines.push_str(&self::section(section));
    }
    lines
}

fn section(section: &Section) -> String {
    let title = match section.title.as_str() {
        "" => String::new(),
        title => format!("\n## {}\n", escaped(title)),
    };
    section.parts.iter().fold(title, |text, part| text + "\n" + &self::part(part))
}

fn part(part: &Part) -> String {
    match part {
        Part::Paragraph(text) => escaped(text) + "\n",
        Part::List(items) => items.iter().map(|item| format!("- {}\n", escaped(item))).collect(),
        Part::Code(text) => text.lines().map(|line| format!("    {line}\n")).collect(),
        Part::Table(table) => self::table(table),
        Part::Figure { file, caption, .. } => {
            format!("![{}]({file})\n\n{}\n", escaped(file.trim_end_matches(".svg")), escaped(caption))
        }
    }
}

fn table(table: &Table) -> String {
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let header = row(table.columns.iter().map(|name| escaped(name)).collect());
    let rule = |index| if index == 0 { "---" } else { "---:" }.to_owned();
    let rule = row((0..table.columns.len()).map(rule).collect());
    let cells = |cells: &Vec<Cell>| row(cells.iter().map(|cell| escaped(cell.text())).collect());
    let caption = if table.caption.is_empty() { String::new() } else { escaped(&table.caption) + "\n\n" };
    caption + &header + &rule + &table.rows.iter().map(cells).collect::<String>()
}

/// Returns the text with every character that Markdown or HTML would read as markup escaped, on one line.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            // Within a word it is no markup.
            '_' if escaped.ends_with(char::is_alphanumeric)
                && characters.peek().is_some_and(|it| it.is_alphanumeric()) =>
            {
                escaped.push('_');
            }
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' => escaped.extend(['\\', character]),
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
