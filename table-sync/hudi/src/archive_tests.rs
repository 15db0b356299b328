#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use apache_avro::types::Value;
use apache_avro::{Schema, to_avro_datum};
use proptest::prelude::*;

use super::*;

const OBJECT: &str = ".commits_.archive.1_1-0-1";

const SCHEMA: &str = r#"{"type":"record","name":"HoodieArchivedMetaEntry","fields":[
    {"name":"hoodieCommitMetadata","type":["null",{"type":"record","name":"HoodieCommitMetadata",
        "fields":[{"name":"partitionToWriteStats","type":["null",{"type":"map","values":
            {"type":"array","items":{"type":"record","name":"HoodieWriteStat","fields":[
                {"name":"fileId","type":["null","string"]},
                {"name":"path","type":["null","string"]},
                {"name":"fileSizeInBytes","type":["null","long"]}]}}}]}]}]},
    {"name":"commitTime","type":["null","string"]},
    {"name":"actionType","type":["null","string"]},
    {"name":"actionState","type":["null","string"]},
    {"name":"stateTransitionTime","type":["null","string"]}]}"#;

fn some(value: Value) -> Value {
    Value::Union(1, Box::new(value))
}

fn text(text: Option<&str>) -> Value {
    match text {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(text) => some(Value::String(text.to_owned())),
    }
}

fn record(time: &str, action: &str, state: Option<&str>, completion: Option<&str>) -> Vec<u8> {
    let stat = Value::Record(vec![
        ("fileId".to_owned(), text(Some("f"))),
        ("path".to_owned(), text(Some("p/x"))),
        ("fileSizeInBytes".to_owned(), some(Value::Long(7))),
    ]);
    let stats = [("p".to_owned(), Value::Array(vec![stat]))].into_iter().collect();
    let metadata =
        Value::Record(vec![("partitionToWriteStats".to_owned(), some(Value::Map(stats)))]);
    let value = Value::Record(vec![
        ("hoodieCommitMetadata".to_owned(), some(metadata)),
        ("commitTime".to_owned(), text(Some(time))),
        ("actionType".to_owned(), text(Some(action))),
        ("actionState".to_owned(), text(state)),
        ("stateTransitionTime".to_owned(), text(completion)),
    ]);
    to_avro_datum(&Schema::parse_str(SCHEMA).unwrap(), value).unwrap()
}

fn sized(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(value);
}

fn block(kind: u32, records: &[Vec<u8>]) -> Vec<u8> {
    let mut content = 3u32.to_be_bytes().to_vec();
    content.extend_from_slice(&u32::try_from(records.len()).unwrap().to_be_bytes());
    records.iter().for_each(|record| sized(&mut content, record));
    let mut body = Vec::new();
    for number in [1, kind, 1, SCHEMA_ENTRY] {
        body.extend_from_slice(&number.to_be_bytes());
    }
    sized(&mut body, SCHEMA.as_bytes());
    body.extend_from_slice(&(content.len() as u64).to_be_bytes());
    body.extend_from_slice(&content);
    body.extend_from_slice(&0u32.to_be_bytes());
    let trailer = (MAGIC.len() + body.len() + 8) as u64;
    body.extend_from_slice(&trailer.to_be_bytes());
    [MAGIC, &(body.len() as u64).to_be_bytes(), &body].concat()
}

fn two_blocks() -> (Vec<u8>, Vec<u8>) {
    let first = block(
        AVRO_BLOCK,
        &[
            record("1", "commit", Some("REQUESTED"), None),
            record("1", "commit", Some("INFLIGHT"), None),
            record("1", "commit", Some("COMPLETED"), Some("4")),
        ],
    );
    let second = block(
        AVRO_BLOCK,
        &[
            record("2", "clean", Some("COMPLETED"), None),
            record("3", "deltacommit", None, Some("not a time")),
        ],
    );
    (first, second)
}

fn archived(requested: &str, completion: Option<&str>, action: Action) -> Archived {
    let time = |text| InstantTime::parse(text).unwrap();
    Archived { requested: time(requested), completion: completion.map(time), action }
}

#[track_caller]
fn check(bytes: &[u8], instants: &[Archived], blocks_skipped: usize) {
    let archive = parse(OBJECT, bytes).unwrap();
    assert_eq!(archive, Archive { instants: instants.to_vec(), blocks_skipped });
}

#[test]
fn completed_instants_of_every_block_are_told() {
    let (first, second) = two_blocks();
    let one = archived("1", Some("4"), Action::Commit);
    let two = archived("2", None, Action::Clean);
    let three = archived("3", None, Action::DeltaCommit);
    check(b"", &[], 0);
    check(&first, std::slice::from_ref(&one), 0);
    check(&[first, second].concat(), &[one, two, three], 0);
    check(&block(0, &[]), &[], 0);
}

#[test]
fn a_block_that_is_cut_short_is_skipped() {
    let (first, second) = two_blocks();
    let one = archived("1", Some("4"), Action::Commit);
    for length in MAGIC.len()..second.len() {
        let bytes = [&first, &second[..length]].concat();
        check(&bytes, std::slice::from_ref(&one), 1);
        // A retry of the append writes the block again, behind the piece.
        let archive = parse(OBJECT, &[&bytes, &second[..]].concat()).unwrap();
        assert_eq!((archive.instants.len(), archive.blocks_skipped), (3, 1), "{length}");
    }
}

#[test]
fn other_files_are_no_archives() {
    for bytes in [b"PAR1".as_slice(), b"{}", b"#HUD"] {
        let error = parse(OBJECT, bytes).unwrap_err().to_string();
        assert!(error.contains("it does not start with a log block"), "{error}");
    }
    let bytes = block(AVRO_BLOCK, &[record("yesterday", "commit", Some("COMPLETED"), None)]);
    let error = parse(OBJECT, &bytes).unwrap_err().to_string();
    assert!(error.contains("an entry has no instant or no action"), "{error}");
}

#[test]
fn wanted_commits_tell_what_they_wrote() {
    let (first, second) = two_blocks();
    let wanted = ["1", "2", "9"].into_iter().map(|text| InstantTime::parse(text).unwrap());
    let found = commits_of(OBJECT, &[first, second].concat(), &wanted.collect()).unwrap();
    assert_eq!(found.len(), 1);
    let (instant, metadata) = &found[0];
    assert_eq!(*instant, archived("1", Some("4"), Action::Commit));
    assert_eq!(metadata.writes[0].path.as_str(), "p/x");
    assert_eq!(metadata.writes[0].size_bytes, Some(7));
}

#[test]
fn names_of_archive_files() {
    assert_eq!(file_number(OBJECT), Some(1));
    assert_eq!(file_number(".commits_.archive.12_1-0-1"), Some(12));
    for other in [
        ".commits_.archive.x_1-0-1",
        ".commits_.archive.1",
        "..commits_.archive.1_1-0-1.crc",
        ".commits_.archive.1_1-0-1.crc",
        "commits",
    ] {
        assert_eq!(file_number(other), None, "{other}");
    }
}

proptest! {
    #[test]
    fn no_damage_panics(at in 0usize..8192, byte in any::<u8>()) {
        let (first, second) = two_blocks();
        let mut bytes = [first, second].concat();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = parse_bytes(&bytes);
    }
}
