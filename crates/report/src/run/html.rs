//! The page of runs: an empty frame, the document, and the script that draws it.

use maud::{Markup, PreEscaped, html};

use super::Document;
use crate::page::{SORTABLE, nonce, script, shell};

const CHARTS: &str = include_str!("../../assets/uPlot.iife.min.js");
const CHARTS_STYLE: &str = include_str!("../../assets/uPlot.min.css");
const STYLE: &str = include_str!("style.css");
const LIVE: [&str; 2] = [
    FOLLOW,
    "follow('document', (event) => regattaReport.show(JSON.parse(event.data)), () => regattaReport.document.made_at);",
];

/// Declares `follow`, which connects a page to its events.
pub(super) const FOLLOW: &str = include_str!("script/follow.js");

/// Declares `remembered`, which keeps the focus and scroll positions when a part of a page is replaced.
pub(super) const REMEMBER: &str = include_str!("script/remember.js");

/// The script that draws the document, in its parts.
const SCRIPT: [&str; 9] = [
    REMEMBER,
    include_str!("script/state.js"),
    include_str!("script/elements.js"),
    include_str!("script/charts.js"),
    include_str!("script/curves.js"),
    SORTABLE,
    include_str!("script/tables.js"),
    include_str!("script/sections.js"),
    include_str!("script/page.js"),
];

/// The sections with their titles; the script fills them and hides those without content.
const SECTIONS: [(&str, &str); 9] = [
    ("runs", "Runs"),
    ("curves", "Curves"),
    ("speed", "Speed and memory"),
    ("phases", "Time of a step by phase"),
    ("ranks", "Ranks"),
    ("evaluation", "Evaluation"),
    ("attempts", "Attempts"),
    ("recipe", "Recipes"),
    ("machine", "Machine and versions"),
];

/// Returns the page of a document. With the address of events, newer documents that come from there replace it.
pub(super) fn page(document: &Document, events: Option<&str>) -> String {
    let json = for_script(&document.json());
    let nonce = nonce(&json);
    let connections = if events.is_some() { "; connect-src 'self'" } else { "" };
    let policy = format!(
        "; img-src data:; script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'{connections}"
    );
    let style = format!("{CHARTS_STYLE}\n{STYLE}");
    shell(&document.title, &style, &policy, &content(&json, &nonce, events))
}

fn content(json: &str, nonce: &str, events: Option<&str>) -> Markup {
    html! {
        @if events.is_some() { output id="live" { "connecting" } }
        noscript { p { "This page draws its tables and charts with a script of its own; " code { "launcher report RUN" }
            " prints the numbers in a terminal." } }
        div id="controls" data-name="controls" {}
        @for (id, title) in SECTIONS { section id=(id) hidden { h2 { (title) } div.content {} } }
        footer {}
        script type="application/json" id="document" { (PreEscaped(json)) }
        script nonce=(nonce) { (PreEscaped(CHARTS)) }
        script nonce=(nonce) { (script(SCRIPT)) }
        @if let Some(events) = events { script nonce=(nonce) data-events=(events) { (script(LIVE)) } }
    }
}

/// Escapes what could end or open an element, and the line ends that JavaScript once did not take within a string. JSON has these
/// characters within strings alone, where an escape means the same.
fn for_script(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_cannot_end_its_element() {
        let hostile = "</script><script>alert(1)</script><!-- & \u{2028}\u{2029}";
        let json = serde_json::to_string(hostile).expect("a string");
        let escaped = for_script(&json);
        assert!(!escaped.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).expect("still JSON"), hostile);
    }

    #[test]
    fn scripts_and_styles_cannot_end_their_elements() {
        for text in [CHARTS, CHARTS_STYLE, STYLE].into_iter().chain(SCRIPT).chain(LIVE) {
            assert!(!text.contains("</script") && !text.contains("</style") && !text.contains("<!--"));
        }
    }
}
