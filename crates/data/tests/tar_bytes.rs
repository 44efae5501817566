//! Tar archives made byte by byte, valid and otherwise.

/// An entry's header and padded content.
pub(crate) fn entry(kind: u8, name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut bytes = header(kind, name, format!("{:011o}\0", content.len()).as_bytes());
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(crate) fn file(name: &str, content: &[u8]) -> Vec<u8> {
    entry(b'0', name.as_bytes(), content)
}

/// A header with a right checksum and this size field of twelve bytes.
pub(crate) fn header(kind: u8, name: &[u8], size: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name);
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(size);
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut header);
    header
}

/// Writes the checksum.
pub(crate) fn seal(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

/// A PAX record.
pub(crate) fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length.to_string().len() + rest.len() != length {
        length += 1;
    }
    format!("{length}{rest}").into_bytes()
}

/// The mark of an archive's end.
pub(crate) const END: [u8; 1024] = [0; 1024];

pub(crate) fn sample(key: &str, label: &str) -> Vec<u8> {
    [file(&format!("{key}.jpg"), key.as_bytes()), file(&format!("{key}.cls"), label.as_bytes())].concat()
}
