//! Features: what a byte copy can carry, what it cannot, and who can read the copy.
//!
//! The question is never whether this program could read rows, but whether copying the bytes that
//! the log names gives the same table. Unknown reader features may name objects elsewhere, so
//! they block the table. Unknown writer features cannot: readers need not know them.
//!
//! Source: Delta protocol, "Table Features", "Catalog-managed tables"; the list of features that
//! name other objects: RFC "Iceberg v4 metadata", RFC "redirect".

use table_sync_core::{BlockCode, Blocked, Position};

use crate::action::{Metadata, Protocol};

/// Reader features under which every needed object is named by commits and checkpoints.
const CARRIED: &[&str] = &[
    "appendOnly",
    "checkConstraints",
    "changeDataFeed",
    "clustering",
    "collations",
    "collations-preview",
    "columnMapping",
    "deletionVectors",
    "domainMetadata",
    "generatedColumns",
    "geospatial",
    "geospatial-preview",
    "icebergCompatV1",
    "icebergCompatV2",
    "icebergCompatV3",
    "identityColumns",
    "inCommitTimestamp",
    "intervalType",
    "intervalType-preview",
    "invariants",
    "materializePartitionColumns",
    "nanosecondTimestamps",
    "nanosecondTimestamps-preview",
    "rowTracking",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    "variantShredding",
    "variantShredding-preview",
    "variantType",
    "variantType-preview",
];

/// Features under which the newest commits may exist only in a catalog.
const CATALOG: &[&str] =
    &["catalogManaged", "catalogManaged-preview", "catalogOwned", "catalogOwned-preview"];

/// Reader features that Trino reads. Source: `DeltaLakeTableFeatures.java`.
const TRINO: &[&str] = &[
    "columnMapping",
    "deletionVectors",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    "variantType",
    "variantType-preview",
];

/// Reader features that delta-rs reads. Source: deltalake-core 1.1, `ProtocolChecker`.
const DELTA_RS: &[&str] = &[
    "columnMapping",
    "deletionVectors",
    "timestampNtz",
    "v2Checkpoint",
    "variantType",
    "variantType-preview",
];

/// Newest reader version that is understood.
const READER_VERSION_MAX: i64 = 3;

/// Checks a protocol that a version carries.
///
/// # Errors
/// The reason to stop before `position`.
pub fn check_protocol(protocol: &Protocol, position: Position) -> Result<(), Blocked> {
    let blocked = |code, message| Err(Blocked::at(code, position, message));
    if protocol.reader > READER_VERSION_MAX {
        return blocked(
            BlockCode::UnsupportedVersion,
            format!(
                "version {position} needs reader version {}, newer than the known {}; \
                 upgrade this program",
                protocol.reader, READER_VERSION_MAX
            ),
        );
    }
    if protocol.reader < 1 {
        return blocked(
            BlockCode::UnsupportedVersion,
            format!("version {position} names reader version {}", protocol.reader),
        );
    }
    if protocol.reader == READER_VERSION_MAX && protocol.reader_features.is_none() {
        return blocked(
            BlockCode::SourceDamaged,
            format!("version {position} names reader version 3 without listing its features"),
        );
    }
    let features = || features(protocol);
    if let Some(feature) = features().find(|feature| CATALOG.contains(feature)) {
        return blocked(
            BlockCode::CatalogManaged,
            format!(
                "version {position} is managed by a catalog (feature {feature}): its newest \
                 commits may exist only there, and readers of a copy would ask for it; drop the \
                 feature at the source to replicate"
            ),
        );
    }
    let mut reader_features = protocol.reader_features.iter().flatten();
    if let Some(feature) = reader_features.find(|feature| !CARRIED.contains(&feature.as_str())) {
        let feature: String = feature.chars().filter(|c| !c.is_control()).take(64).collect();
        return blocked(
            BlockCode::UnsupportedReaderFeature,
            format!(
                "version {position} needs reader feature {feature}, which a byte copy cannot be \
                 trusted to carry; drop the feature at the source or upgrade this program"
            ),
        );
    }
    Ok(())
}

/// Checks metadata that a version carries.
///
/// # Errors
/// The reason to stop before `position`.
pub fn check_metadata(metadata: &Metadata, position: Position) -> Result<(), Blocked> {
    let provider = metadata.format.as_ref().and_then(|format| format.provider.as_deref());
    match provider {
        None => Ok(()),
        Some(provider) if provider.eq_ignore_ascii_case("parquet") => Ok(()),
        Some(_) => Err(Blocked::at(
            BlockCode::UnsupportedReaderFeature,
            position,
            format!("version {position} has data files in another format than parquet"),
        )),
    }
}

/// Every feature that a protocol lists, readers' first.
pub fn features(protocol: &Protocol) -> impl Iterator<Item = &str> {
    let lists = [&protocol.reader_features, &protocol.writer_features];
    lists.into_iter().flatten().flatten().map(String::as_str)
}

/// Who may fail to read a copy, for people. Readers of the source meet the same limits.
pub fn reach(protocol: &Protocol, metadata: &Metadata) -> Vec<String> {
    let mut warnings = Vec::new();
    for (engine, known) in [("Trino 476", TRINO), ("delta-rs 1.1", DELTA_RS)] {
        let unknown: Vec<&str> = protocol
            .reader_features
            .iter()
            .flatten()
            .map(String::as_str)
            .filter(|feature| !known.contains(feature))
            .collect();
        if !unknown.is_empty() {
            warnings.push(format!("{engine} does not read {}", unknown.join(", ")));
        }
    }
    let set = |key: &str| metadata.configuration.get(key).and_then(Option::as_deref);
    if let Some(formats) = set("delta.universalFormat.enabledFormats") {
        warnings.push(format!(
            "other formats are kept beside the Delta log ({formats}); their metadata is not \
             replicated"
        ));
    }
    if features(protocol).any(|feature| feature.starts_with("coordinatedCommits")) {
        warnings.push("commits are published by a coordinator, so the newest ones lag".to_owned());
    }
    if set("delta.enableInCommitTimestamps").is_none_or(|on| on != "true") {
        warnings.push(
            "time travel by timestamp differs at a replica: in-commit timestamps are off"
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol(reader: i64, features: &[&str]) -> Protocol {
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        Protocol {
            reader,
            writer: 7,
            reader_features: names(features),
            writer_features: names(features),
        }
    }

    #[track_caller]
    fn check(reader: i64, features: &[&str], expect: Result<(), (BlockCode, &str)>) {
        match (check_protocol(&protocol(reader, features), Position::Version(7)), expect) {
            (Ok(()), Ok(())) => {}
            (Err(blocked), Err((code, text))) => {
                assert_eq!(blocked.code, code);
                assert!(blocked.message.contains(text), "{blocked}");
                assert_eq!(blocked.position, Some(Position::Version(7)));
            }
            (found, expect) => assert_eq!(format!("{found:?}"), format!("{expect:?}")),
        }
    }

    #[test]
    fn known_features_pass_and_others_are_named() {
        check(1, &[], Ok(()));
        check(3, &["deletionVectors", "v2Checkpoint", "typeWidening-preview"], Ok(()));
        let unsupported = BlockCode::UnsupportedReaderFeature;
        for feature in ["adaptiveMetadata-preview", "redirectReaderWriter-preview", "newThing"] {
            check(3, &["deletionVectors", feature], Err((unsupported, feature)));
        }
        check(3, &["catalogManaged"], Err((BlockCode::CatalogManaged, "catalogManaged")));
        check(3, &["catalogOwned-preview"], Err((BlockCode::CatalogManaged, "catalogOwned")));
        check(4, &[], Err((BlockCode::UnsupportedVersion, "reader version 4")));
        check(0, &[], Err((BlockCode::UnsupportedVersion, "reader version 0")));
    }

    #[test]
    fn unknown_writer_features_pass() {
        let mut known = protocol(3, &["v2Checkpoint"]);
        known.writer_features = Some(vec!["newWriterThing".to_owned()]);
        assert_eq!(check_protocol(&known, Position::Version(0)), Ok(()));
    }

    #[test]
    fn other_formats_than_parquet_are_refused() {
        let mut metadata = Metadata::default();
        assert_eq!(check_metadata(&metadata, Position::Version(0)), Ok(()));
        metadata.format = Some(crate::action::Format { provider: Some("orc".to_owned()) });
        let blocked = check_metadata(&metadata, Position::Version(0));
        assert_eq!(
            blocked.map_err(|blocked| blocked.code),
            Err(BlockCode::UnsupportedReaderFeature)
        );
    }
}
