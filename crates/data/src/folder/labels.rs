//! Reads the label file of validation images that lie in one folder.
//!
//! Either every line is `NAME CLASS`: the image's file name, with or without its extension, and the name of its class folder or,
//! if all lines have one, its number from 0 in the order of the sorted class folders (as in Caffe's `val.txt`). Or every line is
//! the name of a class folder, in the order of the sorted file names (as in TensorFlow's
//! `imagenet_2012_validation_synset_labels.txt`). Lines of one number are refused: those of ILSVRC's
//! `ILSVRC2012_validation_ground_truth.txt` are not in the order of the class folders.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use super::error::{FolderError, LabelFault};
use crate::error::DataError;
use crate::names::NameList;
use crate::regular_file;

/// Largest label file, in bytes.
const MOST_BYTES: u64 = 256 << 20;

/// Returns the label of each image.
///
/// # Errors
/// A file that cannot be read or does not give each image exactly one class.
pub(crate) fn read(path: &Path, names: &NameList, classes: &[String]) -> Result<Vec<u32>, DataError> {
    let failed = |source| DataError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    regular_file::open(path).map_err(failed)?.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    let text = str::from_utf8(&bytes).ok().filter(|text| text.len() as u64 <= MOST_BYTES);
    let labels = text.ok_or(LabelFault::NotText).and_then(|text| parse(text, names, classes));
    labels.map_err(|fault| FolderError::Labels { path: path.to_owned(), fault }.into())
}

/// A line that is not empty.
struct Line<'a> {
    number: usize,
    name: Option<&'a str>,
    class: &'a str,
}

fn parse(text: &str, names: &NameList, classes: &[String]) -> Result<Vec<u32>, LabelFault> {
    let lines: Vec<Line> = text.lines().enumerate().filter_map(Line::parse).collect();
    let named = lines.first().is_some_and(|line| line.name.is_some());
    if let Some(line) = lines.iter().find(|line| line.name.is_some() != named) {
        return Err(LabelFault::Mixed { line: line.number });
    }
    let labels = labels_of(&lines, classes)?;
    if named { by_name(&lines, &labels, names) } else { in_order(labels, names) }
}

impl<'a> Line<'a> {
    fn parse((index, line): (usize, &'a str)) -> Option<Self> {
        let line = line.trim_ascii();
        let (name, class) = match line.rsplit_once(|c: char| c.is_ascii_whitespace()) {
            Some((name, class)) => (Some(name.trim_ascii_end()), class),
            None => (None, line),
        };
        (!line.is_empty()).then_some(Self { number: index + 1, name, class })
    }

    fn is_number(&self) -> bool {
        self.class.bytes().all(|byte| byte.is_ascii_digit())
    }
}

/// Returns the label of each line. Classes are all names or, beside names of images, all numbers.
fn labels_of(lines: &[Line], classes: &[String]) -> Result<Vec<u32>, LabelFault> {
    let numbers: HashMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
    let not_a_class = |line: &Line| LabelFault::NotAClass { line: line.number, class: line.class.to_owned() };
    let named = |line: &Line| numbers.get(line.class).copied().ok_or_else(|| not_a_class(line));
    let by_name: Result<Vec<u32>, _> = lines.iter().map(named).collect();
    if by_name.is_ok() || !lines.iter().all(Line::is_number) {
        return by_name;
    }
    if lines.iter().any(|line| line.name.is_none()) {
        return Err(LabelFault::BareNumbers { example: classes.first().cloned().unwrap_or_default() });
    }
    let numbered = |line: &Line| line.class.parse().ok().filter(|&label| (label as usize) < classes.len());
    lines.iter().map(|line| numbered(line).ok_or_else(|| not_a_class(line))).collect()
}

fn by_name(lines: &[Line], labels: &[u32], names: &NameList) -> Result<Vec<u32>, LabelFault> {
    let stem = |name: &'_ [u8]| name.iter().rposition(|&byte| byte == b'.').unwrap_or(name.len());
    let stems = (0..names.len()).map(|image| (&names.get(image)[..stem(names.get(image))], image));
    // Whole names come last, and win.
    let images: HashMap<&[u8], usize> =
        stems.chain((0..names.len()).map(|image| (names.get(image), image))).collect();
    let mut found: Vec<Option<u32>> = vec![None; names.len()];
    for (line, &label) in lines.iter().zip(labels) {
        let name = line.name.unwrap_or_default();
        let Some(&image) = images.get(name.as_bytes()) else {
            return Err(LabelFault::NoSuchImage { line: line.number, name: name.to_owned() });
        };
        if found[image].replace(label).is_some() {
            return Err(LabelFault::Twice { line: line.number, name: name.to_owned() });
        }
    }
    let label = |(image, label): (usize, Option<u32>)| {
        let name = || String::from_utf8_lossy(names.get(image)).into_owned();
        label.ok_or_else(|| LabelFault::Missing { name: name() })
    };
    found.into_iter().enumerate().map(label).collect()
}

fn in_order(labels: Vec<u32>, names: &NameList) -> Result<Vec<u32>, LabelFault> {
    if labels.len() == names.len() {
        return Ok(labels);
    }
    Err(LabelFault::Count { lines: labels.len(), images: names.len() })
}
