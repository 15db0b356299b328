//! Discovery rules.

use driftless_catalog::{Catalog, CatalogError, FoundState, FoundTable, Policy, RuleSpec};

use crate::databases::NOW;
use crate::on_both;

on_both!(rules_are_made_changed_and_removed, one_process_takes_a_turn, tables_vanish_and_come_back);

pub(crate) fn spec() -> RuleSpec {
    RuleSpec {
        pattern: "source:warehouse/**".to_owned(),
        include: Vec::new(),
        exclude: vec!["tmp/**".to_owned()],
        name: "lake.{1}.{2}".to_owned(),
        sites: vec!["east".to_owned()],
        policy: Policy::default(),
        paused: true,
        every_seconds: 600,
    }
}

async fn rules_are_made_changed_and_removed(catalog: Catalog) {
    let made = catalog.put_rule("nightly", &spec(), None, NOW).await.unwrap();
    assert_eq!((made.revision, &made.spec), (1, &spec()));
    let changed = RuleSpec { every_seconds: 60, ..spec() };
    assert_eq!(catalog.put_rule("nightly", &changed, Some(1), NOW).await.unwrap().revision, 2);
    let error = catalog.put_rule("nightly", &changed, Some(1), NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::Changed { .. }), "{error}");
    let wrong = RuleSpec { name: "x".to_owned(), ..spec() };
    let error = catalog.put_rule("nightly", &wrong, None, NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::Invalid(_)), "{error}");
    assert_eq!(catalog.rules().await.unwrap()[0].spec, changed);
    catalog.remove_rule("nightly", None).await.unwrap();
    let error = catalog.remove_rule("nightly", None).await.unwrap_err();
    assert!(matches!(error, CatalogError::NotFound { .. }), "{error}");
}

async fn one_process_takes_a_turn(catalog: Catalog) {
    catalog.put_rule("nightly", &spec(), None, NOW).await.unwrap();
    assert!(catalog.take_rule("nightly", NOW - 600, NOW).await.unwrap());
    assert!(!catalog.take_rule("nightly", NOW - 600, NOW).await.unwrap());
    assert!(catalog.take_rule("nightly", NOW, NOW + 600).await.unwrap());
    // A changed rule looks again at once.
    catalog.put_rule("nightly", &spec(), None, NOW).await.unwrap();
    assert!(catalog.take_rule("nightly", 0, NOW).await.unwrap());
}

async fn tables_vanish_and_come_back(catalog: Catalog) {
    catalog.put_rule("nightly", &spec(), None, NOW).await.unwrap();
    let table = |source: &str, state| FoundTable {
        source: source.to_owned(),
        table: Some("lake.a.b".to_owned()),
        state,
        message: None,
        seen_ms: 0,
    };
    let (registered, refused) = (FoundState::Registered, FoundState::Refused);
    let states = async || {
        let found = catalog.found_tables("nightly", None, 9).await.unwrap();
        found.into_iter().map(|one| (one.source, one.state)).collect::<Vec<_>>()
    };
    let pair = |source: &str, state| (source.to_owned(), state);
    let first = [table("a", registered), table("b", registered), table("c", refused)];
    catalog.found("nightly", &first, None, NOW).await.unwrap();
    catalog.found("nightly", &[], Some("no answer"), NOW + 1).await.unwrap();
    assert_eq!(states().await, [pair("a", registered), pair("b", registered), pair("c", refused)]);
    assert_eq!(catalog.rules().await.unwrap()[0].last_error.as_deref(), Some("no answer"));
    catalog.found("nightly", &first[..1], None, NOW + 2).await.unwrap();
    assert_eq!(states().await, [pair("a", registered), pair("b", FoundState::Vanished)]);
    catalog.found("nightly", &first[1..2], None, NOW + 3).await.unwrap();
    assert_eq!(states().await, [pair("a", FoundState::Vanished), pair("b", registered)]);
    let after = catalog.found_tables("nightly", Some("a"), 9).await.unwrap();
    assert_eq!(after.len(), 1);
}
