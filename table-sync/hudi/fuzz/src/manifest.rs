//! The history's manifest and version, and names of its files.
//!
//! # Laws
//! - A manifest's file is one file of its folder, named as it was written; the list is that of a
//!   naive reading.
//! - Names of files and manifests are written as they were.

use table_sync_hudi::history::{
    HistoryFileName, manifest_name, manifest_number, parse_bytes, parse_manifest, parse_version,
};

use super::Verdict;

/// Reads the bytes as a manifest, a version and a name.
pub fn target(data: &[u8]) -> Verdict {
    let (manifest, version) = (parse_manifest("input", data), parse_version("input", data));
    assert_eq!(parse_bytes(data)[1..], [manifest.is_ok(), version.is_ok()]);
    if let Ok(files) = &manifest {
        assert!(files.len() <= data.len());
        for file in files {
            let name = file.name.to_string();
            assert!(!name.contains('/') && name.ends_with(".parquet"), "{name}");
            assert_eq!(HistoryFileName::parse(&name), Some(file.name));
        }
        let found = files.iter().map(|file| (file.name.to_string(), file.size_bytes));
        if let Some(expected) = naive(data) {
            assert_eq!(found.collect::<Vec<_>>(), expected);
        }
    }
    if let Ok(version) = version {
        assert_eq!(manifest_number(&manifest_name(version)), Some(version));
        let text = std::str::from_utf8(data).expect("digits are text");
        let digits = text.trim().trim_start_matches('+').trim_start_matches('0');
        assert_eq!(if digits.is_empty() { "0" } else { digits }, version.to_string());
    }
    let name = std::str::from_utf8(data).ok().and_then(HistoryFileName::parse);
    if let Some(name) = name {
        assert_eq!(name.to_string().as_bytes(), data, "a second spelling");
    }
    Verdict::of(manifest.is_ok() || version.is_ok() || name.is_some())
}

fn naive(data: &[u8]) -> Option<Vec<(String, u64)>> {
    if data.is_empty() {
        return Some(Vec::new());
    }
    let manifest: serde_json::Value = serde_json::from_slice(data).ok()?;
    let file = |file: &serde_json::Value| {
        Some((file.get("fileName")?.as_str()?.to_owned(), file.get("fileLen")?.as_u64()?))
    };
    manifest.get("files")?.as_array()?.iter().map(file).collect()
}
