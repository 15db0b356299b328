//! What one log object refers to: the objects that must be there before it is.
//!
//! Source: `docs/delta.md`.

use std::collections::BTreeSet;

use super::action::{Action, is_absolute, object_key};
use super::log::SIDECAR_DIR;
use super::{OpenError, deletion_vector_key, parsed};
use crate::Objects;

/// Keys that a commit or a checkpoint file refers to, relative to the table root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Data files, deletion vector files and, for a checkpoint, sidecars.
    pub needed: BTreeSet<String>,
    /// Change data files.
    pub change_data: BTreeSet<String>,
    /// References that leave the table root, decoded: `s3://bucket/key`.
    pub absolute: BTreeSet<String>,
}

/// Lists what one commit, checkpoint or sidecar file refers to. Removals refer to nothing.
///
/// # Errors
/// [`OpenError::ObjectMissing`] or [`OpenError::Unreadable`].
pub fn references_of(objects: &Objects, key: &str) -> Result<References, OpenError> {
    let mut found = References::default();
    for action in parsed::actions(objects, key)?.iter() {
        match action {
            Action::Add { id: (path, dv), .. } => {
                sort_in(&mut found, path);
                // An inline vector has no file; a broken id names nothing that could be copied.
                if let Some(Ok(file)) = dv.as_deref().map(deletion_vector_key) {
                    sort_in(&mut found, &file);
                }
            }
            Action::Cdc(path) => {
                found.change_data.insert(path.clone());
            }
            Action::Sidecar(name) => {
                found.needed.insert(format!("{SIDECAR_DIR}{name}"));
            }
            Action::Remove { .. } | Action::Protocol(_) | Action::Metadata { .. } => {}
        }
    }
    Ok(found)
}

fn sort_in(found: &mut References, path: &str) {
    let set = if is_absolute(path) { &mut found.absolute } else { &mut found.needed };
    set.insert(object_key(path));
}
