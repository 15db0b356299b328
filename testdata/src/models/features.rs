//! Reader features that each reader knows.
//!
//! Source: `docs/delta.md`, "Features"; Delta protocol, "Valid Feature Names in Table Features".

use super::{OpenError, Opened};

/// Known to every modelled reader.
const COMMON: [&str; 7] = [
    "columnMapping",
    "timestampNtz",
    "deletionVectors",
    "vacuumProtocolCheck",
    "variantType",
    "variantType-preview",
    "v2Checkpoint",
];
const TRINO: [&str; 2] = ["typeWidening", "typeWidening-preview"];
const KERNEL: [&str; 4] =
    ["typeWidening", "typeWidening-preview", "variantShredding", "variantShredding-preview"];
const SPARK: [&str; 6] = [
    "typeWidening",
    "typeWidening-preview",
    "variantShredding",
    "variantShredding-preview",
    "catalogManaged",
    "catalogOwned-preview",
];

/// A reader whose feature list is modelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Spark,
    Trino,
    Kernel,
}

/// Passes the snapshot on if the reader knows all its reader features.
pub(super) fn check(reader: Reader, opened: Opened) -> Result<Opened, OpenError> {
    let own: &[&str] = match reader {
        Reader::Spark => &SPARK,
        Reader::Trino => &TRINO,
        Reader::Kernel => &KERNEL,
    };
    let known = |name: &str| COMMON.contains(&name) || own.contains(&name);
    let protocol = &opened.protocol;
    let mut features: Vec<String> =
        protocol.reader_features.iter().filter(|name| !known(name)).cloned().collect();
    if protocol.min_reader > 3 {
        features.push(format!("minReaderVersion {}", protocol.min_reader));
    }
    if features.is_empty() {
        return Ok(opened);
    }
    Err(OpenError::Unsupported { opened: Box::new(opened), features })
}
