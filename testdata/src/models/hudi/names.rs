//! Names of data files.
//!
//! Source: Hudi's `FSUtils` (`LOG_FILE_PATTERN`, `getFileId`, `getCommitTime`).

/// A base file's name: `<file id>_<write token>_<instant>.<extension>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BaseName {
    /// File id.
    pub file_id: String,
    /// Instant that wrote it.
    pub instant: String,
}

impl BaseName {
    /// Parses the last component of a path; `None` for anything else.
    pub fn parse(name: &str, extension: &str) -> Option<Self> {
        if name.starts_with('.') {
            return None;
        }
        // A file that another format wrote: `<its name>_<instant>_hudiext`.
        if let Some(rest) = name.strip_suffix("_hudiext") {
            let (file_id, instant) = rest.rsplit_once('_')?;
            return Some(Self { file_id: file_id.to_owned(), instant: instant.to_owned() });
        }
        if !name.ends_with(extension) {
            return None;
        }
        let mut parts = name.split('_');
        let file_id = parts.next()?.to_owned();
        let instant = parts.nth(1)?.split('.').next()?.to_owned();
        is_instant(&instant).then_some(Self { file_id, instant })
    }
}

/// A log file's name: `.<file id>_<instant>.log.<version>_<write token>[.cdc]`.
///
/// Ordered as readers order the logs of a slice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogName {
    /// Base instant up to table version 6, delta commit above.
    pub instant: String,
    /// From 1.
    pub version: u64,
    /// Write token.
    pub token: String,
    /// File id.
    pub file_id: String,
    /// Whether it holds change data, which snapshot queries skip.
    pub cdc: bool,
}

impl LogName {
    /// Parses the last component of a path; `None` for anything else.
    pub fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix('.')?;
        let (head, tail) = rest.rsplit_once(".log.")?;
        let (file_id, instant) = head.rsplit_once('_')?;
        let (tail, cdc) = match tail.strip_suffix(".cdc") {
            Some(tail) => (tail, true),
            None => (tail, false),
        };
        let (version, token) = tail.split_once('_').unwrap_or((tail, ""));
        Some(Self {
            instant: instant.to_owned(),
            version: version.parse().ok()?,
            token: token.to_owned(),
            file_id: file_id.to_owned(),
            cdc,
        })
    }
}

/// Whether a text can be an instant: digits only.
pub(super) fn is_instant(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Splits a key into its folder, without slash at the end, and its last component.
pub(super) fn split_key(key: &str) -> (&str, &str) {
    key.rsplit_once('/').unwrap_or(("", key))
}
