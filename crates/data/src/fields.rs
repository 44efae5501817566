//! The binary form of an index: little-endian numbers and arrays that begin with their number of elements.

/// Writes fields one after the other.
#[derive(Default)]
pub(crate) struct FieldWriter(pub(crate) Vec<u8>);

impl FieldWriter {
    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn u32s(&mut self, values: &[u32]) {
        self.u64(values.len() as u64);
        self.0.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    pub(crate) fn u64s(&mut self, values: &[u64]) {
        self.u64(values.len() as u64);
        self.0.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    pub(crate) fn strings(&mut self, strings: &[String]) {
        self.u64(strings.len() as u64);
        for string in strings {
            self.bytes(string.as_bytes());
        }
    }
}

/// Reads the fields in the order in which they were written. Nothing is allocated before the bytes for it are there.
pub(crate) struct FieldReader<'a>(pub(crate) &'a [u8]);

impl<'a> FieldReader<'a> {
    pub(crate) fn u64(&mut self) -> Option<u64> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*value))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        self.array(1)
    }

    pub(crate) fn u32s(&mut self) -> Option<Vec<u32>> {
        let (values, _) = self.array(4)?.as_chunks();
        Some(values.iter().map(|&value| u32::from_le_bytes(value)).collect())
    }

    pub(crate) fn u64s(&mut self) -> Option<Vec<u64>> {
        let (values, _) = self.array(8)?.as_chunks();
        Some(values.iter().map(|&value| u64::from_le_bytes(value)).collect())
    }

    pub(crate) fn strings(&mut self) -> Option<Vec<String>> {
        let count = self.u64()?;
        (0..count).map(|_| Some(str::from_utf8(self.bytes()?).ok()?.to_owned())).collect()
    }

    /// Returns `None` if something is left.
    pub(crate) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    fn array(&mut self, element_bytes: u64) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u64()?.checked_mul(element_bytes)?).ok()?;
        let (array, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(array)
    }
}
