//! The frame around each message of an event file, as in TensorFlow's TFRecord format
//! (<https://github.com/tensorflow/tensorflow/blob/v2.20.0/tensorflow/core/lib/io/record_writer.h>): length, its checksum, the
//! message, its checksum.

/// Returns `message` with its frame.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(message.len() + 16);
    record.extend_from_slice(&length);
    record.extend_from_slice(&masked_crc(&length).to_le_bytes());
    record.extend_from_slice(message);
    record.extend_from_slice(&masked_crc(message).to_le_bytes());
    record
}

/// Returns the CRC-32C of `bytes`, masked as in TensorFlow, so that the checksum of bytes that contain checksums is sound
/// (<https://github.com/tensorflow/tensorflow/blob/v2.20.0/third_party/xla/third_party/tsl/tsl/lib/hash/crc32c.h>).
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksum of RFC 3720, B.4, and TensorFlow's masked form of it.
    #[test]
    fn checksums_are_masked() {
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked_crc(&[0; 32]), 0x0fd7_fffa_u32);
    }

    /// The beginning of every event file of TensorFlow: a version of 24 bytes.
    #[test]
    fn a_record_is_a_message_between_checksums() {
        let message = b"\x09\0\0\0\0\0\0\0\0\x1a\x0dbrain.Event:2";
        let record = framed(message);
        assert_eq!(record[..12], *b"\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22");
        assert_eq!(record[12..36], *message);
        assert_eq!(record[36..], masked_crc(message).to_le_bytes());
    }
}
