//! Stores, and which of them the tables of a project may use.
//!
//! A place names its store, or it is a URL: then it is in every store that it lies in or around, so
//! that no spelling leads past a store's list of projects.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{CatalogError, Millis, Result};

/// The value of a store's option. Secrets are never in the catalog: only where they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum OptionValue {
    /// The value of an environment variable of the daemon.
    Env(FromEnv),
    /// The content of a file of the daemon's secrets folder.
    File(FromFile),
    /// The value itself: nothing secret.
    Text(String),
}

/// See [`OptionValue::Env`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FromEnv {
    /// Name of the variable; it begins with `DRIFTLESS_STORE_`.
    pub env: String,
}

/// See [`OptionValue::File`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FromFile {
    /// Name of the file, without a folder.
    pub file: String,
}

/// A named store: `NAME:path` is a place in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreRecord {
    /// Name; unique.
    pub name: String,
    /// Root below which tables lie.
    pub url: String,
    /// Where it is, for residency and for people.
    pub region: Option<String>,
    /// Options as `object_store` names them.
    pub options: BTreeMap<String, OptionValue>,
    /// Projects whose tables may use it; none = all.
    pub projects: Vec<String>,
    /// Grows with each change.
    pub revision: i64,
    /// When it was made.
    pub created_ms: Millis,
}

impl StoreRecord {
    /// Whether tables of this project may use it.
    pub fn admits(&self, project: &str) -> bool {
        self.projects.is_empty() || self.projects.iter().any(|one| one == project)
    }

    /// Whether a place is in it: a URL, or `STORE:path`.
    pub fn holds(&self, place: &str) -> bool {
        match (parts(place), parts(&self.url)) {
            (Some((bucket, folders)), Some((own, root))) => {
                bucket == own && folders.iter().zip(&root).all(|(one, other)| one == other)
            }
            _ => place.split_once(':').is_some_and(|(name, _)| name == self.name),
        }
    }
}

/// Checks that tables of a project may use these places.
///
/// # Errors
/// [`CatalogError::Invalid`], which names the store that they may not use.
pub fn check_stores(stores: &[StoreRecord], project: &str, places: &[&str]) -> Result<()> {
    let mut closed = stores.iter().filter(|store| !store.admits(project));
    match closed.find(|store| places.iter().any(|place| store.holds(place))) {
        None => Ok(()),
        Some(store) => {
            let name = &store.name;
            let message = format!("tables of the project {project} may not use the store {name}");
            Err(CatalogError::Invalid(message))
        }
    }
}

/// The bucket of a URL, and the folders below it; two spellings of one place are the same.
pub(crate) fn parts(url: &str) -> Option<((&str, &str), Vec<String>)> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let scheme = match scheme {
        "abfss" => "az",
        "s3a" | "s3n" => "s3",
        other => other,
    };
    // The account behind @ is not in every spelling.
    let container = authority.split('@').next().unwrap_or_default();
    // Only these are escaped; elsewhere a key is as it is written.
    let folder = |part: &str| match scheme {
        "file" => percent_decode_str(part).decode_utf8_lossy().into_owned(),
        _ => part.to_owned(),
    };
    let folders = path.split('/').filter(|part| !part.is_empty()).map(folder).collect();
    Some(((scheme, container), folders))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn store(name: &str, url: &str, projects: &[&str]) -> StoreRecord {
        StoreRecord {
            name: name.to_owned(),
            url: url.to_owned(),
            region: None,
            options: Default::default(),
            projects: projects.iter().map(|project| (*project).to_owned()).collect(),
            revision: 1,
            created_ms: 0,
        }
    }

    #[test]
    fn no_spelling_leads_past_the_list() {
        let stores = [
            store("open", "s3://open", &[]),
            store("raw", "s3://raw/wh/", &["lake", "mart"]),
            store("blob", "abfss://c@acct.dfs.core.windows.net/wh", &["lake"]),
            store("disk", "file:///srv/a b", &["lake"]),
        ];
        for (place, others) in [
            ("open:t", true),
            ("s3://open/t", true),
            ("raw:t", false),
            ("raw:", false),
            ("rawer:t", true),
            ("s3://raw/wh/t", false),
            ("s3://raw//wh/t", false),
            ("s3a://raw/wh/t", false),
            ("s3://raw/wh", false),
            ("s3://raw", false),
            ("s3://raw/whs/t", true),
            ("s3://rawer/wh/t", true),
            ("gs://raw/wh/t", true),
            ("blob:t", false),
            ("az://c/wh/t", false),
            ("abfss://c@acct.dfs.core.windows.net/wh/t", false),
            ("file:///srv/a%20b/t", false),
            ("file:///srv/%61%20b/t", false),
            ("file:///srv/c/t", true),
        ] {
            assert!(check_stores(&stores, "lake", &["open:x", place]).is_ok(), "{place}");
            let found = check_stores(&stores, "other", &["open:x", place]);
            assert_eq!(found.is_ok(), others, "{place}: {found:?}");
        }
        let error = check_stores(&stores, "other", &["raw:t"]).unwrap_err().to_string();
        assert_eq!(error, "tables of the project other may not use the store raw");
    }
}
