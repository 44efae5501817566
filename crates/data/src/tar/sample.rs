//! Groups the members of a shard into samples, as WebDataset does, and reads their labels.
//!
//! Members that follow each other and have the same key (the name up to the first dot of its last part) are a sample. Its image is
//! the member with the extension .jpg, .jpeg, .png or .webp; its label is the member .cls, an integer as text, or else .json, an
//! object with an integer `label` or `cls`. Other members are passed over, as are names without an extension and those that begin
//! like `__meta__/`.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use super::error::{MemberFault, TarError};
use super::scan::{Member, Scan};
use crate::error::DataError;
use crate::folder::MOST_IMAGE_BYTES;
use crate::names::{NameList, TooManyNames};

/// The largest label: classes are rows of a weight matrix, of which a damaged label must not make billions.
pub(super) const MOST_LABEL: u32 = 999_999;
/// Largest label member of each kind, in bytes.
const MOST_CLS: u64 = 64;
const MOST_JSON: u64 = 1 << 20;

/// The images of a shard, in the order of its members.
#[derive(Debug, Default)]
pub(super) struct ShardImages {
    /// Size of the shard in bytes.
    pub(super) shard_length: u64,
    /// The members' names.
    pub(super) names: NameList,
    pub(super) offsets: Vec<u64>,
    pub(super) lengths: Vec<u32>,
    pub(super) labels: Vec<u32>,
}

/// The members of a sample.
#[derive(Debug, Default)]
struct Sample {
    key: Vec<u8>,
    image: Option<Member>,
    cls: Option<Member>,
    label: u32,
    json: Option<Member>,
}

/// Reads the headers and labels of a shard.
///
/// # Errors
/// A shard that is damaged, or a sample that is not one image with one label.
pub(super) fn read(shard: &Path) -> Result<ShardImages, DataError> {
    let mut scan = Scan::open(shard)?;
    let mut images = ShardImages { shard_length: scan.length(), ..ShardImages::default() };
    let mut sample = Sample::default();
    let mut keys = HashSet::new();
    while let Some(member) = scan.next()? {
        let Some((key, extension)) = key_of(&member.name) else { continue };
        if key != sample.key {
            sample.finish(&mut scan, &mut images)?;
            if !keys.insert(key.to_owned()) {
                return Err(scan.member_error(key, MemberFault::Duplicate));
            }
            sample = Sample { key: key.to_owned(), ..Sample::default() };
        }
        sample.add(&mut scan, extension, &member)?;
    }
    sample.finish(&mut scan, &mut images)?;
    Ok(images)
}

/// Splits a name into its key and its extension in lower case; `None` if it does not belong to a sample.
pub(super) fn key_of(name: &[u8]) -> Option<(&[u8], String)> {
    let start = name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let dot = start + name[start..].iter().position(|&byte| byte == b'.')?;
    let first = name.split(|&byte| byte == b'/').next().unwrap_or_default();
    let is_meta = first.len() >= 4 && first.starts_with(b"__") && first.ends_with(b"__");
    let extension = str::from_utf8(&name[dot + 1..]).ok()?.to_ascii_lowercase();
    (dot > start && !is_meta).then_some((&name[..dot], extension))
}

impl Sample {
    fn add(&mut self, scan: &mut Scan, extension: String, member: &Member) -> Result<(), DataError> {
        let twice = |first: &Option<Member>| first.as_ref().is_some_and(|first| first.name == member.name);
        if [&self.image, &self.cls, &self.json].into_iter().any(twice) {
            return Err(scan.member_error(&member.name, MemberFault::Duplicate));
        }
        match extension.as_str() {
            "jpg" | "jpeg" | "png" | "webp" if self.image.is_some() => {
                Err(scan.member_error(&self.key, MemberFault::SecondImage(extension)))
            }
            "jpg" | "jpeg" | "png" | "webp" if member.length > MOST_IMAGE_BYTES => {
                let fault = MemberFault::TooLarge { bytes: member.length, most: MOST_IMAGE_BYTES };
                Err(scan.member_error(&member.name, fault))
            }
            "jpg" | "jpeg" | "png" | "webp" => {
                self.image = Some(member.clone());
                Ok(())
            }
            "cls" => {
                let label = cls_label(scan.content(member, MOST_CLS)?);
                self.label = label.map_err(|fault| scan.member_error(&member.name, fault))?;
                self.cls = Some(member.clone());
                Ok(())
            }
            "json" => {
                self.json = Some(member.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Adds the sample's image. A sample with neither image nor .cls is passed over.
    fn finish(&mut self, scan: &mut Scan, images: &mut ShardImages) -> Result<(), DataError> {
        let label = match (&self.image, &self.cls, &self.json) {
            (None, None, _) => return Ok(()),
            (None, Some(_), _) => return Err(scan.member_error(&self.key, MemberFault::NoImage)),
            (Some(_), Some(_), _) => self.label,
            (Some(_), None, Some(json)) => json_label(scan.content(json, MOST_JSON)?)
                .map_err(|fault| scan.member_error(&json.name, fault))?,
            (Some(_), None, None) => return Err(scan.member_error(&self.key, MemberFault::NoLabel)),
        };
        let Some(Member { name, offset, length }) = self.image.take() else { return Ok(()) };
        images.names.push(&name).map_err(|TooManyNames| TarError::TooManyImages)?;
        images.offsets.push(offset);
        images.lengths.push(length as u32);
        images.labels.push(label);
        Ok(())
    }
}

fn cls_label(content: &[u8]) -> Result<u32, MemberFault> {
    let text = str::from_utf8(content.trim_ascii()).ok();
    let digits = text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let label = digits.and_then(|digits| digits.parse().ok()).filter(|&label| label <= MOST_LABEL);
    label.ok_or_else(|| not_a_label(content))
}

fn json_label(content: &[u8]) -> Result<u32, MemberFault> {
    #[derive(Deserialize)]
    struct Labels {
        label: Option<serde_json::Value>,
        cls: Option<serde_json::Value>,
    }
    let labels: Labels = serde_json::from_slice(content).map_err(|_| not_a_label(content))?;
    let value = labels.label.or(labels.cls).ok_or(MemberFault::NoLabel)?;
    let label = value.as_u64().filter(|&label| label <= MOST_LABEL.into());
    label.map(|label| label as u32).ok_or_else(|| not_a_label(value.to_string().as_bytes()))
}

fn not_a_label(content: &[u8]) -> MemberFault {
    let start = String::from_utf8_lossy(&content[..content.len().min(32)]);
    MemberFault::Label { found: format!("{:?}", start.trim()), most: MOST_LABEL }
}
