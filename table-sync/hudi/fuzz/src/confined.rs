//! The oracle of confinement: a key lies strictly below its root, by rules written anew.

use std::path::{Component, Path};

use table_sync_core::RelPath;

/// Longest key that any store of a replica takes, in bytes.
const KEY_BYTES_MAX: usize = 1024;

/// Asserts that a key names one object strictly below the table root, in a file system and in an
/// object store.
pub(crate) fn assert_confined(key: &RelPath) {
    let text = key.as_str();
    assert!(!text.is_empty() && text.len() <= KEY_BYTES_MAX, "length of {text:?}");
    assert!(!text.bytes().any(|byte| byte < 0x20 || byte == 0x7f), "control in {text:?}");
    let root = Path::new("/srv/table");
    let joined = root.join(text);
    assert!(joined.starts_with(root) && joined != root, "{text:?} leaves the root");
    let below = Path::new(text);
    assert!(below.components().all(|part| matches!(part, Component::Normal(_))), "{text:?}");
    // Nothing is lost when the parts are put together again: no `//`, no `/./`, no slash at the
    // end.
    let again: Vec<_> = below.iter().filter_map(|part| part.to_str()).collect();
    assert_eq!(again.join("/"), text);
    let stored = object_store::path::Path::parse(text).expect("a key that stores can hold");
    assert_eq!(stored.as_ref(), text);
}

/// Asserts that a key is confined, names no other store, and is no object of the metadata folder.
pub(crate) fn assert_data(key: &RelPath) {
    assert_confined(key);
    let (first, is_file) = match key.as_str().split_once('/') {
        Some((first, _)) => (first, false),
        None => (key.as_str(), true),
    };
    assert_ne!(first, ".hoodie", "{key} is metadata");
    let scheme = first.strip_suffix(':').filter(|_| !is_file);
    let looks_like_one = scheme.is_some_and(|scheme| {
        let mut letters = scheme.chars();
        letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
    });
    assert!(!looks_like_one, "{key} names another store");
}
