#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, StringArray};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

use super::*;

const OBJECT: &str = "1_3_0.parquet";

fn time(text: &str) -> InstantTime {
    InstantTime::parse(text).unwrap()
}

/// Instant, completion, action and metadata of a row.
type Row<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a [u8]>);

fn file(rows: &[Row<'_>]) -> Bytes {
    let texts = |of: &dyn Fn(usize) -> Option<String>| -> ArrayRef {
        Arc::new((0..rows.len()).map(of).collect::<StringArray>())
    };
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let metadata: BinaryArray = rows.iter().map(|row| row.3).collect();
    let plan: BinaryArray = rows.iter().map(|_| Some(b"plan".as_slice())).collect();
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("instantTime", texts(&|row| owned(rows[row].0)), true),
        ("completionTime", texts(&|row| owned(rows[row].1)), true),
        ("action", texts(&|row| owned(rows[row].2)), true),
        ("metadata", Arc::new(metadata) as ArrayRef, true),
        ("plan", Arc::new(plan) as ArrayRef, true),
    ])
    .unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes.into()
}

#[test]
fn names_of_files_and_manifests() {
    let text = "20250922133010859_20250922133023329_0.parquet";
    let name = HistoryFileName::parse(text).unwrap();
    assert_eq!((name.min, name.level), (time("20250922133010859"), 0));
    assert_eq!(name.to_string(), text);
    for other in [
        "1_2.parquet",
        "1_2_0",
        "1_2_x.parquet",
        "1_2_10.parquet",
        "../1_2_0.parquet",
        "_2_0.parquet",
        "1_2_0_.parquet",
        ".1_2_0.parquet.crc",
        "manifest_1",
    ] {
        assert_eq!(HistoryFileName::parse(other), None, "{other}");
    }
    assert_eq!(manifest_number("manifest_12"), Some(12));
    assert_eq!(manifest_name(12), "manifest_12");
    for other in ["manifest_", "manifest_x", ".manifest_1.crc", "manifest_1.tmp", "_version_"] {
        assert_eq!(manifest_number(other), None, "{other}");
    }
    assert_eq!(parse_version(VERSION_FILE, b"7").unwrap(), 7);
    assert!(parse_version(VERSION_FILE, b"").is_err());
}

#[test]
fn manifests_name_files_of_their_folder_only() {
    let json = br#"{ "files" : [ { "fileName" : "1_3_0.parquet", "fileLen" : 4587 } ] }"#;
    let name = HistoryFileName::parse("1_3_0.parquet").unwrap();
    let files = parse_manifest("manifest_1", json).unwrap();
    assert_eq!(files, [HistoryFile { name, size_bytes: 4587 }]);
    assert_eq!(parse_manifest("manifest_1", b"").unwrap(), []);
    let json = br#"{"files":[{"fileName":"../../1_3_0.parquet","fileLen":1}]}"#;
    let error = parse_manifest("manifest_1", json).unwrap_err().to_string();
    assert!(error.contains("is not the name of a history file"), "{error}");
    assert!(parse_manifest("manifest_1", b"{}").is_err());
}

#[test]
fn instants_and_what_they_held() {
    let bytes = file(&[
        (Some("1"), Some("4"), Some("commit"), Some(b"one")),
        (Some("2"), None, Some("clean"), None),
        (Some("3"), Some("5"), Some("replacecommit"), Some(b"three")),
    ]);
    let mut instants = Vec::new();
    for_each(OBJECT, &bytes, &mut |archived| instants.push(archived)).unwrap();
    let archived = |requested, completion: Option<&str>, action| Archived {
        requested: time(requested),
        completion: completion.map(time),
        action,
    };
    let expect = [
        archived("1", Some("4"), Action::Commit),
        archived("2", None, Action::Clean),
        archived("3", Some("5"), Action::ReplaceCommit),
    ];
    assert_eq!(instants, expect);
    let wanted = ["2", "3", "9"].into_iter().map(time).collect();
    let files = files_of(OBJECT, &bytes, &wanted).unwrap();
    let held: Vec<(&Archived, &[u8])> =
        files.iter().map(|files| (&files.archived, files.metadata.as_ref())).collect();
    assert_eq!(held, [(&expect[1], b"".as_slice()), (&expect[2], b"three")]);
    assert!(files.iter().all(|files| files.plan.as_ref() == b"plan"));
}

#[test]
fn rows_without_an_instant_are_damage() {
    for row in [
        (None, None, Some("commit"), None),
        (Some("x"), None, Some("commit"), None),
        (Some("1"), None, None, None),
    ] {
        let error = for_each(OBJECT, &file(&[row]), &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("a row has no instant or no action"), "{error}");
    }
    let error = for_each(OBJECT, &Bytes::from_static(b"PAR1"), &mut |_| {}).unwrap_err();
    assert!(error.to_string().starts_with("decode 1_3_0.parquet as history file: "), "{error}");
}

proptest! {
    #[test]
    fn no_damage_panics(at in 0usize..8192, byte in any::<u8>(), cut in 0usize..8192) {
        let whole = file(&[(Some("1"), Some("4"), Some("commit"), Some(b"one"))]);
        let mut bytes = whole.to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = parse_bytes(&bytes);
        bytes.truncate(cut % whole.len());
        prop_assert!(!parse_bytes(&bytes)[0]);
    }
}
