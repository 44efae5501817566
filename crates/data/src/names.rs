//! A list of names in one block of memory.

use crate::fields::{FieldReader, FieldWriter};

/// Names of up to 4 GiB in all, four bytes each beside their content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameList {
    bytes: Vec<u8>,
    /// Where each name ends in `bytes`.
    ends: Vec<u32>,
}

/// More than 4 GiB of names.
#[derive(Debug)]
pub(crate) struct TooManyNames;

impl NameList {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn push(&mut self, name: &[u8]) -> Result<(), TooManyNames> {
        let end = u32::try_from(self.bytes.len() + name.len()).map_err(|_| TooManyNames)?;
        self.bytes.extend_from_slice(name);
        self.ends.push(end);
        Ok(())
    }

    pub(crate) fn append(&mut self, others: &Self) -> Result<(), TooManyNames> {
        let base = u32::try_from(self.bytes.len()).map_err(|_| TooManyNames)?;
        u32::try_from(self.bytes.len() + others.bytes.len()).map_err(|_| TooManyNames)?;
        self.bytes.extend_from_slice(&others.bytes);
        self.ends.extend(others.ends.iter().map(|end| base + end));
        Ok(())
    }

    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..self.ends[index] as usize]
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Frees memory that is reserved for further names.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    pub(crate) fn write(&self, fields: &mut FieldWriter) {
        fields.bytes(&self.bytes);
        fields.u32s(&self.ends);
    }

    /// Reads what [`write`](Self::write) wrote; `None` if it is damaged.
    pub(crate) fn read(fields: &mut FieldReader) -> Option<Self> {
        let (bytes, ends) = (fields.bytes()?.to_vec(), fields.u32s()?);
        let is_complete = ends.last().copied().unwrap_or(0) as usize == bytes.len();
        (is_complete && ends.is_sorted()).then_some(Self { bytes, ends })
    }
}
