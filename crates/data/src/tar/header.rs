//! The headers of tar archives: POSIX ustar, the older form without a magic number, GNU's and PAX's extensions.
//!
//! The parser is the workspace's own, since an index needs only positions, sizes and names: the crate `tar` reads a long name or
//! PAX header of any size into memory, reads headers from a stream that it also wants to unpack, and repairs some of what must be
//! refused here.

use super::error::MemberFault;

/// Size of a header, and of the blocks that content is padded to.
pub(super) const BLOCK: usize = 512;

/// Kind of an entry of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// PAX records for the next entry.
    Pax,
    /// PAX records for all entries.
    PaxGlobal,
    /// GNU tar's long name of the next entry.
    LongName,
    /// GNU tar's long target of a link.
    LongLink,
    /// Anything else, in words.
    Refused(&'static str),
}

/// A header whose checksum is right.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// The name, without extensions of the format.
    pub(super) name: Vec<u8>,
    /// Bytes of content; `None` if the field is invalid.
    pub(super) size: Option<u64>,
}

impl Header {
    /// Parses a header; `None` if its checksum is wrong.
    pub(super) fn parse(block: &[u8; BLOCK]) -> Option<Self> {
        let unsigned = |range: &[u8]| range.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        let field = &block[148..156];
        // The checksum counts its own field as spaces.
        let sum = unsigned(block) - unsigned(field) + 8 * u64::from(b' ');
        if number(field) != Some(sum) {
            return None;
        }
        let name = until_nul(&block[..100]);
        let (is_posix, prefix) = (&block[257..263] == b"ustar\0", until_nul(&block[345..500]));
        let name =
            if is_posix && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_owned() };
        Some(Self { kind: Kind::of(block[156], &name), name, size: number(&block[124..136]) })
    }
}

impl Kind {
    fn of(flag: u8, name: &[u8]) -> Self {
        match flag {
            // Before POSIX, a folder was a file whose name ends with a slash.
            0 | b'0' | b'7' if name.ends_with(b"/") => Self::Folder,
            0 | b'0' | b'7' => Self::File,
            b'5' => Self::Folder,
            b'x' | b'X' => Self::Pax,
            b'g' => Self::PaxGlobal,
            b'L' => Self::LongName,
            b'K' => Self::LongLink,
            b'1' => Self::Refused("a hard link"),
            b'2' => Self::Refused("a symbolic link"),
            b'3' | b'4' => Self::Refused("a device"),
            b'6' => Self::Refused("a pipe"),
            b'S' => Self::Refused("a file with holes"),
            _ => Self::Refused("an entry of unknown kind"),
        }
    }
}

/// What PAX records change of the next header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// Whether the entry is a file with holes in one of GNU's PAX forms.
    pub(super) is_sparse: bool,
}

impl Extension {
    /// Reads records `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record; `None` if they are invalid.
    pub(super) fn read_pax(&mut self, mut records: &[u8]) -> Option<()> {
        // Some writers pad the records with zeros.
        while records.first().is_some_and(|&byte| byte != 0) {
            let space = records.iter().take(20).position(|&byte| byte == b' ')?;
            let length = decimal(&records[..space])?;
            let (record, rest) = records.split_at_checked(usize::try_from(length).ok()?)?;
            let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|&byte| byte == b'=')?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.name = Some(value.to_owned()),
                b"size" => self.size = Some(decimal(value)?),
                _ => self.is_sparse |= key.starts_with(b"GNU.sparse."),
            }
            records = rest;
        }
        Some(())
    }
}

/// Returns the number in a header's field: octal digits, or in GNU's form binary after a first byte of 0x80. Negative numbers and
/// those of more than 64 bits are `None`.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let digits = [&[field[0] & 0x7f], &field[1..]].concat();
        let add = |value: u64, digit: u8| (value >> 56 == 0).then_some(value << 8 | u64::from(digit));
        // The bit below the flag is the sign.
        return (field[0] & 0x40 == 0).then(|| digits.into_iter().try_fold(0, add)).flatten();
    }
    let text = until_nul(field).trim_ascii();
    let add = |value: u64, &digit: &u8| match digit {
        b'0'..=b'7' if value >> 61 == 0 => Some(value << 3 | u64::from(digit - b'0')),
        _ => None,
    };
    (!text.is_empty()).then(|| text.iter().try_fold(0, add)).flatten()
}

fn decimal(text: &[u8]) -> Option<u64> {
    let is_plain = text.iter().all(u8::is_ascii_digit);
    is_plain.then(|| str::from_utf8(text).ok()?.parse().ok()).flatten()
}

pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len())]
}

/// Checks that a name stays within the shard, and returns it without `./` at its beginning.
pub(super) fn inner_name(name: &[u8]) -> Result<&[u8], MemberFault> {
    let is_outside = |part: &[u8]| part == b"..";
    if name.starts_with(b"/") || name.contains(&0) || name.split(|&byte| byte == b'/').any(is_outside) {
        return Err(MemberFault::Outside);
    }
    let mut inner = name;
    while let Some(rest) = inner.strip_prefix(b"./") {
        inner = rest;
    }
    Ok(inner)
}
