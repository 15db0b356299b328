//! How one table is replicated, in the words of the command line.

use serde::{Deserialize, Serialize};
use table_sync_core::{Position, Start};

/// How a table is opened. The default is what the command line does without flags.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableOptions {
    /// What happens to absolute references in a log.
    pub absolute_paths: AbsolutePaths,
    /// Folders of other tables that the log may refer to, as the log spells them.
    pub alias_roots: Vec<String>,
    /// What the table is; `None` = a look at the source tells.
    pub format: Option<Format>,
    /// Of Hudi tables.
    pub hudi: HudiOptions,
    /// Where a new replica starts: `latest`, `earliest`, or a position.
    #[serde(with = "start")]
    pub start: Start,
}

/// Policy for absolute references.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbsolutePaths {
    /// The table is blocked.
    #[default]
    Refuse,
    /// References into the table's own folder, and into every alias root, are followed; targets
    /// have the source's bucket and path at another endpoint.
    Alias,
}

/// Table formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Delta Lake.
    Delta,
    /// Apache Hudi.
    Hudi,
}

/// How Hudi tables are replicated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HudiOptions {
    /// Releases of Hudi that read the replicas.
    pub readers: HudiReaders,
    /// Whether windows are allowed in which readers of 1.x may see a mixture.
    pub v6_window: HudiV6Window,
    /// The archived history of copy-on-write tables of version 8 and 9.
    pub history: HudiHistory,
    /// The metadata table.
    pub metadata: HudiMetadata,
}

/// Releases of Hudi that read replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum HudiReaders {
    /// Up to 0.15.
    #[serde(rename = "0.x")]
    Zero,
    /// From 1.0 on.
    #[serde(rename = "1.x")]
    One,
    /// Any.
    #[default]
    #[serde(rename = "both")]
    Both,
}

/// Policy for windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HudiV6Window {
    /// Published and reported.
    #[default]
    Allow,
    /// The table is blocked.
    Refuse,
}

/// Policy for the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HudiHistory {
    /// Part of the replica.
    #[default]
    Carry,
    /// Left out.
    Omit,
}

/// Policy for the metadata table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HudiMetadata {
    /// None at the replica.
    #[default]
    Drop,
    /// In step with the table.
    Mirror,
}

/// Reads where a new replica starts: `latest`, `earliest`, or a position.
pub fn parse_start(text: &str) -> Option<Start> {
    match text {
        "latest" => Some(Start::Latest),
        "earliest" => Some(Start::Earliest),
        position => Position::parse(position).map(Start::At),
    }
}

mod start {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use table_sync_core::Start;

    pub(super) fn serialize<S: Serializer>(start: &Start, out: S) -> Result<S::Ok, S::Error> {
        match start {
            Start::Latest => out.serialize_str("latest"),
            Start::Earliest => out.serialize_str("earliest"),
            Start::At(position) => out.collect_str(position),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(text: D) -> Result<Start, D::Error> {
        let text = String::deserialize(text)?;
        super::parse_start(&text)
            .ok_or_else(|| D::Error::custom("start is latest, earliest or a version as text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expect: &TableOptions) {
        assert_eq!(serde_json::from_str::<TableOptions>(json).unwrap(), *expect, "{json}");
        let written = serde_json::to_string(expect).unwrap();
        assert_eq!(serde_json::from_str::<TableOptions>(&written).unwrap(), *expect, "{written}");
    }

    #[test]
    fn options_are_written_in_the_words_of_the_flags() {
        check("{}", &TableOptions::default());
        check(
            r#"{"absolute_paths":"alias","alias_roots":["s3://lake/base"],"format":"hudi",
                "hudi":{"readers":"0.x","v6_window":"refuse","history":"omit","metadata":"mirror"},
                "start":"earliest"}"#,
            &TableOptions {
                absolute_paths: AbsolutePaths::Alias,
                alias_roots: vec!["s3://lake/base".to_owned()],
                format: Some(Format::Hudi),
                hudi: HudiOptions {
                    readers: HudiReaders::Zero,
                    v6_window: HudiV6Window::Refuse,
                    history: HudiHistory::Omit,
                    metadata: HudiMetadata::Mirror,
                },
                start: Start::Earliest,
            },
        );
        let at = Start::At(Position::Version(7));
        check(r#"{"start":"7"}"#, &TableOptions { start: at, ..TableOptions::default() });
        let readers = HudiReaders::One;
        let hudi = HudiOptions { readers, ..HudiOptions::default() };
        check(r#"{"hudi":{"readers":"1.x"}}"#, &TableOptions { hudi, ..TableOptions::default() });
    }

    #[test]
    fn other_words_are_refused() {
        for json in [
            r#"{"start":"newest"}"#,
            r#"{"start":7}"#,
            r#"{"format":"iceberg"}"#,
            r#"{"hudi":{"readers":"2.x"}}"#,
            r#"{"absolute_path":"alias"}"#,
            r#"{"hudi":{"reader":"0.x"}}"#,
        ] {
            assert!(serde_json::from_str::<TableOptions>(json).is_err(), "{json}");
        }
    }
}
