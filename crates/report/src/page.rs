//! A report as data, and its two forms: one HTML file that loads nothing, and Markdown.

mod html;

mod markdown;

pub(crate) use html::{SORTABLE, nonce, script, shell};

/// A report.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// Its sections.
    pub sections: Vec<Section>,
}

/// A section of a report.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its title; empty for what stands directly below the report's title.
    pub title: String,
    /// What it consists of, in order.
    pub parts: Vec<Part>,
}

/// A part of a section. All texts are plain: nothing in them is markup.
#[derive(Clone, Debug)]
pub enum Part {
    /// A paragraph.
    Paragraph(String),
    /// A list of sentences.
    List(Vec<String>),
    /// Lines as typed, such as a command.
    Code(String),
    /// A table.
    Table(Table),
    /// A picture.
    Figure {
        /// Name of its file, beside that of the report.
        file: String,
        /// The picture, as made by [`crate::chart::Figure::svg`]; it becomes a part of the HTML as it is.
        svg: String,
        /// What it shows.
        caption: String,
    },
}

/// A table; the first column names the row, the others are numbers unless a cell is [`Cell::Text`].
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with a cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// A number or a few words, on one line.
    Short(String),
    /// A sentence, which may take several lines.
    Text(String),
}

impl Page {
    /// Returns the report as one HTML file with its pictures in it, which makes no request.
    pub fn html(&self) -> String {
        html::document(self)
    }

    /// Returns the report as Markdown, which names its pictures' files.
    pub fn markdown(&self) -> String {
        markdown::document(self)
    }

    /// Returns the name and the content of each picture.
    pub fn figures(&self) -> impl Iterator<Item = (&str, &str)> {
        let parts = self.sections.iter().flat_map(|section| &section.parts);
        parts.filter_map(|part| match part {
            Part::Figure { file, svg, .. } => Some((file.as_str(), svg.as_str())),
            _ => None,
        })
    }
}

impl Section {
    /// Returns a section without parts.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), parts: Vec::new() }
    }
}

impl Table {
    /// Returns a table without rows.
    pub fn new(caption: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&name| name.to_owned()).collect();
        Self { caption: caption.into(), columns, rows: Vec::new() }
    }
}

impl Cell {
    /// Returns its text.
    pub fn text(&self) -> &str {
        match self {
            Self::Short(text) | Self::Text(text) => text,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::Short(text.into())
    }
}
