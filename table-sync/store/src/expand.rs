//! From a pattern to the tables that it names.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use object_store::ObjectStore;
use object_store::path::Path;

use crate::error::ReadError;
use crate::location::Location;
use crate::objects::read_error;
use crate::open::{OpenError, open};
use crate::settings::Settings;

/// Folders that are listed at once.
const LISTS_AT_ONCE: usize = 16;

/// Below a pattern's `**`, folders this deep are the last that are looked into.
const DEPTH_MAX: usize = 12;

/// Folders that make a folder a table.
const LOG_FOLDERS: [&str; 2] = ["_delta_log", ".hoodie"];

/// Why a pattern could not be expanded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store cannot be listed.
    #[error("list the tables of {url}")]
    List {
        /// The pattern.
        url: String,
        /// The cause.
        source: ReadError,
    },
}

/// The tables that a location with a glob names, in key order; a location without one names
/// itself, whether it is there or not.
///
/// `*` stands for any characters of one path segment, and `**` as the last one for all tables
/// below, 12 folders deep at most. A table is a folder with a `_delta_log/` or `.hoodie/` in it;
/// nothing is looked for inside one, nor in folders whose name begins with `_` or a dot.
///
/// # Errors
/// [`ExpandError`] when the store cannot be opened or listed.
pub async fn expand(
    location: &Location,
    settings: &Settings,
) -> Result<Vec<Location>, ExpandError> {
    if !location.has_glob() {
        return Ok(vec![location.clone()]);
    }
    let store = open(location, settings)?.object_store();
    let failed = |source| ExpandError::List { url: location.url().to_owned(), source };
    let mut found = vec![String::new()];
    for pattern in location.table().split('/') {
        if pattern == "**" {
            let tables = tables_below(store.as_ref(), found).await.map_err(failed)?;
            return Ok(tables.into_iter().map(|folder| location.sibling(folder)).collect());
        }
        let mut next = Vec::new();
        for folder in found {
            if !pattern.contains('*') {
                next.push(join(&folder, pattern));
                continue;
            }
            for name in folders(store.as_ref(), &folder).await.map_err(failed)? {
                if matches(pattern, &name) {
                    next.push(join(&folder, &name));
                }
            }
        }
        found = next;
    }
    let mut tables = Vec::new();
    for folder in found {
        let inside = folders(store.as_ref(), &folder).await.map_err(failed)?;
        if inside.iter().any(|name| LOG_FOLDERS.contains(&name.as_str())) {
            tables.push(location.sibling(folder));
        }
    }
    Ok(tables)
}

/// All tables below these folders, in key order. A level of folders is listed side by side.
async fn tables_below(
    store: &dyn ObjectStore,
    folders_of: Vec<String>,
) -> Result<Vec<String>, ReadError> {
    let mut tables = Vec::new();
    let mut level = folders_of;
    for depth in 0..=DEPTH_MAX {
        let listed = stream::iter(std::mem::take(&mut level)).map(|folder| async {
            let names = folders(store, &folder).await?;
            Ok::<_, ReadError>((folder, names))
        });
        let listed: Vec<_> = listed.buffer_unordered(LISTS_AT_ONCE).try_collect().await?;
        for (folder, names) in listed {
            if depth > 0 && names.iter().any(|name| LOG_FOLDERS.contains(&name.as_str())) {
                tables.push(folder);
                continue;
            }
            let open = names.iter().filter(|name| !name.starts_with(['_', '.']));
            level.extend(open.map(|name| join(&folder, name)));
        }
    }
    tables.sort();
    Ok(tables)
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Names of the folders directly in a folder.
async fn folders(store: &dyn ObjectStore, folder: &str) -> Result<Vec<String>, ReadError> {
    let at = Path::parse(folder).map_err(|error| ReadError::io(folder, error))?;
    let at = Some(at).filter(|at| !at.is_root());
    let level = store.list_with_delimiter(at.as_ref()).await;
    let level = level.map_err(|error| read_error(folder, error))?;
    let names = level.common_prefixes.iter().filter_map(|path| path.filename());
    Ok(names.map(str::to_owned).collect())
}

/// Whether a name fits a pattern of literal text and `*`.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let mut rest = rest;
    while let Some((middle, tail)) = rest.split_once('*') {
        let Some(at) = name.find(middle) else { return false };
        name = name.get(at + middle.len()..).unwrap_or_default();
        rest = tail;
    }
    name.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, fits: &[&str], others: &[&str]) {
        for name in fits {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for name in others {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn stars_stand_for_any_characters() {
        check("*", &["", "a", "abc"], &[]);
        check("a*", &["a", "abc"], &["", "ba"]);
        check("*a", &["a", "cba"], &["", "ab"]);
        check("a*b*c", &["abc", "aXbYc", "abbcc"], &["ac", "abcd", "acb"]);
        check("a*a", &["aa", "aXa"], &["a"]);
        check("abc", &["abc"], &["ab", "abcd"]);
    }
}
