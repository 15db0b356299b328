#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const T: &str = "20240402123035233";
const C: &str = "20240402144910683";

#[track_caller]
fn check(name: &str, layout: Layout, expect: Option<(Action, State, Option<&str>)>) {
    let parsed = InstantName::parse(name, layout);
    let got = parsed.clone().map(|name| (name.action, name.state, name.completion));
    let time = |text: &str| InstantTime::parse(text).unwrap();
    assert_eq!(got, expect.map(|(a, s, c)| (a, s, c.map(time))), "{name}");
    if let Some(parsed) = parsed {
        assert_eq!(parsed.to_string(), name);
    }
}

#[test]
fn both_layouts_share_the_names_of_pending_instants() {
    for layout in [Layout::V1, Layout::V2] {
        let cases = [
            ("commit.requested", Action::Commit, State::Requested),
            ("inflight", Action::Commit, State::Inflight),
            ("deltacommit.requested", Action::DeltaCommit, State::Requested),
            ("deltacommit.inflight", Action::DeltaCommit, State::Inflight),
            ("replacecommit.inflight", Action::ReplaceCommit, State::Inflight),
            ("clustering.requested", Action::Clustering, State::Requested),
            ("compaction.requested", Action::Compaction, State::Requested),
            ("logcompaction.inflight", Action::LogCompaction, State::Inflight),
            ("clean.requested", Action::Clean, State::Requested),
            ("rollback.inflight", Action::Rollback, State::Inflight),
            ("restore.requested", Action::Restore, State::Requested),
            ("savepoint.inflight", Action::Savepoint, State::Inflight),
            ("indexing.requested", Action::Indexing, State::Requested),
            ("schemacommit.inflight", Action::SchemaCommit, State::Inflight),
        ];
        for (rest, action, state) in cases {
            check(&format!("{T}.{rest}"), layout, Some((action, state, None)));
        }
    }
}

#[test]
fn completed_names_differ_between_layouts() {
    let completed = |action| Some((action, State::Completed, None));
    check(&format!("{T}.commit"), Layout::V1, completed(Action::Commit));
    check(&format!("{T}.clean"), Layout::V1, completed(Action::Clean));
    check(&format!("{T}.commit"), Layout::V2, completed(Action::Commit));
    check(&format!("{T}_{C}.commit"), Layout::V1, None);
    let timed = |action| Some((action, State::Completed, Some(C)));
    check(&format!("{T}_{C}.commit"), Layout::V2, timed(Action::Commit));
    check(&format!("{T}_{C}.replacecommit"), Layout::V2, timed(Action::ReplaceCommit));
    check(&format!("{T}_{C}.rebalance"), Layout::V2, timed(Action::Unknown("rebalance".into())));
    assert!(InstantName::parse(&format!("{T}.commit"), Layout::V2).unwrap().is_legacy());
    assert!(!InstantName::parse(&format!("{T}.commit"), Layout::V1).unwrap().is_legacy());
    assert!(!InstantName::parse(&format!("{T}_{C}.commit"), Layout::V2).unwrap().is_legacy());
}

#[test]
fn ids_need_not_be_dates() {
    for id in ["00000000000000000", "00000000000001", "20240402123035", "000", "7"] {
        check(
            &format!("{id}.deltacommit"),
            Layout::V1,
            Some((Action::DeltaCommit, State::Completed, None)),
        );
        check(
            &format!("{id}_{C}.deltacommit"),
            Layout::V2,
            Some((Action::DeltaCommit, State::Completed, Some(C))),
        );
    }
}

#[test]
fn strays_of_real_timelines_are_no_instants() {
    let names = [
        "hoodie.properties",
        "hoodie.properties.backup",
        ".hoodie.properties.crc",
        ".20240402123035233.commit.crc",
        "20240402123035233.commit.crc",
        "20240402123035233.crc",
        "20240402123035233.commit.80a083e8-7026-4e79-81be-64bd76c43a11",
        "20240402123035233.commit.requested.80a083e8-7026-4e79-81be-64bd76c43a11",
        "20240402123035233.inflight.80a083e8-7026-4e79-81be-64bd76c43a11",
        "20240402123035233.commit.inflight",
        "20240402123035233.inflight.requested",
        "20240402123035233.requested",
        "20240402123035233.commit.backup",
        "20240402123035233.com-mit",
        "20240402123035233.",
        "20240402123035233",
        ".commit",
        "_20240402144910683.commit",
        "20240402123035233_.commit",
        "20240402123035233_20240402144910683_1.commit",
        "20240402123035233_20240402144910683.commit.requested",
        "20240402123035233_20240402144910683.inflight",
        "20240402123035233_20240402144910683_0.parquet",
        "202404021230352331.commit",
        "2024-04-02.commit",
        "manifest_1",
        "_version_",
        "archived",
        ".DS_Store",
        "._20240402123035233.commit",
        "",
    ];
    for name in names {
        check(name, Layout::V1, None);
        check(name, Layout::V2, None);
    }
}

#[test]
fn the_furthest_state_of_an_instant_stays() {
    let names = [
        "3.compaction.requested",
        "3.compaction.inflight",
        "3_4.commit",
        "1.inflight",
        "1.commit.requested",
        "2.clustering.requested",
        "2.replacecommit",
        "2_9.replacecommit",
        "5.logcompaction.inflight",
        "5.logcompaction.requested",
        "6_7.savepoint",
        "6_8.commit",
    ];
    let parse = |name: &str| InstantName::parse(name, Layout::V2).unwrap();
    let kept = furthest(names.into_iter().rev().map(parse).collect(), |name| name);
    let kept: Vec<String> = kept.iter().map(InstantName::to_string).collect();
    assert_eq!(
        kept,
        [
            "1.inflight",
            "2_9.replacecommit",
            "3_4.commit",
            "5.logcompaction.inflight",
            "6_8.commit",
            "6_7.savepoint"
        ]
    );
}

#[test]
fn actions_that_write_data_are_told_apart() {
    let writing = ["commit", "deltacommit", "replacecommit", "compaction", "logcompaction"];
    for name in writing.into_iter().chain(["clustering"]) {
        assert!(Action::parse(name).unwrap().writes_data(), "{name}");
    }
    for name in ["clean", "rollback", "restore", "savepoint", "indexing", "schemacommit", "x"] {
        assert!(!Action::parse(name).unwrap().writes_data(), "{name}");
    }
}

fn names() -> impl Strategy<Value = InstantName> {
    let action = prop_oneof![
        Just("commit"),
        Just("deltacommit"),
        Just("replacecommit"),
        Just("clustering"),
        Just("compaction"),
        Just("logcompaction"),
        Just("clean"),
        Just("rollback"),
        Just("restore"),
        Just("savepoint"),
        Just("indexing"),
        Just("schemacommit"),
        Just("another_1"),
    ];
    let state = prop_oneof![Just(State::Requested), Just(State::Inflight), Just(State::Completed)];
    let layout = prop_oneof![Just(Layout::V1), Just(Layout::V2)];
    (("[0-9]{1,17}", prop::option::of("[0-9]{1,17}")), action, state, layout).prop_map(
        |((requested, completion), action, state, layout)| InstantName {
            requested: InstantTime::parse(&requested).unwrap(),
            completion: completion
                .filter(|_| state == State::Completed && layout == Layout::V2)
                .map(|completion| InstantTime::parse(&completion).unwrap()),
            action: Action::parse(action).unwrap(),
            state,
            layout,
        },
    )
}

proptest! {
    #[test]
    fn names_survive_writing_and_reading(name in names()) {
        prop_assert_eq!(InstantName::parse(&name.to_string(), name.layout), Some(name));
    }

    #[test]
    fn what_parses_is_written_as_it_was(text in "[0-9_]{1,20}(\\.[a-z]{1,12}){0,3}") {
        if let Some(name) = parse_bytes(text.as_bytes()) {
            prop_assert_eq!(name.to_string(), text);
        }
    }
}
