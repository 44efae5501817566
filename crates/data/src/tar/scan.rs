//! Goes through the members of a shard by their headers, without reading the content of images.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::{MemberFault, ShardFault, TarError};
use super::header::{BLOCK, Extension, Header, Kind, inner_name, until_nul};
use crate::error::DataError;
use crate::regular_file;

/// Largest PAX header or long name, in bytes.
const MOST_EXTENDED: u64 = 1 << 20;

/// A file in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    /// Where its content begins in the shard.
    pub(super) offset: u64,
    /// Bytes of content, all of which are in the shard.
    pub(super) length: u64,
}

/// A shard that is being gone through.
pub(super) struct Scan<'a> {
    shard: &'a Path,
    file: Window,
    /// Where the next header is.
    next: u64,
}

impl<'a> Scan<'a> {
    pub(super) fn open(shard: &'a Path) -> Result<Self, DataError> {
        let failed = |source| DataError::Read { path: shard.to_owned(), source };
        let file = regular_file::open(shard).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let file = Window { file, length, start: 0, bytes: Vec::new() };
        let scan = Self { shard, file, next: 0 };
        if scan.file.length == 0 { Err(scan.shard_error(ShardFault::Empty)) } else { Ok(scan) }
    }

    /// Goes through a member that is itself a tar archive.
    pub(super) fn within(&self, member: &Member) -> Result<Self, DataError> {
        let failed = |source| DataError::Read { path: self.shard.to_owned(), source };
        let file = self.file.file.try_clone().map_err(failed)?;
        let file = Window { file, length: member.offset + member.length, start: 0, bytes: Vec::new() };
        Ok(Self { shard: self.shard, file, next: member.offset })
    }

    /// Returns the next file, or `None` at the archive's end.
    pub(super) fn next(&mut self) -> Result<Option<Member>, DataError> {
        let mut extension = Extension::default();
        while let Some((offset, header)) = self.header()? {
            let name = extension.name.clone().unwrap_or(header.name);
            if let Kind::Refused(kind) = header.kind {
                return Err(self.member_error(&name, MemberFault::Kind(kind)));
            }
            let changed = extension.size.filter(|_| matches!(header.kind, Kind::File | Kind::Folder));
            let Some(length) = changed.or(header.size) else {
                return Err(self.shard_error(ShardFault::Size { offset }));
            };
            let content = offset + BLOCK as u64;
            let is_folder = header.kind == Kind::Folder;
            // A folder has no content, whatever its size says.
            let length = if is_folder { 0 } else { length };
            self.next = self.end_of(&name, content, length)?;
            match header.kind {
                Kind::File if extension.is_sparse => {
                    return Err(self.member_error(&name, MemberFault::Kind("a file with holes")));
                }
                Kind::File => return Ok(Some(self.member(&name, content, length)?)),
                Kind::Folder => {
                    inner_name(&name).map_err(|fault| self.member_error(&name, fault))?;
                    extension = Extension::default();
                }
                Kind::LongLink | Kind::Refused(_) => (),
                Kind::LongName | Kind::Pax | Kind::PaxGlobal => {
                    self.extend(&mut extension, header.kind, content, length)
                        .ok_or_else(|| self.shard_error(ShardFault::Extended { offset }))?;
                }
            }
        }
        Ok(None)
    }

    /// Reads the header at the current position; `None` at the mark of the end.
    fn header(&mut self) -> Result<Option<(u64, Header)>, DataError> {
        let offset = self.next;
        let Some(block) = self.block(offset)? else {
            return Err(self.shard_error(ShardFault::Cut { length: self.file.length }));
        };
        if block != [0; BLOCK] {
            let header = Header::parse(&block);
            return match header {
                Some(header) => Ok(Some((offset, header))),
                None if block.starts_with(&[0x1f, 0x8b]) => Err(self.shard_error(ShardFault::Compressed)),
                None => Err(self.shard_error(ShardFault::Checksum { offset })),
            };
        }
        let after = offset + BLOCK as u64;
        match self.block(after)? {
            Some(block) if block != [0; BLOCK] => Err(self.shard_error(ShardFault::Joined { offset: after })),
            _ => Ok(None),
        }
    }

    /// Returns the position after a member's content and its padding, if the content is in the shard.
    fn end_of(&self, name: &[u8], content: u64, length: u64) -> Result<u64, DataError> {
        let end = content.saturating_add(length);
        if end > self.file.length {
            let fault = MemberFault::Cut { end, length: self.file.length };
            return Err(self.member_error(name, fault));
        }
        Ok(end.next_multiple_of(BLOCK as u64))
    }

    fn member(&self, name: &[u8], offset: u64, length: u64) -> Result<Member, DataError> {
        let inner = inner_name(name).map_err(|fault| self.member_error(name, fault))?;
        Ok(Member { name: inner.to_owned(), offset, length })
    }

    /// Reads an extended header; `None` if it is invalid or too large.
    fn extend(&mut self, extension: &mut Extension, kind: Kind, content: u64, length: u64) -> Option<()> {
        if length > MOST_EXTENDED {
            return None;
        }
        let bytes = self.file.read(content, length as usize).ok()?.to_vec();
        match kind {
            Kind::LongName => extension.name = Some(until_nul(&bytes).to_owned()),
            Kind::Pax => extension.read_pax(&bytes)?,
            // Comments are common; a name or size for all entries makes no sense.
            _ => {
                let mut global = Extension::default();
                global.read_pax(&bytes)?;
                (global == Extension::default()).then_some(())?;
            }
        }
        Some(())
    }

    fn block(&mut self, offset: u64) -> Result<Option<[u8; BLOCK]>, DataError> {
        let failed = |source| DataError::Read { path: self.shard.to_owned(), source };
        if self.file.length.checked_sub(offset).is_none_or(|left| left < BLOCK as u64) {
            return Ok(None);
        }
        Ok(self.file.read(offset, BLOCK).map_err(failed)?.first_chunk().copied())
    }

    /// Reads the content of a small member.
    pub(super) fn content(&mut self, member: &Member, most: u64) -> Result<&[u8], DataError> {
        if member.length > most {
            let fault = MemberFault::TooLarge { bytes: member.length, most };
            return Err(self.member_error(&member.name, fault));
        }
        let failed = |source| DataError::Read { path: self.shard.to_owned(), source };
        self.file.read(member.offset, member.length as usize).map_err(failed)
    }

    pub(super) fn length(&self) -> u64 {
        self.file.length
    }

    fn shard_error(&self, fault: ShardFault) -> DataError {
        TarError::Shard { shard: self.shard.to_owned(), fault }.into()
    }

    pub(super) fn member_error(&self, name: &[u8], fault: MemberFault) -> DataError {
        let member = String::from_utf8_lossy(name).into_owned();
        TarError::Member { shard: self.shard.to_owned(), member, fault }.into()
    }
}

/// A part of a file in memory, so that a label and the headers around it are read at once.
struct Window {
    file: File,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// Bytes read at once, if there are as many.
    const BYTES: usize = 4096;

    fn read(&mut self, offset: u64, count: usize) -> io::Result<&[u8]> {
        let held = self.start..=self.start + self.bytes.len() as u64;
        let end = offset + count as u64;
        if !(held.contains(&offset) && held.contains(&end)) {
            let left = self.length.saturating_sub(offset);
            self.bytes.resize(left.min(count.max(Self::BYTES) as u64) as usize, 0);
            self.start = offset;
            if let Err(error) = self.file.read_exact_at(&mut self.bytes, offset) {
                self.bytes.clear();
                return Err(error);
            }
        }
        let start = (offset - self.start) as usize;
        self.bytes.get(start..start + count).ok_or(io::ErrorKind::UnexpectedEof.into())
    }
}
