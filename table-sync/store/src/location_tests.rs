#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn stores() -> BTreeMap<String, StoreConfig> {
    let config = |url: &str| StoreConfig { url: url.to_owned(), options: BTreeMap::new() };
    [
        ("site-a".to_owned(), config("s3://lake/prod/")),
        ("root".to_owned(), config("s3://lake")),
        ("disk".to_owned(), config("/data/lake")),
    ]
    .into()
}

/// `expect`: store URL, table path, whole URL.
#[track_caller]
fn check(text: &str, expect: (&str, &str, &str)) {
    let found = Location::parse(text, &stores()).unwrap();
    assert_eq!((found.store_url(), found.table(), found.url()), expect, "{text}");
    // What is reported names the same table again.
    let again = Location::parse(found.url(), &stores()).unwrap();
    assert_eq!(again.url(), found.url(), "{text}");
}

#[track_caller]
fn refuse(text: &str, expect: impl Fn(&LocationError) -> bool) {
    let error = Location::parse(text, &stores()).unwrap_err();
    assert!(expect(&error), "{text}: {error:?}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn urls() {
    check("s3://lake/sales", ("s3://lake", "sales", "s3://lake/sales"));
    check("s3://lake/wh/sales/", ("s3://lake/wh", "sales", "s3://lake/wh/sales"));
    check("s3a://lake/wh/sales//", ("s3://lake/wh", "sales", "s3://lake/wh/sales"));
    check("gs://lake/a/b/c", ("gs://lake/a/b", "c", "gs://lake/a/b/c"));
    check("az://box/p", ("az://box", "p", "az://box/p"));
    check(
        "abfss://box@acct.dfs.core.windows.net/a/p",
        (
            "abfss://box@acct.dfs.core.windows.net/a",
            "p",
            "abfss://box@acct.dfs.core.windows.net/a/p",
        ),
    );
}

#[test]
fn keys_are_not_decoded_but_file_urls_are() {
    check("s3://lake/a%20b/c d", ("s3://lake/a%20b", "c d", "s3://lake/a%20b/c d"));
    check("s3://lake/p=1/\u{e9}", ("s3://lake/p=1", "\u{e9}", "s3://lake/p=1/\u{e9}"));
    check("file:///a%20b/c%2525", ("file:///a%20b", "c%25", "file:///a%20b/c%2525"));
    check("/a b/c%25", ("file:///a%20b", "c%25", "file:///a%20b/c%2525"));
}

#[test]
fn paths() {
    check("file:///data/sales", ("file:///data", "sales", "file:///data/sales"));
    check("file:/data/sales", ("file:///data", "sales", "file:///data/sales"));
    check("file://localhost/data/sales", ("file:///data", "sales", "file:///data/sales"));
    check("/data/sales/", ("file:///data", "sales", "file:///data/sales"));
    check("/sales", ("file:///", "sales", "file:///sales"));
    check("/data/./x/../sales", ("file:///data", "sales", "file:///data/sales"));
    check("/data/a:b", ("file:///data", "a:b", "file:///data/a:b"));
}

#[test]
fn relative_paths_become_absolute() {
    let here = std::env::current_dir().unwrap();
    for text in ["wh/sales", "./wh/sales", "wh/sales/", "wh/x/../sales"] {
        let found = Location::parse(text, &stores()).unwrap();
        assert_eq!(found.table(), "sales");
        assert_eq!(found.store_url(), format!("file://{}/wh", here.display()));
    }
    assert_eq!(Location::parse("./a:b", &stores()).unwrap().table(), "a:b");
}

#[test]
fn named_stores() {
    check("site-a:sales", ("s3://lake/prod", "sales", "s3://lake/prod/sales"));
    check("site-a:wh/sales/", ("s3://lake/prod", "wh/sales", "s3://lake/prod/wh/sales"));
    check("root:/sales", ("s3://lake", "sales", "s3://lake/sales"));
    check("disk:wh/sales", ("file:///data/lake", "wh/sales", "file:///data/lake/wh/sales"));
    check("site-a:ts=1:2/x", ("s3://lake/prod", "ts=1:2/x", "s3://lake/prod/ts=1:2/x"));
}

#[test]
fn globs_start_below_the_store_root() {
    check("s3://lake/wh/*", ("s3://lake/wh", "*", "s3://lake/wh/*"));
    check("s3://lake/wh/f*/x", ("s3://lake/wh", "f*/x", "s3://lake/wh/f*/x"));
    check("s3://lake/*", ("s3://lake", "*", "s3://lake/*"));
    check("/data/*", ("file:///data", "*", "file:///data/*"));
    check("site-a:wh/*", ("s3://lake/prod", "wh/*", "s3://lake/prod/wh/*"));
    assert!(Location::parse("s3://lake/wh/*", &stores()).unwrap().has_glob());
    assert!(!Location::parse("s3://lake/wh/x", &stores()).unwrap().has_glob());
}

#[test]
fn credentials_are_refused_and_not_repeated() {
    refuse("s3://user:hunter2@lake/sales", |e| *e == LocationError::Credentials);
    refuse("s3://hunter2@lake/sales", |e| *e == LocationError::Credentials);
    refuse("abfss://box:hunter2@acct.dfs/p", |e| *e == LocationError::Credentials);
    refuse("https://user:hunter2@host/x", |e| *e == LocationError::Credentials);
    refuse("s3://lake/sales?sig=hunter2", |e| *e == LocationError::Query);
    refuse("az://box/p?sig=hunter2", |e| *e == LocationError::Query);
    refuse("s3://lake/sales#hunter2", |e| *e == LocationError::Query);
}

#[test]
fn what_names_no_table_is_refused() {
    refuse("", |e| *e == LocationError::Empty);
    refuse("  ", |e| *e == LocationError::Empty);
    refuse("s3://lake", |e| matches!(e, LocationError::NoTable { .. }));
    refuse("s3://lake/", |e| matches!(e, LocationError::NoTable { .. }));
    refuse("/", |e| matches!(e, LocationError::NoTable { .. }));
    refuse("site-a:", |e| matches!(e, LocationError::NoTable { .. }));
    refuse("s3:///sales", |e| matches!(e, LocationError::NoBucket { .. }));
    refuse("ftp://host/x", |e| matches!(e, LocationError::Scheme { .. }));
    refuse("file://host/x", |e| matches!(e, LocationError::Scheme { .. }));
    refuse("nosuch:sales", |e| matches!(e, LocationError::UnknownStore { .. }));
    refuse("C:\\data\\sales", |e| matches!(e, LocationError::Drive { .. }));
    refuse("c:/data", |e| matches!(e, LocationError::Drive { .. }));
    refuse("s3://lake//sales", |e| *e == LocationError::Path(PathError::Absolute));
    refuse("s3://lake/a//sales", |e| *e == LocationError::Path(PathError::Segment));
    refuse("s3://lake/../sales", |e| *e == LocationError::Path(PathError::Segment));
    refuse("site-a:../sales", |e| *e == LocationError::Path(PathError::Segment));
    refuse("file:///a%ff/b", |e| matches!(e, LocationError::Escape { .. }));
}
