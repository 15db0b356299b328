//! `_last_checkpoint` bodies.
//!
//! # Laws
//! - What is read can be written, and reads back equal.
//! - What serde_json reads whole has the same version, parts and manifest.

use serde_json::Value;
use table_sync_delta::last_checkpoint::LastCheckpoint;

use super::Verdict;

/// Reads the bytes as the body of a hint.
pub fn target(data: &[u8]) -> Verdict {
    let Some(hint) = LastCheckpoint::parse(data) else { return Verdict::Refused };
    let composed = hint.compose().expect("every hint can be written");
    assert_eq!(LastCheckpoint::parse(&composed), Some(hint.clone()));
    if let Ok(value @ Value::Object(_)) = serde_json::from_slice::<Value>(data) {
        assert_eq!(value["version"].as_u64(), Some(hint.version));
        assert_eq!(value["parts"].as_u64(), hint.parts.map(u64::from));
        let manifest = hint.v2.as_ref().map(|v2| v2.path.as_str());
        assert_eq!(value["v2Checkpoint"]["path"].as_str(), manifest);
    }
    Verdict::Accepted
}
