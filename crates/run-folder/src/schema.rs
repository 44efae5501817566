//! The version of a file format, as a field `schema` of what is in the file.

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

/// The version of a format. It is written as `NEWEST`; reading fails for a newer one, whose fields may mean something else.
/// With `#[serde(default)]`, files from before their format had a version can be read too.
///
/// A new field or kind of record that old readers can do without needs no new version; a field whose meaning or unit changes does.
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
