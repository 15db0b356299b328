#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Properties {
    Properties::parse(FILE_NAME, &Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

fn edited(text: &str, remove: &[&str], set: &[(&str, &str)]) -> String {
    String::from_utf8(parse(text).edit(remove, set).to_vec()).unwrap()
}

#[track_caller]
fn check(text: &str, expect: &[(&str, &str)]) {
    let properties = parse(text);
    let got: Vec<(&str, &str)> = properties.to_map().into_iter().collect();
    assert_eq!(got, expect, "{text:?}");
}

#[test]
fn separators_are_those_of_java() {
    check("a=b", &[("a", "b")]);
    check("a:b", &[("a", "b")]);
    check("a b", &[("a", "b")]);
    check("a \t= \x0cb ", &[("a", "b ")]);
    check("a==b", &[("a", "=b")]);
    check("a : = b", &[("a", "= b")]);
    check("a", &[("a", "")]);
    check("a=", &[("a", "")]);
    check("=b", &[("", "b")]);
    check("  a=b\r\n\tc=d\re=f", &[("a", "b"), ("c", "d"), ("e", "f")]);
}

#[test]
fn comments_and_blank_lines_say_nothing() {
    check("#a=b\n!c=d\n\n  \t\n  # e=f\\\ng=h", &[("g", "h")]);
    check("", &[]);
}

#[test]
fn long_lines_go_on() {
    check("a=b\\\n   c\\\r\n#d\ne=f", &[("a", "bc#d"), ("e", "f")]);
    check("a=b\\\\\nc=d", &[("a", "b\\"), ("c", "d")]);
    check("a=b\\\\\\\nc", &[("a", "b\\c")]);
    check("a=b\\", &[("a", "b")]);
    check("a=b\\\n\nc=d", &[("a", "b"), ("c", "d")]);
}

#[test]
fn escapes_are_decoded_on_both_sides() {
    check("a\\ b\\=c\\:=\\u00e9\\t\\q", &[("a b=c:", "\u{e9}\tq")]);
    check("k=country\\:SIMPLE", &[("k", "country:SIMPLE")]);
    check("k=\\uD83D\\uDE00", &[("k", "\u{1F600}")]);
    let latin = Properties::parse(FILE_NAME, &Bytes::from_static(b"k=\xe9")).unwrap();
    assert_eq!(latin.get("k"), Some("\u{e9}"));
    let error = Properties::parse(FILE_NAME, &Bytes::from_static(b"x=y\nk=\\u00g0")).unwrap_err();
    assert!(error.to_string().contains("escape at byte 4"), "{error}");
}

#[test]
fn the_last_line_of_a_key_counts() {
    check("a=1\nb=2\na=3", &[("a", "3"), ("b", "2")]);
    assert_eq!(parse("a=1\na=3").get("a"), Some("3"));
}

const TEXT: &str = "#Updated at 2025-08-02T23:38:33.063Z\r\n\
    hoodie.table.metadata.partitions=column_stats,\\\r\n    files\r\n\
    hoodie.table.checksum=1459583757\r\n\
    hoodie.table.name=hudi-v9-table_table\r\n\
    hoodie.table.partition.fields=country\\:SIMPLE\r\n\
    hoodie.timeline.path=timeline";

#[test]
fn an_edit_changes_only_its_lines() {
    let without = edited(TEXT, &[key::METADATA_PARTITIONS], &[]);
    let expect =
        TEXT.replace("hoodie.table.metadata.partitions=column_stats,\\\r\n    files\r\n", "");
    assert_eq!(without, expect);
    let moved = edited(TEXT, &[], &[(key::TIMELINE_PATH, "timeline-2"), ("new", "a: b")]);
    let expect = TEXT.replace("path=timeline", "path=timeline-2");
    assert_eq!(moved, format!("{expect}\nnew=a\\: b\n"));
    assert_eq!(edited(TEXT, &["absent"], &[]), TEXT);
    assert_eq!(edited(TEXT, &[], &[(key::TIMELINE_PATH, "timeline")]), TEXT);
    assert_eq!(edited("", &[], &[("a", "b")]), "a=b\n");
    assert_eq!(edited("a=b\\", &[], &[("c", "d")]), "a=b\\\nc=d\n".replace("\\\n", "\\\n\n"));
}

#[test]
fn an_edit_leaves_one_line_of_a_key_that_came_twice() {
    assert_eq!(edited("a=1\nb=2\na=3\n", &[], &[("a", "4")]), "b=2\na=4\n");
    assert_eq!(edited("a=1\nb=2\na=3\n", &[], &[("a", "3")]), "b=2\na=3\n");
    assert_eq!(edited("a=1\nb=2\na=3\n", &["a"], &[]), "b=2\n");
    assert_eq!(edited("a=1\nb=2\n", &["a"], &[("a", "5")]), "a=5\nb=2\n");
}

#[test]
fn checksums_are_those_of_hudi() {
    // From public tables: with a database, and without one.
    assert_eq!(checksum("default", "v6_nonpartitioned"), 1_363_530_505);
    assert_eq!(checksum("", "hudi-v9-table_table"), 1_459_583_757);
    assert_eq!(parse(TEXT).checksum(), Checksum::Valid);
    assert_eq!(parse("hoodie.table.name=a").checksum(), Checksum::Absent);
    assert_eq!(parse("hoodie.table.checksum=1").checksum(), Checksum::Invalid);
    assert_eq!(parse("hoodie.table.name=a\nhoodie.table.checksum=x").checksum(), Checksum::Invalid);
}

#[test]
fn renaming_a_table_renews_its_checksum() {
    for text in [
        edited(TEXT, &[], &[(key::NAME, "other")]),
        edited(TEXT, &[], &[(key::DATABASE, "db"), (key::NAME, "other")]),
        edited(TEXT, &[key::METADATA_PARTITIONS], &[(key::DATABASE, "db")]),
    ] {
        assert_eq!(parse(&text).checksum(), Checksum::Valid, "{text}");
    }
    assert_eq!(edited("hoodie.table.name=a", &[], &[(key::NAME, "b")]), "hoodie.table.name=b");
}

#[test]
fn meaning_leaves_out_how_a_copy_is_read() {
    let source = parse(TEXT);
    let edited = source.edit(
        &[key::METADATA_PARTITIONS, key::METADATA_PARTITIONS_INFLIGHT],
        &[(key::TIMELINE_PATH, "timeline-2")],
    );
    let replica = Properties::parse(FILE_NAME, &edited).unwrap();
    assert_eq!(replica.meaning(), source.meaning());
    let changed = replica.edit(&[], &[(key::MERGE_MODE, "COMMIT_TIME_ORDERING")]);
    let changed = Properties::parse(FILE_NAME, &changed).unwrap();
    assert_ne!(changed.meaning(), source.meaning());
}

#[test]
fn the_typed_view_has_the_defaults_of_hudi() {
    let properties = parse("");
    let table = properties.table();
    assert_eq!(table.version(), Some(0));
    assert_eq!(table.table_type(), Some(TableType::CopyOnWrite));
    assert_eq!(table.layout(), Some(crate::instant::Layout::V1));
    assert_eq!(table.base_file_format(), "PARQUET");
    assert!(table.is_local_time());
    assert!(table.partition_fields().is_empty());
    assert_eq!(table.bootstrap_base_path(), None);
    let unknown = parse(
        "hoodie.table.version=ten\nhoodie.table.type=OTHER\nhoodie.timeline.layout.version=3",
    );
    let table = unknown.table();
    assert_eq!((table.version(), table.table_type(), table.layout()), (None, None, None));
}

#[test]
fn the_typed_view_reads_real_values() {
    let properties = parse(
        "hoodie.table.version=8\nhoodie.table.type=MERGE_ON_READ\n\
         hoodie.table.metadata.partitions=column_stats,files\n\
         hoodie.table.metadata.partitions.inflight=\n\
         hoodie.table.partition.fields=country\\:SIMPLE,ts\\:TIMESTAMP\n\
         hoodie.table.precombine.field=ts\nhoodie.table.keygenerator.type=COMPLEX\n\
         hoodie.table.timeline.timezone=utc\nhoodie.archivelog.folder=history\n\
         hoodie.datasource.write.drop.partition.columns=true\nhoodie.table.cdc.enabled=false\n",
    );
    let table = properties.table();
    let layout = crate::instant::Layout::V2;
    assert_eq!(table.version(), Some(8));
    assert_eq!(table.table_type(), Some(TableType::MergeOnRead));
    assert_eq!(table.layout(), Some(layout));
    assert_eq!(table.metadata_partitions(), ["column_stats", "files"]);
    assert!(table.metadata_partitions_inflight().is_empty());
    assert_eq!(table.partition_fields(), ["country", "ts"]);
    assert_eq!(table.ordering_fields(), ["ts"]);
    assert_eq!(table.key_generator(), Some("COMPLEX"));
    assert!(table.drops_partition_columns() && !table.keeps_changes() && !table.is_local_time());
    assert_eq!(table.timeline_folder(layout).unwrap().as_str(), ".hoodie/timeline");
    assert_eq!(table.archive_folder(layout).unwrap().as_str(), ".hoodie/timeline/history");
    let layout = crate::instant::Layout::V1;
    assert_eq!(table.timeline_folder(layout).unwrap().as_str(), ".hoodie");
    assert_eq!(table.archive_folder(layout).unwrap().as_str(), ".hoodie/history");
}

#[test]
fn folders_stay_in_the_metadata_folder() {
    let properties = parse("hoodie.timeline.path=../../x\nhoodie.archivelog.folder=");
    let table = properties.table();
    assert!(table.timeline_folder(crate::instant::Layout::V2).is_err());
    let archive = table.archive_folder(crate::instant::Layout::V1).unwrap();
    assert_eq!(archive.as_str(), ".hoodie");
}

proptest! {
    #[test]
    fn what_is_set_is_read_back(
        text in "([a-c =:#!\\\\\n\r\t]|\\\\u00e9){0,60}",
        key in "\\PC{1,8}",
        value in "[ a-z=:#!\\\\\n\t\u{e9}\u{1F600}]{0,12}",
    ) {
        let properties = parse(&text);
        let edited = properties.edit(&[], &[(&key, &value)]);
        let edited = Properties::parse(FILE_NAME, &edited).unwrap();
        prop_assert_eq!(edited.get(&key), Some(value.as_str()));
        let mut expect = properties.to_map();
        expect.insert(&key, &value);
        prop_assert_eq!(edited.to_map(), expect);
        let removed = Properties::parse(FILE_NAME, &edited.edit(&[&key], &[])).unwrap();
        let mut expect = properties.to_map();
        expect.remove(key.as_str());
        prop_assert_eq!(removed.to_map(), expect);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(properties) = parse_bytes(&bytes) {
            prop_assert_eq!(properties.edit(&["absent"], &[]), Bytes::from(bytes));
        }
    }
}
