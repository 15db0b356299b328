#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use apache_avro::types::Value;
use apache_avro::{Codec, DeflateSettings, Writer};
use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

const SCHEMA: &str = r#"{"type":"record","name":"Outer","namespace":"a.b","fields":[
    {"name":"skipped","type":{"type":"map","values":{"type":"array","items":["null","double",
        {"type":"record","name":"Inner","fields":[
            {"name":"text","type":["null",{"type":"string","avro.java.string":"String"}]},
            {"name":"flag","type":"boolean"},
            {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A","B"]}},
            {"name":"fixed","type":{"type":"fixed","name":"Four","size":4}}]}]}}},
    {"name":"inners","type":{"type":"array","items":"Inner"}},
    {"name":"counts","type":["null",{"type":"map","values":"long"}],"default":null},
    {"name":"single","type":"float"},
    {"name":"blob","type":"bytes"}]}"#;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Outer {
    inners: Vec<Inner>,
    counts: Option<BTreeMap<String, i64>>,
    single: f32,
    absent: Option<String>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Inner {
    text: Option<String>,
    flag: bool,
    kind: String,
}

fn inner(text: Option<&str>) -> Value {
    let text = match text {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(text) => Value::Union(1, Box::new(Value::String(text.to_owned()))),
    };
    Value::Record(vec![
        ("text".to_owned(), text),
        ("flag".to_owned(), Value::Boolean(true)),
        ("kind".to_owned(), Value::Enum(1, "B".to_owned())),
        ("fixed".to_owned(), Value::Fixed(4, vec![1, 2, 3, 4])),
    ])
}

fn container(codec: Codec) -> Vec<u8> {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let items = vec![
        Value::Union(0, Box::new(Value::Null)),
        Value::Union(1, Box::new(Value::Double(1.5))),
        Value::Union(2, Box::new(inner(Some("x")))),
    ];
    let skipped = [("k".to_owned(), Value::Array(items))].into_iter().collect();
    let counts = [("a".to_owned(), Value::Long(-7)), ("b".to_owned(), Value::Long(i64::MIN))];
    let counts = Value::Map(counts.into_iter().collect());
    let record = Value::Record(vec![
        ("skipped".to_owned(), Value::Map(skipped)),
        ("inners".to_owned(), Value::Array(vec![inner(None), inner(Some("é"))])),
        ("counts".to_owned(), Value::Union(1, Box::new(counts))),
        ("single".to_owned(), Value::Float(0.5)),
        ("blob".to_owned(), Value::Bytes(vec![0; 3])),
    ]);
    let mut writer = Writer::with_codec(&schema, Vec::new(), codec);
    writer.append(record).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn a_record_gives_the_fields_that_a_type_names() {
    let outer: Outer = read_container(&container(Codec::Null)).unwrap();
    let inner = |text: Option<&str>| Inner {
        text: text.map(str::to_owned),
        flag: true,
        kind: "B".to_owned(),
    };
    let counts = [("a".to_owned(), -7), ("b".to_owned(), i64::MIN)];
    let expect = Outer {
        inners: vec![inner(None), inner(Some("é"))],
        counts: Some(counts.into_iter().collect()),
        single: 0.5,
        absent: None,
    };
    assert_eq!(outer, expect);
}

#[track_caller]
fn check_error(bytes: &[u8], expect: &str) {
    let error = read_container::<Outer>(bytes).unwrap_err();
    assert!(error.to_string().contains(expect), "{error}");
}

#[test]
fn other_codecs_are_named() {
    let deflated = container(Codec::Deflate(DeflateSettings::default()));
    check_error(&deflated, "codec \"deflate\" is not supported");
}

#[test]
fn every_cut_is_an_error() {
    let whole = container(Codec::Null);
    for length in 0..whole.len() {
        assert!(read_container::<Outer>(&whole[..length]).is_err(), "{length}");
        assert!(read_container::<IgnoredAny>(&whole[..length]).is_err(), "{length}");
    }
    assert!(read_container::<IgnoredAny>(&whole).is_ok());
}

/// A container of hand-made bytes.
fn raw(schema: &str, count: i64, block: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    long(&mut bytes, 1);
    for text in ["avro.schema", schema] {
        long(&mut bytes, text.len() as i64);
        bytes.extend_from_slice(text.as_bytes());
    }
    long(&mut bytes, 0);
    bytes.extend_from_slice(&[7; SYNC_BYTES]);
    long(&mut bytes, count);
    long(&mut bytes, block.len() as i64);
    bytes.extend_from_slice(block);
    bytes.extend_from_slice(&[7; SYNC_BYTES]);
    bytes
}

fn long(bytes: &mut Vec<u8>, value: i64) {
    let mut value = (value << 1 ^ value >> 63) as u64;
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[test]
fn blocks_that_state_their_size_are_read() {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"skipped","type":{"type":"array","items":"long"}},
        {"name":"counts","type":{"type":"map","values":"long"}}]}"#;
    let block = [
        // Two blocks of one item each, with sizes, then the end.
        1, 2, 0x0a, 1, 2, 0x0c, 0, //
        // One entry, with its size, then the end.
        1, 6, 2, b'k', 0x0e, 0,
    ];
    let outer: Outer = read_container(&raw(schema, 1, &block)).unwrap();
    assert_eq!(outer.counts.unwrap(), [("k".to_owned(), 7)].into_iter().collect());
}

#[test]
fn values_without_bytes_cannot_keep_a_reader_busy() {
    let schema = r#"{"type":"record","name":"R","fields":[
        {"name":"inners","type":{"type":"array","items":
            {"type":"record","name":"E","fields":[]}}}]}"#;
    let mut block = Vec::new();
    long(&mut block, i64::MAX);
    long(&mut block, 0);
    let bytes = raw(schema, 1, &block);
    check_error(&bytes, "too many values");
    let error = read_container::<IgnoredAny>(&bytes).unwrap_err();
    assert!(error.to_string().contains("too many values"), "{error}");
}

#[test]
fn nesting_is_limited() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]}]}"#;
    let block = [2u8; 1000];
    let error = read_container::<IgnoredAny>(&raw(schema, 1, &block)).unwrap_err();
    assert!(error.to_string().contains("nested too deep"), "{error}");
}

#[test]
fn lengths_are_not_believed() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"blob","type":"bytes"}]}"#;
    for length in [i64::MAX, i64::MIN, -1, 100] {
        let mut block = Vec::new();
        long(&mut block, length);
        assert!(read_container::<IgnoredAny>(&raw(schema, 1, &block)).is_err(), "{length}");
    }
    check_error(&raw(schema, 0, &[]), "no record");
    check_error(&raw("{", 1, &[]), "schema does not parse");
    check_error(&raw(r#"{"type":"Unknown"}"#, 1, &[]), "schema");
    check_error(&[MAGIC, &[0]].concat(), "header has no schema");
    check_error(&[MAGIC, &[0xff; 16]].concat(), "number is too long");
}

proptest! {
    #[test]
    fn no_damage_panics(at in 0usize..4096, byte in any::<u8>()) {
        let mut bytes = container(Codec::Null);
        let at = at % bytes.len();
        bytes[at] = byte;
        // Either answer is right; what counts is that there is one.
        let _ = (read_container::<Outer>(&bytes), read_container::<IgnoredAny>(&bytes));
    }
}
