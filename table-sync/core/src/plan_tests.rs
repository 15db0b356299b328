#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::{BaseEntry, CommitEntry, lint};

fn version(at: u64) -> Position {
    Position::Version(at)
}

/// A source whose log holds these commits and checkpoints.
fn source(commits: &[u64], bases: &[u64]) -> SourceView {
    let commit = |at: &u64| CommitEntry {
        position: version(*at),
        follows: at
            .checked_sub(1)
            .map_or(Follows::Origin, |before| Follows::Position(version(before))),
        committed_ms: 0,
    };
    SourceView {
        commits: commits.iter().map(commit).collect(),
        bases: bases.iter().map(|at| BaseEntry { position: version(*at) }).collect(),
        ..SourceView::default()
    }
}

fn replica(head: Option<u64>) -> ReplicaView {
    ReplicaView { head: head.map(version), ..ReplicaView::default() }
}

struct Case {
    commits: Vec<u64>,
    bases: Vec<u64>,
    head: Option<u64>,
    unfinished: Option<u64>,
    start: Start,
    until: Option<u64>,
    avoid: Vec<u64>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            commits: (0..=4).collect(),
            bases: vec![],
            head: None,
            unfinished: None,
            start: Start::Latest,
            until: None,
            avoid: vec![],
        }
    }
}

#[track_caller]
fn check(case: &Case, expect: Expect) {
    let source = source(&case.commits, &case.bases);
    let mut replica = replica(case.head);
    replica.unfinished = case.unfinished.map(version);
    let avoid: BTreeSet<_> = case.avoid.iter().copied().map(version).collect();
    let input = PlanInput {
        source: &source,
        replica: &replica,
        start: case.start,
        until: case.until.map(version),
        avoid: &avoid,
    };
    let plan = plan(&input);
    lint(&plan, &source, &replica).unwrap();
    expect.assert_eq(&plan.to_string());
}

#[test]
fn new_replica_without_checkpoint_starts_at_the_first_commit() {
    check(
        &Case::default(),
        expect![[r#"
        head none
        append 0..4
    "#]],
    );
}

#[test]
fn new_replica_starts_at_the_newest_checkpoint() {
    check(
        &Case { bases: vec![1, 3], ..Case::default() },
        expect![[r#"
        head none
        jump 3
        append 4
    "#]],
    );
}

#[test]
fn earliest_takes_the_whole_history_or_the_oldest_checkpoint() {
    let whole = Case { bases: vec![3], start: Start::Earliest, ..Case::default() };
    check(
        &whole,
        expect![[r#"
        head none
        append 0..4
    "#]],
    );
    let cleaned = Case {
        commits: (12..=25).collect(),
        bases: vec![12, 20],
        start: Start::Earliest,
        ..Case::default()
    };
    check(
        &cleaned,
        expect![[r#"
        head none
        jump 12
        append 13..25
    "#]],
    );
}

#[test]
fn start_at_a_version_takes_the_nearest_checkpoint_below() {
    let case = Case {
        commits: (0..=25).collect(),
        bases: vec![10, 20],
        start: Start::At(version(14)),
        until: Some(18),
        ..Case::default()
    };
    check(
        &case,
        expect![[r#"
        head none
        jump 10
        append 11..18
    "#]],
    );
}

#[test]
fn a_replica_in_step_needs_nothing() {
    check(
        &Case { head: Some(4), ..Case::default() },
        expect![[r#"
        head 4
    "#]],
    );
}

#[test]
fn a_cleaned_log_is_crossed_by_the_lowest_checkpoint_beyond() {
    let case =
        Case { commits: (8..=15).collect(), bases: vec![9, 12], head: Some(3), ..Case::default() };
    check(
        &case,
        expect![[r#"
        head 3
        jump 9
        append 10..15
    "#]],
    );
}

#[test]
fn a_version_that_is_not_whole_is_jumped_over() {
    let case = Case {
        commits: (0..=9).collect(),
        bases: vec![5, 8],
        head: Some(2),
        avoid: vec![4, 5],
        ..Case::default()
    };
    check(
        &case,
        expect![[r#"
        head 2
        append 3
        jump 8
        append 9
    "#]],
    );
}

#[test]
fn a_hole_without_a_later_checkpoint_is_refused_after_what_can_be_published() {
    let case =
        Case { commits: vec![0, 1, 2, 4, 5], bases: vec![1], head: Some(1), ..Case::default() };
    check(
        &case,
        expect![[r#"
        head 1
        append 2
        refuse history_lost: the commit after version 2 is missing at the source, and no later checkpoint is there to jump to; write one at the source
    "#]],
    );
}

#[test]
fn an_interrupted_base_is_finished_first() {
    let case = Case { bases: vec![1, 3], unfinished: Some(1), ..Case::default() };
    check(
        &case,
        expect![[r#"
        head none
        jump 1
        append 2..4
    "#]],
    );
    let cleaned = Case { bases: vec![3], unfinished: Some(1), ..Case::default() };
    check(
        &cleaned,
        expect![[r#"
        head none
        jump 3
        append 4
    "#]],
    );
}

#[test]
fn a_source_behind_its_replica_is_rewound() {
    check(
        &Case { head: Some(9), ..Case::default() },
        expect![[r#"
        head 9
        refuse rewound: the source's newest version is 4, but version 9 is published here: the source table was replaced or rolled back; replicate the new table to a new location
    "#]],
    );
}

#[test]
fn an_empty_source_is_no_table() {
    check(
        &Case { commits: vec![], ..Case::default() },
        expect![[r#"
        head none
        refuse not_a_table: the source holds no table log: no commit and no checkpoint; check the location
    "#]],
    );
}

#[test]
fn a_log_that_cannot_be_opened_is_refused() {
    check(
        &Case { commits: vec![3, 4], ..Case::default() },
        expect![[r#"
            head none
            refuse history_lost: no whole version up to 4 is left to start with: the first commit at the source is 3, complete checkpoints are none; write a checkpoint at the source, or raise --until
        "#]],
    );
}

proptest! {
    /// Carrying out a plan moves the head to the plan's end; planning again adds nothing, and
    /// the linter agrees at every step.
    #[test]
    fn planning_is_idempotent_and_monotone(
        commits in prop::collection::btree_set(0u64..40, 0..40),
        bases in prop::collection::btree_set(0u64..40, 0..6),
        head in prop::option::of(0u64..40),
        until in prop::option::of(0u64..40),
        avoid in prop::collection::btree_set(0u64..40, 0..4),
        start in prop_oneof![
            Just(Start::Latest),
            Just(Start::Earliest),
            (0u64..40).prop_map(|at| Start::At(version(at))),
        ],
    ) {
        let commits: Vec<_> = commits.into_iter().collect();
        let bases: Vec<_> = bases.into_iter().collect();
        let source = source(&commits, &bases);
        let avoid: BTreeSet<_> = avoid.into_iter().map(version).collect();
        let mut replica = replica(head);
        let until = until.map(version);
        let input = PlanInput { source: &source, replica: &replica, start, until, avoid: &avoid };
        let first = plan(&input);
        prop_assert!(lint(&first, &source, &replica).is_ok());
        for planned in &first.publications {
            prop_assert!(!avoid.contains(&planned.position));
            prop_assert!(until.is_none_or(|until| planned.position <= until));
        }
        let wanted = source.head().map(|head| until.map_or(head, |until| until.min(head)));
        if first.refusal.is_none() {
            prop_assert!(first.end() >= wanted);
        }
        // Carry out any prefix: what is left is the rest of the same plan.
        for done in 0..=first.publications.len() {
            if done > 0 {
                replica.head = Some(first.publications[done - 1].position);
            }
            if replica.head.is_none() {
                continue;
            }
            let input = PlanInput { source: &source, replica: &replica, start, until, avoid: &avoid };
            let again = plan(&input);
            prop_assert_eq!(&again.publications[..], &first.publications[done..]);
        }
    }
}

mod set {
    use super::*;
    use crate::{CommitSet, InstantTime};

    /// `completed_requested`, as a timeline would list it.
    fn at(text: &str) -> Position {
        Position::parse(text).unwrap()
    }

    fn id(text: &str) -> InstantTime {
        InstantTime::parse(text).unwrap()
    }

    struct Case {
        commits: &'static [&'static str],
        holds: &'static [&'static str],
        archived: &'static [&'static str],
        archived_below: Option<&'static str>,
        retracted: &'static [&'static str],
        switchable: bool,
        shape: u32,
        avoid: &'static [&'static str],
    }

    const CASE: Case = Case {
        commits: &["11_10", "13_12", "19_14", "17_16"],
        holds: &[],
        archived: &[],
        archived_below: None,
        retracted: &[],
        switchable: true,
        shape: 0,
        avoid: &[],
    };

    #[track_caller]
    fn check(case: Case, expect: Expect) {
        let mut commits: Vec<_> = case.commits.iter().map(|text| at(text)).collect();
        commits.sort();
        let base = commits.last().map(|position| BaseEntry { position: *position });
        let ids = |texts: &[&str]| texts.iter().map(|text| id(text)).collect();
        let source = SourceView {
            commits: commits
                .iter()
                .map(|position| CommitEntry {
                    position: *position,
                    follows: Follows::Independent,
                    committed_ms: 0,
                })
                .collect(),
            bases: base.into_iter().collect(),
            set: Some(CommitSet {
                archived: ids(case.archived),
                archived_below: case.archived_below.map(id),
                retracted: ids(case.retracted),
                switchable: case.switchable,
                shape: case.shape,
                forgets: false,
                wait: None,
            }),
            ..SourceView::default()
        };
        let holds: BTreeSet<InstantTime> = ids(case.holds);
        let head = holds.last().map(|id| Position::Instant { completed: *id, requested: *id });
        let mut replica = ReplicaView { head, holds: Some(holds), ..ReplicaView::default() };
        source.place(&mut replica);
        let avoid: BTreeSet<_> = case.avoid.iter().map(|text| at(text)).collect();
        let input = PlanInput {
            source: &source,
            replica: &replica,
            start: Start::Latest,
            until: None,
            avoid: &avoid,
        };
        let plan = plan(&input);
        lint(&plan, &source, &replica).unwrap();
        expect.assert_eq(&plan.to_string());
    }

    #[test]
    fn new_replica_takes_the_newest_state() {
        check(
            CASE,
            expect![[r#"
            head none
            jump 19_14
        "#]],
        );
        check(
            Case { commits: &[], ..CASE },
            expect![[r#"
            head none
        "#]],
        );
    }

    #[test]
    fn commits_are_appended_in_the_order_of_completion() {
        check(
            Case { holds: &["10"], ..CASE },
            expect![[r#"
            head 11_10
            append 13_12..19_14
        "#]],
        );
        check(
            Case { holds: &["10", "12", "14", "16"], ..CASE },
            expect![[r#"
            head 19_14
        "#]],
        );
    }

    #[test]
    fn a_commit_that_completes_late_is_not_lost() {
        check(
            Case { holds: &["10", "12", "14"], ..CASE },
            expect![[r#"
            head 19_14
            append 17_16
        "#]],
        );
    }

    #[test]
    fn what_was_archived_unpublished_needs_a_switch() {
        check(
            Case { holds: &["08"], archived: &["08", "09"], archived_below: Some("08"), ..CASE },
            expect![[r#"
                head 08_08
                jump 19_14
            "#]],
        );
        check(
            Case { holds: &["08", "10"], archived: &["08"], ..CASE },
            expect![[r#"
            head 11_10
            append 13_12..19_14
        "#]],
        );
        check(
            Case { holds: &["06", "10"], archived_below: Some("07"), ..CASE },
            expect![[r#"
            head 11_10
            append 13_12..19_14
        "#]],
        );
    }

    #[test]
    fn what_was_taken_back_needs_a_switch() {
        let case = Case { holds: &["10", "18"], retracted: &["18"], ..CASE };
        check(
            case,
            expect![[r#"
            head 11_10
            jump 19_14
        "#]],
        );
        let case = Case { holds: &["10", "18"], retracted: &["18"], switchable: false, ..CASE };
        check(
            case,
            expect![[r#"
            head 11_10
            refuse history_lost: the source took 18 back (rollback or restore), and a table of this version has no write that replaces what is published all at once: replicate it to a new location
        "#]],
        );
        check(
            Case { holds: &["10", "18"], ..CASE },
            expect![[r#"
            head 11_10
            refuse rewound: 18 is published here, but the source's timeline neither holds it nor tells what became of it: the table was replaced or its timeline edited; replicate the new table to a new location
        "#]],
        );
    }

    #[test]
    fn a_commit_older_than_the_replica_needs_a_switch() {
        check(
            Case { holds: &["12"], ..CASE },
            expect![[r#"
            head 13_12
            append 17_16..19_14
        "#]],
        );
    }

    #[test]
    fn another_layout_needs_a_switch() {
        check(
            Case { holds: &["10", "12"], shape: 1, ..CASE },
            expect![[r#"
            head 13_12
            jump 19_14
        "#]],
        );
    }

    #[test]
    fn what_is_not_whole_is_jumped() {
        check(
            Case { holds: &["10"], avoid: &["17_16"], ..CASE },
            expect![[r#"
            head 11_10
            append 13_12
        "#]],
        );
        check(
            Case { holds: &["10", "12"], avoid: &["17_16"], ..CASE },
            expect![[r#"
            head 13_12
            jump 19_14
        "#]],
        );
        check(
            Case { holds: &["10", "12"], avoid: &["17_16", "19_14"], ..CASE },
            expect![[r#"
            head 13_12
            refuse history_lost: a file that 17_16 needs is gone at the source, and no whole state is left at the source to go on from
        "#]],
        );
    }
}
