//! Locations: the text that names a table, split into a store root and a table path.
//!
//! Paths in `s3://`, `gs://`, `az://` and `abfss://` URLs are keys, byte for byte, as the stores'
//! own command-line tools take them: nothing is decoded. `file://` URLs are decoded once
//! (RFC 8089); plain paths are taken as they are.
//!
//! # Invariants
//! - Neither URL of a [`Location`] holds credentials: text with a user, a password or a query is
//!   refused.
//! - The table path has no empty, `.` or `..` segment.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use table_sync_core::{PathError, RelPath};

use crate::secret::Secret;
use crate::settings::StoreConfig;

const FILE_URL: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'"');

/// Where a table is: a store root, and the table's path below it. May hold a glob (`*`).
#[derive(Debug, Clone)]
pub struct Location {
    root: Root,
    table: String,
    url: String,
    options: BTreeMap<String, Secret>,
    /// Given by name: then unset options still come from the environment, but never credentials
    /// beside configured ones.
    name: Option<String>,
}

/// A store root, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) scheme: Scheme,
    /// Bucket or container, with the account where the URL names one; empty for `file`.
    pub(crate) authority: String,
    /// Key prefix without slashes at its ends, or the absolute folder for `file`.
    pub(crate) prefix: String,
    url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    File,
    S3,
    Gcs,
    Azure,
}

/// Why text does not name a table.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocationError {
    /// Nothing was given.
    #[error("read the location: it is empty; give a URL, a path or NAME:PATH")]
    Empty,
    /// The URL holds a user or a password.
    #[error("read the location: credentials in a URL are refused; use store options instead")]
    Credentials,
    /// The URL holds a query or a fragment.
    #[error("read the location: a query or fragment is refused; use store options instead")]
    Query,
    /// No store is spoken to with this scheme.
    #[error("open {scheme}://: use s3, gs, az, abfss or file, or a path")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// `NAME:PATH` with a name that no store has.
    #[error("find the store {name}: known are {known}; a path with a colon starts with ./")]
    UnknownStore {
        /// The name.
        name: String,
        /// Names that there are.
        known: String,
    },
    /// A drive letter.
    #[error("open {text}: drive letters are not supported; use a path with /")]
    Drive {
        /// The text.
        text: String,
    },
    /// The URL has no bucket or container.
    #[error("open {url}: the bucket is missing")]
    NoBucket {
        /// The URL.
        url: String,
    },
    /// The location is a store root, not a table below one.
    #[error("open {url}: a table is below a bucket or folder; add its path")]
    NoTable {
        /// The URL.
        url: String,
    },
    /// A path that is not below the root.
    #[error("open the table path: {0}")]
    Path(PathError),
    /// A percent escape of a `file://` URL does not decode to UTF-8.
    #[error("open {url}: bad percent escape")]
    Escape {
        /// The URL.
        url: String,
    },
}

impl Location {
    /// Takes `s3://bucket/a/b`, `gs://`, `az://container/p`, `abfss://container@account.../p`,
    /// `file:///p`, `/plain/path`, `relative/path`, or `NAME:path` with NAME in `stores`.
    ///
    /// A URL's store root is the table's parent folder, or for a glob the longest prefix without
    /// one.
    ///
    /// # Errors
    /// [`LocationError`]; its text never repeats credentials.
    pub fn parse(
        text: &str,
        stores: &BTreeMap<String, StoreConfig>,
    ) -> Result<Self, LocationError> {
        if text.trim().is_empty() {
            return Err(LocationError::Empty);
        }
        if let Some((name, path)) = named(text, stores)? {
            let Some(config) = stores.get(name) else {
                let known: Vec<_> = stores.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(LocationError::UnknownStore { name: name.to_owned(), known });
            };
            let root = Root::parse(&config.url)?;
            let table = table_path(path.trim_matches('/'), &root.url)?;
            return Ok(Self::new(root, table, config.options.clone(), Some(name.to_owned())));
        }
        let whole = Root::parse(text)?;
        let (prefix, table) = split_table(&whole)?;
        let table = table_path(&table, &whole.url)?;
        let root = Root::new(whole.scheme, whole.authority, prefix);
        Ok(Self::new(root, table, BTreeMap::new(), None))
    }

    fn new(
        root: Root,
        table: String,
        options: BTreeMap<String, Secret>,
        name: Option<String>,
    ) -> Self {
        let url = match root.scheme {
            Scheme::File => Root::new(Scheme::File, String::new(), join(&root.prefix, &table)).url,
            _ => join(&root.url, &table),
        };
        Self { root, table, url, options, name }
    }

    /// URL of the whole table, for reports. Never holds credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// URL of the store root, beside whose tables `_driftless/` lives.
    pub fn store_url(&self) -> &str {
        &self.root.url
    }

    /// Path of the table below the store root, e.g. `sales` or `wh/sales`.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Name of the store, where the location was given as `NAME:PATH`.
    pub fn store_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether this names tables by a pattern: see [`expand`](crate::expand).
    pub fn has_glob(&self) -> bool {
        self.table.contains('*')
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    pub(crate) fn options(&self) -> &BTreeMap<String, Secret> {
        &self.options
    }

    /// Another table of the same store.
    pub(crate) fn sibling(&self, table: String) -> Self {
        Self::new(self.root.clone(), table, self.options.clone(), self.name.clone())
    }
}

impl Root {
    fn new(scheme: Scheme, authority: String, prefix: String) -> Self {
        let url = match scheme {
            Scheme::File => format!("file://{}", utf8_percent_encode(&prefix, FILE_URL)),
            Scheme::S3 => join(&format!("s3://{authority}"), &prefix),
            Scheme::Gcs => join(&format!("gs://{authority}"), &prefix),
            Scheme::Azure if authority.contains('@') => {
                join(&format!("abfss://{authority}"), &prefix)
            }
            Scheme::Azure => join(&format!("az://{authority}"), &prefix),
        };
        Self { scheme, authority, prefix, url }
    }

    fn parse(text: &str) -> Result<Self, LocationError> {
        let Some((scheme, rest)) = text.split_once("://").filter(|(s, _)| is_scheme(s)) else {
            let path = text.strip_prefix("file:").unwrap_or(text);
            return Ok(Self::new(Scheme::File, String::new(), absolute(Path::new(path))));
        };
        if rest.contains(['?', '#']) {
            return Err(LocationError::Query);
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let azure = ["abfs", "abfss"].contains(&scheme);
        if authority.contains('@') && (!azure || authority.contains(':')) {
            return Err(LocationError::Credentials);
        }
        let scheme = match scheme {
            "s3" | "s3a" => Scheme::S3,
            "gs" => Scheme::Gcs,
            "az" | "azure" | "adl" | "abfs" | "abfss" => Scheme::Azure,
            "file" => return Self::parse_file_url(text, authority, path),
            other => return Err(LocationError::Scheme { scheme: other.to_owned() }),
        };
        if authority.is_empty() {
            return Err(LocationError::NoBucket { url: text.to_owned() });
        }
        let prefix = path.trim_end_matches('/');
        if !prefix.is_empty() {
            RelPath::parse(prefix).map_err(LocationError::Path)?;
        }
        Ok(Self::new(scheme, authority.to_owned(), prefix.to_owned()))
    }

    fn parse_file_url(url: &str, host: &str, path: &str) -> Result<Self, LocationError> {
        if !host.is_empty() && host != "localhost" {
            return Err(LocationError::Scheme { scheme: format!("file://{host}") });
        }
        let path = percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| LocationError::Escape { url: url.to_owned() })?;
        let path = absolute(&Path::new("/").join(path.trim_start_matches('/')));
        Ok(Self::new(Scheme::File, String::new(), path))
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn folder(&self) -> PathBuf {
        PathBuf::from(&self.prefix)
    }
}

/// Splits `NAME:path`. `None` for URLs and paths.
fn named<'a>(
    text: &'a str,
    stores: &BTreeMap<String, StoreConfig>,
) -> Result<Option<(&'a str, &'a str)>, LocationError> {
    let Some((name, path)) = text.split_once(':') else { return Ok(None) };
    if name.is_empty() || name.contains(['/', '.', '\\']) || path.starts_with("//") {
        return Ok(None);
    }
    if stores.contains_key(name) {
        return Ok(Some((name, path)));
    }
    if name == "file" {
        return Ok(None);
    }
    let drive = name.len() == 1 && path.starts_with(['\\', '/']);
    if drive {
        return Err(LocationError::Drive { text: text.to_owned() });
    }
    Ok(Some((name, path)))
}

/// Splits a whole URL's path before its last segment, or before its first glob.
fn split_table(whole: &Root) -> Result<(String, String), LocationError> {
    let path = whole.prefix.trim_end_matches('/');
    let no_table = || LocationError::NoTable { url: whole.url.clone() };
    if path.is_empty() {
        return Err(no_table());
    }
    let stem = match path.find('*') {
        Some(at) => path.get(..at).unwrap_or_default(),
        None => path,
    };
    let (prefix, table) = match stem.rfind('/') {
        // The root folder itself keeps its slash.
        Some(0) if whole.scheme == Scheme::File => ("/", path.get(1..)),
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..)),
        None => ("", Some(path)),
    };
    match table {
        Some(table) if !table.is_empty() => Ok((prefix.to_owned(), table.to_owned())),
        _ => Err(no_table()),
    }
}

fn table_path(table: &str, url: &str) -> Result<String, LocationError> {
    if table.is_empty() {
        return Err(LocationError::NoTable { url: url.to_owned() });
    }
    RelPath::parse(table).map_err(LocationError::Path)?;
    Ok(table.to_owned())
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
}

/// The absolute path, with `.` and `..` resolved by name.
fn absolute(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut clean = PathBuf::new();
    for component in whole.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean.to_string_lossy().into_owned()
}

fn join(left: &str, right: &str) -> String {
    match (left, right) {
        (left, "") => left.to_owned(),
        ("", right) => right.to_owned(),
        (left, right) => format!("{}/{right}", left.trim_end_matches('/')),
    }
}

#[cfg(test)]
#[path = "location_tests.rs"]
mod tests;
