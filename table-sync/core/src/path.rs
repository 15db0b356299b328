//! Paths below a table root: the security boundary.
//!
//! Whatever a log says, an object is named by a [`RelPath`], and a [`RelPath`] cannot leave the
//! table root. Keys are kept byte for byte: no Unicode normalisation, no case folding, no
//! escaping. Two keys are equal only if their bytes are.

use std::fmt;

use crate::limits::PATH_BYTES_MAX;

/// A decoded, relative object key below a table root.
///
/// Never empty; segments are separated by single `/`; no segment is empty, `.` or `..`; no
/// control characters; at most [`PATH_BYTES_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Box<str>);

/// Why a path is not a key below the table root. The message never repeats the whole path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The path has no characters.
    #[error("path is empty")]
    Empty,
    /// Starts with `/`, or with a URL scheme.
    #[error("path is absolute")]
    Absolute,
    /// Holds an empty, `.` or `..` segment.
    #[error("path has an empty, `.` or `..` segment")]
    Segment,
    /// Holds an ASCII control character (NUL, CR, LF, ...).
    #[error("path has a control character")]
    Control,
    /// Longer than any store accepts.
    #[error("path is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// A percent escape is cut short or does not decode to UTF-8.
    #[error("path has a bad percent escape")]
    Escape,
}

impl RelPath {
    /// Takes a raw key (already decoded).
    ///
    /// # Errors
    /// [`PathError`] when the key is not strictly below the root.
    pub fn parse(key: &str) -> Result<Self, PathError> {
        if key.is_empty() {
            return Err(PathError::Empty);
        }
        if key.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        if key.starts_with('/') {
            return Err(PathError::Absolute);
        }
        if key.chars().any(char::is_control) {
            return Err(PathError::Control);
        }
        if key.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(PathError::Segment);
        }
        Ok(Self(key.into()))
    }

    /// Takes a URI reference as table logs write it, and percent-decodes it exactly once.
    ///
    /// # Errors
    /// [`PathError::Absolute`] for a scheme-qualified or `/`-rooted reference (those are never
    /// decoded), otherwise as [`RelPath::parse`].
    ///
    /// # Source
    /// Delta protocol, "Add File and Remove File": `path` is a URI, RFC 2396 encoded.
    pub fn from_uri_reference(reference: &str) -> Result<Self, PathError> {
        if is_absolute(reference) {
            return Err(PathError::Absolute);
        }
        if !reference.contains('%') {
            return Self::parse(reference);
        }
        let decoded = percent_decode(reference)?;
        Self::parse(&decoded)
    }

    /// The key, byte for byte.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for RelPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Whether a reference names its store: `scheme:...`, `//host/...` or `/...`.
fn is_absolute(reference: &str) -> bool {
    if reference.starts_with('/') {
        return true;
    }
    // RFC 3986: scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) ":". A colon behind a slash
    // belongs to a segment (`ts=2020-01-01T00:00`). A colon in the first segment of a reference
    // without a scheme is legal only when it is not preceded by a scheme-like word; partition
    // folders hold `=`, which no scheme does.
    match reference.find([':', '/']) {
        Some(at) if reference.as_bytes().get(at) == Some(&b':') => {
            let scheme = reference.get(..at).unwrap_or_default();
            let mut bytes = scheme.bytes();
            bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
                && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        }
        _ => false,
    }
}

fn percent_decode(text: &str) -> Result<String, PathError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let high = bytes.next().and_then(hex_value).ok_or(PathError::Escape)?;
        let low = bytes.next().and_then(hex_value).ok_or(PathError::Escape)?;
        decoded.push(high << 4 | low);
    }
    String::from_utf8(decoded).map_err(|_| PathError::Escape)
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reference: &str, expect: Result<&str, PathError>) {
        let got = RelPath::from_uri_reference(reference);
        assert_eq!(got.as_ref().map(RelPath::as_str), expect.as_ref().copied());
    }

    #[test]
    fn references_are_decoded_exactly_once() {
        check("p=50%2525/part-0", Ok("p=50%25/part-0"));
        check("letter=%252F%252520%25f/x", Ok("letter=%2F%2520%f/x"));
        check("a%20b/c", Ok("a b/c"));
        check("plain.parquet", Ok("plain.parquet"));
        check("emoji=\u{1F600}/x", Ok("emoji=\u{1F600}/x"));
        check("ts=2020-01-01 00:00:00/x", Ok("ts=2020-01-01 00:00:00/x"));
        check("p=a:b/x", Ok("p=a:b/x"));
    }

    #[test]
    fn absolute_references_are_refused_before_decoding() {
        for reference in [
            "s3://bucket/x",
            "gs://other/x",
            "file:///etc/passwd",
            "http://169.254.169.254/latest",
            "s3://user:pw@host/x",
            "//host/x",
            "/etc/passwd",
            "abfss://c@a.dfs.core.windows.net/x",
            "C:/x",
        ] {
            check(reference, Err(PathError::Absolute));
        }
    }

    #[test]
    fn references_that_leave_the_root_are_refused() {
        for reference in ["../x", "a/../x", "%2e%2e/x", "a/%2E%2E/%2e%2e/x", "..", ".", "./x"] {
            check(reference, Err(PathError::Segment));
        }
        for reference in ["a//b", "a/", "a%2F", "a/%2Fb"] {
            check(reference, Err(PathError::Segment));
        }
        check("%2Fetc/passwd", Err(PathError::Absolute));
        check("", Err(PathError::Empty));
    }

    #[test]
    fn control_characters_and_bad_escapes_are_refused() {
        check("a%00b", Err(PathError::Control));
        check("a%0d%0aHost: x", Err(PathError::Control));
        check("a%2", Err(PathError::Escape));
        check("a%zz", Err(PathError::Escape));
        check("a%ff", Err(PathError::Escape));
        check(&"x".repeat(PATH_BYTES_MAX + 1), Err(PathError::TooLong));
    }

    #[test]
    fn unicode_twins_stay_two_keys() {
        let nfc = RelPath::from_uri_reference("\u{e9}/x").unwrap();
        let nfd = RelPath::from_uri_reference("e\u{301}/x").unwrap();
        assert_ne!(nfc, nfd);
    }
}
