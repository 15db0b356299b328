#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use table_sync_core::limits::{JSON_DEPTH_MAX, LINE_BYTES_MAX};

use super::*;

#[track_caller]
fn check(bytes: &[u8], expect: &[(&str, u64)]) {
    let expect = expect.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(parse_all(bytes).unwrap(), expect);
    // However the bytes arrive, the actions are the same.
    let whole = actions(bytes, usize::MAX);
    for piece in [1, 7, 64] {
        assert_eq!(actions(bytes, piece), whole, "in pieces of {piece}");
    }
}

/// The actions as text, read in pieces of at most `piece` bytes.
fn actions(bytes: &[u8], piece: usize) -> Vec<String> {
    struct Pieces<'a>(&'a [u8], usize);
    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let bytes = self.1.min(self.0.len()).min(out.len());
            let (now, later) = self.0.split_at(bytes);
            out[..bytes].copy_from_slice(now);
            self.0 = later;
            Ok(bytes)
        }
    }
    let mut actions = Vec::new();
    let visited = for_each::<()>(Pieces(bytes, piece), &mut |action| {
        actions.push(format!("{action:?}"));
        Ok(())
    });
    visited.unwrap().unwrap();
    actions
}

#[track_caller]
fn damaged(bytes: &[u8], at: u64) {
    match parse_all(bytes) {
        Err(FramingError::Damaged { offset, .. }) => assert_eq!(offset, at),
        other => panic!("{other:?}"),
    }
}

const ADD: &str = concat!(
    r#"{"add":{"path":"a","partitionValues":{},"size":1,"modificationTime":2,"#,
    r#""dataChange":true,"stats":"{\"numRecords\":1}"}}"#
);

#[test]
fn one_object_a_line() {
    check(b"", &[]);
    check(b"\n \r\n", &[]);
    check(ADD.as_bytes(), &[("add", 1)]);
    check(format!("{ADD}\n{ADD}\r\n{ADD}\n\n").as_bytes(), &[("add", 3)]);
    let all = br#"{"commitInfo":{"operation":"WRITE","inCommitTimestamp":5,"n":[{}]}}
{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}
{"metaData":{"id":"x","format":{"provider":"parquet","options":{}},"schemaString":"{}",
"partitionColumns":[],"configuration":{"a":"b","n":null},"createdTime":1}}
{"remove":{"path":"a","deletionTimestamp":1,"dataChange":true}}
{"cdc":{"path":"_change_data/x","partitionValues":{},"size":3,"dataChange":false}}
{"txn":{"appId":"a","version":1}}
{"domainMetadata":{"domain":"d","configuration":"","removed":false}}
{"checkpointMetadata":{"version":3}}
{"sidecar":{"path":"x.parquet","sizeInBytes":3,"modificationTime":1}}
{"checkpoint":[]}"#;
    let once = [
        "commitInfo",
        "protocol",
        "metaData",
        "remove",
        "cdc",
        "txn",
        "domainMetadata",
        "checkpointMetadata",
        "sidecar",
        "checkpoint",
    ];
    check(all, &once.map(|name| (name, 1)));
}

#[test]
fn what_real_writers_leave() {
    // A stray `x` after each object.
    check(format!("{ADD}x\n{ADD}x").as_bytes(), &[("add", 2)]);
    check(format!("{ADD} x\n{ADD}x{ADD}").as_bytes(), &[("add", 3)]);
    // Pretty-printed.
    let pretty = "{\n  \"add\": {\n    \"path\": \"a}\\\"{\",\n    \"size\": 1\n  }\n}\n";
    check(format!("{pretty}{ADD}\n{pretty}").as_bytes(), &[("add", 3)]);
    check(b"{\"add\":{\"path\":\"a\",\"stats\":{}\n}\n}", &[("add", 1)]);
    // Several objects on a line, two actions in an object, unknown actions, nulls.
    check(format!("{ADD}{ADD} {ADD}\n").as_bytes(), &[("add", 3)]);
    check(
        br#"{"add":{"path":"a"},"remove":{"path":"b"},"future":{"deep":[1]},"txn":null}"#,
        &[("add", 1), ("remove", 1), ("future", 1)],
    );
    check(br#"{"add":null,"remove":{"path":"b","x":{"y":[{}]}}}"#, &[("remove", 1)]);
    check(br#"{}"#, &[]);
}

#[test]
fn damage_is_found_with_its_place() {
    damaged(br#"{"add":{"path":"a""#, 0);
    damaged(format!("{ADD}\n{}", &ADD[..40]).as_bytes(), ADD.len() as u64 + 1);
    damaged(format!("{ADD}\nx{ADD}").as_bytes(), ADD.len() as u64 + 1);
    damaged(b"[]", 0);
    damaged(b"\0\0\0\0", 0);
    damaged(br#"{"add":{"size":1}}"#, 0);
    damaged(br#"{"add":{"path":5}}"#, 0);
    damaged(br#"{"add":{"path":"a","size":9223372036854775808}}"#, 0);
    damaged(br#"{"add":{"path":"a"},"add":{"path":"b"}}"#, 0);
    damaged(br#"{"add":{"path":"a","path":"b"}}"#, 0);
    damaged(br#"{"add":[}"#, 0);
    damaged(br#"{"add":{"path":"a"}]"#, 0);
    damaged(b"{\"add\":{\"path\":\"\xff\"}}", 0);
}

#[test]
fn extreme_numbers_are_read() {
    check(br#"{"add":{"path":"a","size":9223372036854775807}}"#, &[("add", 1)]);
    check(br#"{"add":{"path":"a","size":-9223372036854775808}}"#, &[("add", 1)]);
}

#[test]
fn every_cut_is_found_or_clean() {
    let whole = format!("{ADD}\n{{\"remove\":{{\"path\":\"b\"}}}}\n");
    for cut in 0..whole.len() {
        let at_line = whole[..cut].trim_end().ends_with("}}") || cut == 0;
        let parsed = parse_all(&whole.as_bytes()[..cut]);
        assert_eq!(parsed.is_ok(), at_line, "cut at {cut}");
    }
}

#[test]
fn nesting_is_bounded_and_never_recursed() {
    let nested = |depth: usize| format!("{{\"f\":{}{}}}\n", "[".repeat(depth), "]".repeat(depth));
    check(nested(JSON_DEPTH_MAX - 1).as_bytes(), &[("f", 1)]);
    for depth in [JSON_DEPTH_MAX, 100_000] {
        let found = parse_all(nested(depth).as_bytes());
        assert!(matches!(found, Err(FramingError::Limit { offset: 0, .. })), "{depth}");
    }
    // Braces inside a string are no nesting.
    let schema =
        format!("{{\"metaData\":{{\"id\":\"x\",\"schemaString\":\"{}\"}}}}", "{".repeat(999));
    check(schema.as_bytes(), &[("metaData", 1)]);
}

#[test]
fn longest_line_is_bounded() {
    /// One object that never ends.
    struct Endless(bool);
    impl Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            out.fill(b'a');
            if !std::mem::replace(&mut self.0, true) {
                out[..7].copy_from_slice(br#"{"add":"#);
            }
            Ok(out.len())
        }
    }
    let found = for_each::<()>(Endless(false), &mut |_| Ok(()));
    assert!(matches!(found, Err(FramingError::Limit { offset: 0, .. })), "{LINE_BYTES_MAX}");
}

#[test]
fn visitor_can_stop() {
    let two = format!("{ADD}\n{ADD}\n");
    let mut seen = 0;
    let stopped = for_each(two.as_bytes(), &mut |_| {
        seen += 1;
        Err("stop")
    });
    assert_eq!((stopped.unwrap(), seen), (Err("stop"), 1));
}

#[test]
fn borrowed_fields_are_unescaped() {
    let line = br#"{"add":{"path":"a\u0020\"b","size":1,"deletionVector":{
        "storageType":"u","pathOrInlineDv":"x\\y","offset":4,"sizeInBytes":1}}}"#;
    let found = for_each(line.as_slice(), &mut |action| match action {
        Action::Add(add) => {
            let vector = add.deletion_vector.unwrap();
            Err((add.path.into_owned(), vector.value.into_owned(), vector.offset))
        }
        _ => Ok(()),
    });
    let expect = ("a \"b".to_owned(), "x\\y".to_owned(), Some(4));
    assert_eq!(found.unwrap(), Err(expect));
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = parse_all(&bytes);
    }

    #[test]
    fn arbitrary_json_like_text_never_panics(text in r#"[{}\[\]",:x \nadremov\\0-9]{0,80}"#) {
        let _ = parse_all(text.as_bytes());
    }
}
