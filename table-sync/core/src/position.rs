//! Positions: where a table's history stands.

use std::fmt;

use crate::InstantTime;

/// A committed state of a table, ordered only within one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Position {
    /// A Delta table version.
    Version(u64),
    /// A completed action of a Hudi timeline. Ordered by completion, then by id.
    Instant {
        /// When it completed: by its name, or, where names do not say, by the store's clock.
        completed: InstantTime,
        /// Its id. Identifies it; the completion only orders it.
        requested: InstantTime,
    },
}

impl Position {
    /// How many commits lie between two positions of a format that numbers its commits.
    ///
    /// 0 when `self` is not ahead, and where commits have no numbers.
    pub fn commits_after(self, other: Self) -> u64 {
        match (self, other) {
            (Self::Version(ahead), Self::Version(behind)) => ahead.saturating_sub(behind),
            _ => 0,
        }
    }

    /// The id of a commit whose position may be seen differently at source and replica.
    pub fn requested(self) -> Option<InstantTime> {
        match self {
            Self::Version(_) => None,
            Self::Instant { requested, .. } => Some(requested),
        }
    }

    /// Reads a position as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((completed, requested)) = text.split_once('_') {
            let completed = InstantTime::parse(completed)?;
            return Some(Self::Instant { completed, requested: InstantTime::parse(requested)? });
        }
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok().map(Self::Version)).flatten()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "{version}"),
            Self::Instant { completed, requested } => write!(f, "{completed}_{requested}"),
        }
    }
}

/// A version is a number, an instant the string `COMPLETION_INSTANT`.
impl serde::Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Version(version) => serializer.serialize_u64(*version),
            Self::Instant { .. } => serializer.collect_str(self),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Written {
            Version(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Version(version) => Ok(Self::Version(version)),
            Written::Text(text) => Self::parse(&text)
                .filter(|position| position.requested().is_some())
                .ok_or_else(|| serde::de::Error::custom("a position is COMPLETION_INSTANT")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_written_and_read_alike() {
        for json in ["7", "\"20240102030405678_20240102030405000\"", "\"1_2\""] {
            let position: Position = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&position).unwrap(), json);
            assert_eq!(Position::parse(&position.to_string()), Some(position));
        }
        for json in ["\"7\"", "\"x_1\"", "\"1_\"", "-1", "null"] {
            assert!(serde_json::from_str::<Position>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn instants_are_ordered_by_completion_first() {
        let at = |text: &str| Position::parse(text).unwrap();
        assert!(at("20240102_20240101") < at("20240103_20240100"));
        assert!(at("20240102_20240100") < at("20240102_20240101"));
    }
}
