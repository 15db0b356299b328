//! Positions: where a table's history stands.

use std::fmt;

/// A committed state of a table, ordered only within one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Position {
    /// A Delta table version.
    Version(u64),
}

impl Position {
    /// How many commits lie between two positions of a format that numbers its commits.
    ///
    /// 0 when `self` is not ahead.
    pub fn commits_after(self, other: Self) -> u64 {
        match (self, other) {
            (Self::Version(ahead), Self::Version(behind)) => ahead.saturating_sub(behind),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "{version}"),
        }
    }
}

impl serde::Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Version(version) => serializer.serialize_u64(*version),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::Version)
    }
}
