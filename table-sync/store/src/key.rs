//! Keys below the store root.

use table_sync_core::{PathError, RelPath};

/// Refuses what cannot be confined to the store root.
pub(crate) fn checked(key: &str) -> Result<(), PathError> {
    RelPath::parse(key).map(drop)
}
