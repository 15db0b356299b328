//! What the models tolerate and what they decode.

use driftless_testdata::models::{
    LiveFile, LogName, OpenError, Opened, deletion_vector_key, files_present, kernel,
    snapshot_of_source, spark, trino, z85_decode,
};

use crate::state::{SCHEMA, Table, prologue};

/// All readers agree on the state; the paths and deletion vectors of its files.
#[track_caller]
fn check(table: &Table, expect: &[(&str, Option<&str>)]) -> Opened {
    let opened = kernel(&table.0).unwrap();
    assert_eq!(spark(&table.0).as_ref(), Ok(&opened));
    assert_eq!(trino(&table.0).as_ref(), Ok(&opened));
    assert_eq!(snapshot_of_source(&table.0, opened.version).as_ref(), Ok(&opened));
    let files: Vec<_> = opened.files.iter().map(|f| (f.path.as_str(), f.dv.as_deref())).collect();
    assert_eq!(files, expect);
    opened
}

fn first_commit(tail: &str) -> Table {
    Table::default().put("_delta_log/00000000000000000000.json", &(prologue() + tail))
}

#[test]
fn commits_are_a_tolerant_stream() {
    let tail = "{\"add\":{\"path\":\"a\",\"size\":1},\"commitInfo\":{\"x\":1}}x\n\
                {\"futureAction\":{\"deep\":[1]}}xx\n\n\
                {\n  \"add\": {\n    \"path\": \"b\",\n    \"size\": 2,\n\t\"n\": null\n  }\n}\n\
                {\"add\":null,\"txn\":{\"appId\":\"q\",\"version\":3}}";
    check(&first_commit(tail), &[("a", None), ("b", None)]);
}

#[test]
fn broken_commits_are_loud() {
    for tail in
        ["{\"add\":", "{\"add\":{\"size\":1}}", "y{\"txn\":{}}", "[1]", "{\"add\":{\"path\":7}}"]
    {
        for reader in [spark, trino, kernel] {
            let answer = reader(&first_commit(tail).0);
            assert!(matches!(answer, Err(OpenError::Unreadable { .. })), "{tail}: {answer:?}");
        }
    }
}

#[test]
fn paths_are_decoded_once_and_absolute_ones_left_alone() {
    let tail = "{\"add\":{\"path\":\"p=50%2525/%C3%BC b\",\"size\":1}}\n\
                {\"add\":{\"path\":\"s3://b/k%20\",\"size\":1}}\n{\"add\":{\"path\":\"/r%20\"}}";
    let opened = check(
        &first_commit(tail),
        &[("/r%20", None), ("p=50%25/ü b", None), ("s3://b/k%20", None)],
    );
    assert_eq!(opened.files.first().map(|file| file.size), Some(-1));
    let missing = files_present(&opened, &first_commit(tail).0);
    let reasons: Vec<_> = missing.iter().map(|m| m.reason.as_str()).collect();
    assert_eq!(reasons, ["absolute reference", "absent", "absolute reference"]);
}

#[test]
fn a_file_is_its_path_and_its_deletion_vector() {
    let dv = |offset: &str| {
        format!("{{\"storageType\":\"u\",\"pathOrInlineDv\":\"ab^-aqEH.-t@S}}K{{vb[*k^\"{offset}}}")
    };
    let add =
        |dv: &str| format!("{{\"add\":{{\"path\":\"a\",\"size\":1,\"deletionVector\":{dv}}}}}");
    let table = first_commit("{\"add\":{\"path\":\"a\",\"size\":1}}").put(
        "_delta_log/00000000000000000001.json",
        &format!("{}\n{{\"remove\":{{\"path\":\"a\"}}}}", add(&dv(",\"offset\":4"))),
    );
    let id = "uab^-aqEH.-t@S}K{vb[*k^@4";
    let opened = check(&table, &[("a", Some(id))]);
    let missing = files_present(&opened, &table.put("a", "d").0);
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!(missing[0].key, "ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin");
    // Removal of another vector's file leaves this one.
    let other = format!("{{\"remove\":{{\"path\":\"a\",\"deletionVector\":{}}}}}", dv(""));
    let table = first_commit(&add(&dv(",\"offset\":4")))
        .put("_delta_log/00000000000000000001.json", &other);
    check(&table, &[("a", Some(id))]);
}

#[test]
fn deletion_vector_names() {
    // The example of the protocol.
    let key = deletion_vector_key("uab^-aqEH.-t@S}K{vb[*k^@4").unwrap();
    assert_eq!(key, "ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin");
    let key = deletion_vector_key("u^-aqEH.-t@S}K{vb[*k^").unwrap();
    assert_eq!(key, "deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin");
    assert_eq!(deletion_vector_key("ps3://b/x%20.bin@1").unwrap(), "s3://b/x%20.bin");
    for bad in ["", "iabc", "ushort", "u~~~~~~~~~~~~~~~~~~~~"] {
        assert!(deletion_vector_key(bad).is_err(), "{bad}");
    }
    // ZeroMQ RFC 32.
    let hello = [0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b];
    assert_eq!(z85_decode("HelloWorld").unwrap(), hello);
    assert!(z85_decode("Hello1").is_err());
    assert!(z85_decode("#####").is_err());
}

#[test]
fn v2_checkpoint_with_sidecar() {
    let uuid = "6374b053-df23-479b-b2cf-c9c550132b49";
    let name = format!("00000000000000000001.checkpoint.{uuid}.json");
    let manifest = prologue() + "{\"sidecar\":{\"path\":\"one.json\",\"sizeInBytes\":1}}\n";
    let hint = format!("{{\"version\":1,\"size\":3,\"v2Checkpoint\":{{\"path\":\"{name}\"}}}}");
    let table = Table::default()
        .put(&format!("_delta_log/{name}"), &manifest)
        .put("_delta_log/_last_checkpoint", &hint)
        .put("_delta_log/00000000000000000001.json", "")
        .put("_delta_log/_sidecars/one.json", "{\"add\":{\"path\":\"a\",\"size\":1}}");
    let opened = check(&table, &[("a", None)]);
    assert_eq!(opened.version, 1);
    let broken = table.without("_delta_log/_sidecars/one.json");
    for reader in [spark, trino, kernel] {
        let answer = reader(&broken.0);
        assert!(matches!(answer, Err(OpenError::ObjectMissing { .. })), "{answer:?}");
    }
}

#[test]
fn newest_protocol_and_metadata_count() {
    let later = format!(
        "{{\"protocol\":{{\"minReaderVersion\":3,\"minWriterVersion\":7,\
         \"readerFeatures\":[\"deletionVectors\"],\"writerFeatures\":[\"deletionVectors\"]}}}}\n\
         {{\"metaData\":{{\"id\":\"n\",\"schemaString\":\"{SCHEMA}\"}}}}"
    );
    let table = first_commit("").put("_delta_log/00000000000000000001.json", &later);
    let opened = check(&table, &[]);
    assert_eq!((opened.metadata_id.as_str(), opened.protocol.min_reader), ("n", 3));
    assert!(opened.protocol.reader_features.contains("deletionVectors"));
    let unknown =
        later.replace("\"readerFeatures\":[", "\"readerFeatures\":[\"adaptiveMetadata\",");
    let table = first_commit("").put("_delta_log/00000000000000000001.json", &unknown);
    for reader in [spark, trino, kernel] {
        let Err(OpenError::Unsupported { opened, features }) = reader(&table.0) else {
            panic!("an unknown feature must be refused");
        };
        assert_eq!((opened.version, features), (1, vec!["adaptiveMetadata".to_owned()]));
    }
}

#[test]
fn compacted_file_stands_for_its_commits() {
    let name = "_delta_log/00000000000000000001.00000000000000000003.compacted.json";
    let adds = "{\"add\":{\"path\":\"f1\",\"size\":2}}\n{\"add\":{\"path\":\"f2\",\"size\":3}}\n\
                {\"add\":{\"path\":\"f3\",\"size\":4}}";
    let table = Table::default().commits(0..=4).put(name, adds);
    let all: Vec<String> = (0..5).map(|v| format!("f{v}")).collect();
    let all: Vec<_> = all.iter().map(|path| (path.as_str(), None)).collect();
    check(&table, &all);
    // Spark reads the compacted file, so a wrong one shows there and only there.
    let wrong = table.put(name, "{\"add\":{\"path\":\"other\",\"size\":2}}");
    let other = LiveFile { path: "other".to_owned(), dv: None, size: 2 };
    assert!(spark(&wrong.0).unwrap().files.contains(&other));
    assert!(!kernel(&wrong.0).unwrap().files.contains(&other));
}

#[test]
fn log_names() {
    let n = "00000000000000000012";
    let check = |name: String, expect: Option<LogName>| {
        assert_eq!(LogName::parse(&name), expect, "{name}");
    };
    check(format!("{n}.json"), Some(LogName::Commit(12)));
    check(format!("{n}.crc"), Some(LogName::Checksum(12)));
    check(format!("{n}.{}.compacted.json", "0".repeat(19) + "9"), Some(LogName::Compacted(12, 9)));
    check(format!("{n}.checkpoint.parquet"), Some(LogName::ClassicCheckpoint(12)));
    let part = format!("{n}.checkpoint.0000000002.0000000003.parquet");
    check(part, Some(LogName::CheckpointPart(12, 2, 3)));
    check(format!("{n}.checkpoint.0000000004.0000000003.parquet"), None);
    let uuid = "6374b053-df23-479b-b2cf-c9c550132b49";
    check(format!("{n}.checkpoint.{uuid}.json"), Some(LogName::UuidCheckpoint(12)));
    check(format!("{n}.checkpoint.{uuid}.avro"), None);
    for stray in ["_last_checkpoint", "012.json", ".00000000000000000012.json.crc", "info.txt"] {
        check(stray.to_owned(), None);
    }
    check(format!("{n}.{uuid}.json"), None);
}
