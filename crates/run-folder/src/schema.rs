//! The version of a file format, stored in a field `schema`.

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

/// The version of a format. It is written as `NEWEST`; reading a newer one fails, since its fields may have other meanings.
/// With `#[serde(default)]`, files without a version, from before the format had one, are accepted.
///
/// A new field or kind of record that old readers can ignore needs no new version; a field whose meaning or unit changes does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schema<const NEWEST: u32>;

impl<const NEWEST: u32> Serialize for Schema<NEWEST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(NEWEST)
    }
}

impl<'de, const NEWEST: u32> Deserialize<'de> for Schema<NEWEST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            found if found > NEWEST => Err(D::Error::custom(format!(
                "schema {found} is of a newer version of regatta; this one reads up to {NEWEST}"
            ))),
            _ => Ok(Self),
        }
    }
}
