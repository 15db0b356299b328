//! JSON manifest of a V2 checkpoint to the keys of its sidecars.
//!
//! # Laws
//! - Every sidecar is one file of the sidecar folder.
//! - What serde_json reads whole has as many actions and sidecars as a naive reading finds.
//! - A refusal is a reason or "no such checkpoint", never a failure of the store.

use table_sync_core::SourceError;
use table_sync_delta::checkpoint::parse_manifest;

use super::confined::assert_confined;
use super::{Verdict, naive};

/// Reads the bytes as the manifest of a checkpoint.
pub fn target(data: &[u8]) -> Verdict {
    let (sidecars, actions) = match parse_manifest(data) {
        Ok(read) => read,
        Err(SourceError::Blocked(_) | SourceError::Missing { .. }) => return Verdict::Refused,
        Err(error) => panic!("refused as {error:?}"),
    };
    for key in &sidecars {
        assert_confined(key);
        let name = key.as_str().strip_prefix("_delta_log/_sidecars/");
        assert!(name.is_some_and(|name| !name.contains('/')), "{key} is elsewhere");
    }
    if let Some(objects) = naive::objects(data) {
        let bodies = objects.iter().flat_map(|object| object.iter());
        let found: Vec<_> = bodies.filter(|(_, body)| !body.is_null()).collect();
        assert_eq!(actions, found.len() as u64);
        let named = found.iter().filter(|(name, _)| *name == "sidecar");
        assert_eq!(sidecars.len(), named.count());
    }
    Verdict::Accepted
}
