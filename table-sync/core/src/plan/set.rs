//! Planning where commits form a set: what the source holds and the replica does not.
//!
//! A position only orders and reports here. A commit that completes late, below what is already
//! published, is found as well, since it is looked for by its id.
//!
//! # Invariants
//! - A commit is appended only at or above the oldest one that the replica holds: readers take
//!   everything below that for committed.
//! - A replica never keeps a commit that the source took back once anything else is published.

use std::collections::BTreeSet;

use super::{PlanInput, Planned, PlannedKind, Refusal, Start, append, jump};
use crate::{BlockCode, Blocked, CommitSet, InstantTime, Position};

/// Plans one target.
pub(super) fn fill(
    input: &PlanInput<'_>,
    set: &CommitSet,
    out: &mut Vec<Planned>,
) -> Result<(), Refusal> {
    let empty = BTreeSet::new();
    let holds = input.replica.holds.as_ref().unwrap_or(&empty);
    let (Some(head), Some(oldest)) = (input.replica.head, oldest(input, holds)) else {
        return first(input, set, out);
    };
    let switch = why_switch(input, set, (head, oldest), holds)?;
    if let Some((code, at, reason)) = switch {
        return replace(input, set, (code, at, &reason), out);
    }
    if set.wait.is_some() {
        return Ok(());
    }
    let missing = missing(input, holds);
    let whole = missing.clone().all(|at| !input.avoid.contains(&at));
    if whole {
        out.extend(missing.map(append));
        return Ok(());
    }
    // What comes before the damaged commit is published as usual; only what is left is jumped.
    let lost = missing.clone().find(|at| input.avoid.contains(at)).unwrap_or(head);
    if missing.clone().next() != Some(lost) {
        out.extend(missing.take_while(|at| *at != lost).map(append));
        return Ok(());
    }
    let reason = format!("a file that {lost} needs is gone at the source");
    replace(input, set, (BlockCode::HistoryLost, lost, &reason), out)
}

/// Where the replica's timeline begins.
fn oldest(input: &PlanInput<'_>, holds: &BTreeSet<InstantTime>) -> Option<InstantTime> {
    let first = holds.first().copied()?;
    Some(input.replica.floor.map_or(first, |floor| floor.min(first)))
}

/// The first publication of a new replica.
fn first(input: &PlanInput<'_>, set: &CommitSet, out: &mut Vec<Planned>) -> Result<(), Refusal> {
    if let Start::At(at) = input.start {
        let message = format!(
            "a replica of this format cannot start at {at}: older states are not kept whole; \
             start with `--start latest`, or `--start earliest` for every slice that is left"
        );
        return Err(Blocked::at(BlockCode::HistoryLost, at, message));
    }
    let usable = |at: &Position| input.until.is_none_or(|until| *at <= until);
    let bases = input.source.bases.iter().map(|base| base.position);
    match bases.filter(|at| !input.avoid.contains(at)).rfind(usable) {
        Some(base) => out.push(jump(base)),
        // Nothing is committed yet, or the format says what has to happen first.
        None if input.source.bases.is_empty() && input.avoid.is_empty() => {}
        None if set.wait.is_some() => {}
        None => {
            let message = "no whole state is left at the source to start with: files that its \
                           newest state needs are gone, or it lies above --until";
            return Err(Blocked::table(BlockCode::HistoryLost, message));
        }
    }
    Ok(())
}

type Switch = (BlockCode, Position, String);

/// Whether what the replica holds can only be brought forward all at once, and why.
fn why_switch(
    input: &PlanInput<'_>,
    set: &CommitSet,
    (head, oldest): (Position, InstantTime),
    holds: &BTreeSet<InstantTime>,
) -> Result<Option<Switch>, Refusal> {
    if set.shape != input.replica.shape {
        let reason = "the source's log was moved to another layout (upgrade or downgrade)";
        return Ok(Some((BlockCode::HistoryLost, head, reason.to_owned())));
    }
    let listed: BTreeSet<_> =
        input.source.commits.iter().filter_map(|commit| commit.position.requested()).collect();
    for id in holds.iter().filter(|id| !listed.contains(id)) {
        let old = set.archived_below.is_some_and(|below| *id < below);
        if set.retracted.contains(id) {
            let reason = format!("the source took {id} back (rollback or restore)");
            return Ok(Some((BlockCode::HistoryLost, head, reason)));
        }
        if !old && !set.archived.contains(id) {
            let message = format!(
                "{id} is published here, but the source's timeline neither holds it nor tells what \
                 became of it: the table was replaced or its timeline edited; replicate the new \
                 table to a new location"
            );
            return Err(Blocked::at(BlockCode::Rewound, head, message));
        }
    }
    let gone = set.archived.iter().find(|id| **id >= oldest && !holds.contains(id));
    if let Some(id) = gone {
        let reason = format!("the source archived {id} before it was published here");
        return Ok(Some((BlockCode::HistoryLost, head, reason)));
    }
    let above = input.source.commits.iter().map(|commit| commit.position);
    let late = above.filter(|at| *at > head).filter_map(Position::requested);
    if let Some(id) = late.filter(|id| *id < oldest).min() {
        let reason = format!("{id} completed after the replica was started at {oldest}");
        return Ok(Some((BlockCode::HistoryLost, head, reason)));
    }
    Ok(None)
}

/// Commits that the replica lacks, in the order of their completion.
fn missing<'a>(
    input: &'a PlanInput<'_>,
    holds: &'a BTreeSet<InstantTime>,
) -> impl Iterator<Item = Position> + Clone + 'a {
    let oldest = oldest(input, holds);
    let commits = input.source.commits.iter().map(|commit| commit.position);
    commits.filter(move |at| input.until.is_none_or(|until| *at <= until)).filter(move |at| {
        let wanted = |id: &InstantTime| !holds.contains(id) && oldest <= Some(*id);
        at.requested().as_ref().is_some_and(wanted)
    })
}

/// One write takes the replica from what it holds to the source's newest state.
fn replace(
    input: &PlanInput<'_>,
    set: &CommitSet,
    (code, at, reason): (BlockCode, Position, &str),
    out: &mut Vec<Planned>,
) -> Result<(), Refusal> {
    let usable = |at: &Position| input.until.is_none_or(|until| *at <= until);
    let bases = input.source.bases.iter().map(|base| base.position);
    let base = bases.filter(|at| !input.avoid.contains(at)).rfind(usable);
    match base {
        Some(position) if set.switchable => {
            out.push(Planned { position, kind: PlannedKind::Jump });
            Ok(())
        }
        Some(_) => Err(Blocked::at(
            code,
            at,
            format!(
                "{reason}, and a table of this version has no write that replaces what is \
                 published all at once: replicate it to a new location"
            ),
        )),
        None => Err(Blocked::at(
            code,
            at,
            format!("{reason}, and no whole state is left at the source to go on from"),
        )),
    }
}
