//! The HTML form of a report.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Cell, Page, Part, Section, Table};

const STYLE: &str = include_str!("../page.css");

/// Declares `sortable`, which makes a table's columns sort by a click on their names.
pub(crate) const SORTABLE: &str = include_str!("../sortable.js");

/// Forbids every request, should one ever get into the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

pub(super) fn document(page: &Page) -> String {
    let sections = html! { @for section in &page.sections { (self::section(section)) } };
    let nonce = nonce(&sections.0);
    let sort = script([SORTABLE, "document.querySelectorAll('table').forEach(sortable);"]);
    let main = html! { (sections) script nonce=(nonce) { (sort) } };
    shell(&page.title, "", &format!("; script-src 'nonce-{nonce}'"), &main)
}

/// Returns the nonce of a page's Content-Security-Policy, without which no script of it runs. It is a hash of all that the page shows,
/// so that nothing it shows can contain it.
pub(crate) fn nonce(shown: &str) -> String {
    blake3::hash(shown.as_bytes()).to_hex().to_string()
}

/// Joins the parts of a script, which share their names with no other script of the page.
pub(crate) fn script<const N: usize>(parts: [&str; N]) -> PreEscaped<String> {
    PreEscaped(format!("'use strict';\n(() => {{\n{}\n}})();", parts.join("\n")))
}

/// Returns a page around the content of `main`, with `style` after the style of all pages and what `policy` allows beyond that
/// of all pages.
pub(crate) fn shell(title: &str, style: &str, policy: &str, main: &Markup) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content={ (POLICY) (policy) };
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(style)) }
            }
            body {
                h1 { (title) }
                main { (main) }
            }
        }
    };
    markup.into_string()
}

fn section(section: &Section) -> Markup {
    html! {
        section {
            @if !section.title.is_empty() { h2 { (section.title) } }
            @for part in &section.parts { (self::part(part)) }
        }
    }
}

fn part(part: &Part) -> Markup {
    match part {
        Part::Paragraph(text) => html! { p { (text) } },
        Part::List(items) => html! { ul { @for item in items { li { (item) } } } },
        Part::Code(text) => html! { pre { code { (text) } } },
        Part::Table(table) => self::table(table),
        Part::Figure { svg, caption, .. } => html! {
            figure {
                div.card role="img" aria-label=(caption) tabindex="0" { (PreEscaped(svg)) }
                figcaption { (caption) }
            }
        },
    }
}

fn table(table: &Table) -> Markup {
    html! {
        div.table tabindex="0" {
            table {
                @if !table.caption.is_empty() { caption { (table.caption) } }
                thead { tr { @for name in &table.columns { th scope="col" { (name) } } } }
                tbody { @for row in &table.rows { tr { @for cell in row { (self::cell(cell)) } } } }
            }
        }
    }
}

fn cell(cell: &Cell) -> Markup {
    match cell {
        Cell::Short(text) => html! { td { (text) } },
        Cell::Text(text) => html! { td.text { (text) } },
    }
}
