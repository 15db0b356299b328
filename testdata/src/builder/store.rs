//! Objects of a table into a store or a directory.

use std::path::Path;

use object_store::{ObjectStore, ObjectStoreExt};

use crate::Objects;

/// Puts `objects` below `prefix` (empty for the root): data first, the log after it in the order
/// of its keys, `_last_checkpoint` last. Keys are taken raw, so `a%20b` stays `a%20b`.
///
/// # Errors
/// The store's, and a key that `object_store` cannot express (`a//b`, `..`).
pub async fn put_objects(
    store: &dyn ObjectStore,
    prefix: &str,
    objects: &Objects,
) -> object_store::Result<()> {
    for key in writing_order(objects) {
        let slash = if prefix.is_empty() { "" } else { "/" };
        let path = object_store::path::Path::parse(format!("{prefix}{slash}{key}"))?;
        store.put(&path, objects[key].clone().into()).await?;
    }
    Ok(())
}

/// Writes `objects` below `directory`, in the order of [`put_objects`].
///
/// # Errors
/// The file system's.
pub fn write_objects(directory: &Path, objects: &Objects) -> std::io::Result<()> {
    for key in writing_order(objects) {
        let path = directory.join(key);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, &objects[key])?;
    }
    Ok(())
}

fn writing_order(objects: &Objects) -> Vec<&String> {
    let mut keys: Vec<&String> = objects.keys().collect();
    keys.sort_by_key(|key| (key.starts_with("_delta_log/"), *key == super::LAST_CHECKPOINT_KEY));
    keys
}
