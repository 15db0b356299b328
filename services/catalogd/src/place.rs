//! Places: URLs of stores, and `STORE:path` below them.
//!
//! Only what the catalog needs: to refuse texts that cannot be places or that hold a secret, and
//! to tell whether one place lies within another. Opening them is somebody else's.

use std::collections::BTreeMap;

use driftless_catalog::{StoreRecord, check_label};

/// A folder in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) scheme: Scheme,
    /// Bucket or container; empty for files.
    pub(crate) container: String,
    /// The account of an Azure URL that names it.
    pub(crate) account: Option<String>,
    /// Without slashes at its ends.
    pub(crate) path: String,
}

/// Kinds of stores. Two ways to write one store are one scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scheme {
    S3,
    Gs,
    Azure,
    File,
}

impl Place {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (word, rest) = url.split_once("://").ok_or("use a URL: s3://bucket/path, ...")?;
        let scheme = match word {
            "s3" => Scheme::S3,
            "gs" => Scheme::Gs,
            "az" | "abfss" => Scheme::Azure,
            "file" => Scheme::File,
            other => return Err(format!("{other:?} is no scheme: use s3, gs, az, abfss or file")),
        };
        if rest.contains(['?', '#', '*', '\\']) {
            return Err("leave out ?, #, * and backslashes".to_owned());
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (container, account) = match authority.split_once('@') {
            // The one URL whose user is none: CONTAINER@ACCOUNT.dfs.core.windows.net.
            Some((container, host)) if word == "abfss" && !container.contains(':') => {
                (container, host.split('.').next().map(str::to_owned))
            }
            Some(_) => return Err("leave user and password out of the URL".to_owned()),
            None => (authority, None),
        };
        if container.is_empty() != (scheme == Scheme::File) {
            return Err("a bucket or container comes after ://, of file nothing".to_owned());
        }
        let path = path.trim_end_matches('/');
        if !path.is_empty() && path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err("leave out //, . and .. within the path".to_owned());
        }
        let (container, path) = (container.to_owned(), path.to_owned());
        Ok(Self { scheme, container, account, path })
    }

    /// Reads a URL, or `STORE:path` of one of these stores.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn resolve(text: &str, stores: &Stores) -> Result<Self, String> {
        if text.contains("://") {
            return Self::parse(text);
        }
        let (name, path) = text.split_once(':').ok_or("use a URL, or STORE:path")?;
        check_label("store", name).map_err(|error| error.to_string())?;
        let url = stores.0.get(name).ok_or_else(|| format!("there is no store {name}"))?;
        match path.is_empty() {
            true => Self::parse(url),
            false => Self::parse(&format!("{}/{path}", url.trim_end_matches('/'))),
        }
    }

    /// Whether one of the two lies in the other, or they are the same.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let account = match (&self.account, &other.account) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        let store = (self.scheme, &self.container) == (other.scheme, &other.container);
        account && store && (within(&self.path, &other.path) || within(&other.path, &self.path))
    }
}

/// Whether `path` is `folder` or below it.
fn within(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder);
    folder.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// URLs of stores by their names.
#[derive(Debug, Default)]
pub(crate) struct Stores(BTreeMap<String, String>);

impl Stores {
    pub(crate) fn of(records: Vec<StoreRecord>) -> Self {
        Self(records.into_iter().map(|store| (store.name, store.url)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<Place, String> {
        let url = "abfss://lake@acct.dfs.core.windows.net/wh".to_owned();
        let stores = [("vast".to_owned(), "s3://vast/root/".to_owned()), ("az1".to_owned(), url)];
        Place::resolve(text, &Stores(stores.into()))
    }

    #[test]
    fn urls_and_stores_are_places() {
        for (text, expect) in [
            ("s3://b", (Scheme::S3, "b", "")),
            ("s3://b/a/b/", (Scheme::S3, "b", "a/b")),
            ("gs://b/a", (Scheme::Gs, "b", "a")),
            ("az://c/a", (Scheme::Azure, "c", "a")),
            ("file:///data/t", (Scheme::File, "", "data/t")),
            ("vast:", (Scheme::S3, "vast", "root")),
            ("vast:a/b", (Scheme::S3, "vast", "root/a/b")),
            ("az1:t", (Scheme::Azure, "lake", "wh/t")),
        ] {
            let found = place(text).unwrap();
            let parts = (found.scheme, found.container.as_str(), found.path.as_str());
            assert_eq!(parts, expect, "{text}");
        }
    }

    #[test]
    fn secrets_and_riddles_are_refused() {
        for text in [
            "",
            "t",
            "/data/t",
            "http://b/a",
            "s3://",
            "s3:///a",
            "s3://key:secret@b/a",
            "abfss://c:secret@acct/a",
            "s3://b/a?X-Amz-Signature=1",
            "s3://b/../a",
            "s3://b/a//b",
            "file://host/a",
            "other:a",
            "vast:../a",
        ] {
            assert!(place(text).is_err(), "{text}");
        }
    }

    #[test]
    fn folders_overlap_by_whole_names() {
        for (one, other, expect) in [
            ("s3://b/a", "s3://b/a/c", true),
            ("s3://b/a", "s3://b/ab", false),
            ("s3://b", "s3://b/ab", true),
            ("s3://b/a", "s3://c/a", false),
            ("s3://b/a", "gs://b/a", false),
            ("az://lake/wh/t", "az1:t", true),
            ("vast:a", "s3://vast/root/a", true),
        ] {
            let (one, other) = (place(one).unwrap(), place(other).unwrap());
            assert_eq!(one.overlaps(&other), expect, "{one:?} {other:?}");
        }
    }
}
