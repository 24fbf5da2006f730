//! The `"v":1` that every answer begins with.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of the JSON that this crate writes, and the only one that it reads.
pub const VERSION: u64 = 1;

/// An answer with its version before it: `{"v":1, ...}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned<T> {
    /// Always 1.
    v: V1,
    /// The answer's own fields.
    #[serde(flatten)]
    pub body: T,
}

impl<T> Versioned<T> {
    /// Puts the version before `body`.
    pub fn new(body: T) -> Self {
        Self { v: V1, body }
    }
}

/// The number 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct V1;

impl Serialize for V1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(VERSION)
    }
}

impl<'de> Deserialize<'de> for V1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            VERSION => Ok(Self),
            other => Err(D::Error::invalid_value(Unexpected::Unsigned(other), &"version 1")),
        }
    }
}

/// The version that a JSON text announces, if it is an object that announces one.
pub(crate) fn announced(text: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Announced {
        v: u64,
    }
    serde_json::from_str::<Announced>(text).ok().map(|announced| announced.v)
}
