//! Version 6 merge-on-read: what keeps readers of Hudi 1.x right.
//!
//! Such a reader takes the time at which a version 6 instant completed from the last modification
//! of its timeline object, and a log, which is named after its base instant B, belongs to the
//! slice that this time points to. A copy has other times: where B's object at the target is
//! younger than the newest instant, logs on B vanish; where it is younger than a compaction that
//! followed, logs that were compacted come back. For an instant that is not in the timeline the
//! time is its id. So the replica's timeline holds no instant that it need not hold.
//!
//! # Invariants
//! - The timeline of a replica starts at its floor: the oldest of the newest write, writes that
//!   are pending or still to be published, and replace commits, whose replaced files would be
//!   rows again without them. Nothing at or above the floor is ever deleted.
//! - Deletes go from the oldest id on, plans before what completes them.
//! - Where logs of the new state lie on an instant that is held and too young, the state is right
//!   only once that instant is deleted, or where it must stay, once a newer commit is published:
//!   the window in between is reported, or refused.
//!
//! Source: Hudi `CompletionTimeQueryViewV1`, `HoodieFileGroup.getBaseInstantTime`; seen with
//! Spark 3.5 and Hudi 0.15, 1.0 and 1.2: `docs/hudi.md`.

use std::collections::{BTreeMap, BTreeSet};

use table_sync_core::{
    BlockCode, Blocked, InstantTime, Kind, Position, Publication, RelPath, SourceError, Step,
    Window,
};

use crate::file_name::FileName;
use crate::instant::{Action, Layout, State};
use crate::log::{HudiLog, Readers, V6Window};
use crate::properties::TableType;
use crate::timeline::{Instant, Timeline};
use crate::{retire, state};

/// Whether a table's replicas need the guard.
pub(crate) fn applies(log: &HudiLog, timeline: &Timeline) -> bool {
    timeline.layout == Layout::V1
        && timeline.table_type == TableType::MergeOnRead
        && log.options().readers != Readers::Zero
}

/// The oldest id that a replica's timeline must hold once everything up to the source's newest
/// state is published. `None` for a table without writes.
pub(crate) fn floor_at_head(timeline: &Timeline) -> Option<InstantTime> {
    let newest = newest_write(timeline)?;
    let pending = timeline.earliest_pending().filter(|pending| *pending < newest);
    let Some(pending) = pending else { return Some(newest) };
    if timeline.plan_of(pending).is_some() {
        return Some(pending);
    }
    // What is pending is no object of the replica: only a commit below it keeps the start there.
    let below = timeline.commits().into_iter().filter(|at| at.name.action.writes_data());
    let below = below.map(|at| at.name.requested).filter(|id| *id < pending);
    below.max().or(Some(pending))
}

/// The write that completed last: a restore is a commit, but a timeline without any write shows
/// no rows.
fn newest_write(timeline: &Timeline) -> Option<InstantTime> {
    let commits = timeline.commits();
    let newest = commits.iter().rev().find(|at| at.name.action.writes_data());
    newest.map(|at| at.name.requested)
}

/// Base instants on which logs of the active timeline lie.
pub(crate) async fn log_bases(
    log: &HudiLog,
    timeline: &Timeline,
    until: Position,
) -> Result<BTreeSet<InstantTime>, SourceError> {
    let mut bases = BTreeSet::new();
    let deltas = timeline.commits().into_iter();
    let deltas = deltas.filter(|at| at.name.action == Action::DeltaCommit);
    for delta in deltas.filter(|at| at.position() <= until) {
        let commit = state::commit(log, delta).await?;
        let names = commit.writes.iter().map(|write| FileName::parse(write.path.file_name()));
        bases.extend(names.filter(FileName::is_log).filter_map(|name| name.instant()));
    }
    Ok(bases)
}

/// Why the first publication has to wait, where it has to: logs lie on an instant that its
/// timeline would have to hold, with the time of the copy.
pub(crate) async fn first_waits(
    log: &HudiLog,
    timeline: &Timeline,
    position: Position,
) -> Result<Option<String>, SourceError> {
    let Some(floor) = floor_at_head(timeline) else { return Ok(None) };
    let bases = log_bases(log, timeline, position).await?;
    let ids = timeline.completed(position);
    let held = bases.iter().find(|base| **base >= floor && ids.contains(base));
    Ok(held.map(|base| {
        format!(
            "the first publication waits until {floor} is no longer pending: readers of Hudi 1.x \
             would misplace the logs on {base} (v6_pending_compaction); with --hudi-readers 0.x \
             it need not wait"
        )
    }))
}

/// Adds to the publication of a commit what the replica's timeline must lose with it.
pub(crate) async fn tailor(
    log: &HudiLog,
    timeline: &Timeline,
    mut publication: Publication,
    held: &Timeline,
) -> Result<Publication, SourceError> {
    let position = publication.position;
    let Some(id) = position.requested() else { return Ok(publication) };
    let holds = Holds::of(held);
    let writes = timeline.commit(id).is_some_and(|at| at.name.action.writes_data());
    let newest = newest_write(held).filter(|_| !writes).unwrap_or(id);
    let floor = floor(log, timeline, &holds, newest).await?;
    if let Some(reason) = stays_wrong(log, timeline, &holds).await? {
        return Err(SourceError::Hold { message: reason });
    }
    let bases = log_bases(log, timeline, position).await?;
    let young = bases.iter().find(|base| holds.young(base).is_some_and(|time| time >= id));
    if let Some(base) = young {
        if log.options().v6_window == V6Window::Refuse {
            let message = format!(
                "publishing {id} in place would for a moment show readers of Hudi 1.x a mixture: \
                 logs lie on {base}, whose timeline object is younger here; allow it with \
                 --hudi-v6-window allow, or replicate to a new location"
            );
            return Err(Blocked::at(BlockCode::V6Window, position, message).into());
        }
        publication.window = Window::UntilDone;
    }
    let newest = holds.newest().map_or(id, |newest| newest.max(id));
    if holds.misplaces(&bases, floor, newest) {
        publication.window = Window::Beyond;
    }
    publication.mends = is_mixed(log, timeline, &holds).await?;
    publication.steps.extend(deletes(held, floor));
    Ok(publication)
}

/// Whether readers of 1.x misplace logs in the state that a replica holds: a publication was
/// interrupted, or waits for a later one.
async fn is_mixed(log: &HudiLog, timeline: &Timeline, holds: &Holds) -> Result<bool, SourceError> {
    let Some(newest) = holds.newest() else { return Ok(false) };
    let Some(head) = timeline.commits().into_iter().rev().find(|at| holds.has(at)) else {
        return Ok(false);
    };
    let bases = log_bases(log, timeline, head.position()).await?;
    Ok(holds.misplaces(&bases, InstantTime::ZERO, newest))
}

/// What an interrupted publication left below the floor, to be deleted; `None` where nothing is.
pub(crate) async fn left_below(
    log: &HudiLog,
    timeline: &Timeline,
    held: &Timeline,
    through: Position,
) -> Result<Option<Publication>, SourceError> {
    let writes = held.commits().into_iter().filter(|at| at.name.action.writes_data());
    let Some(newest) = writes.map(|at| at.name.requested).max() else { return Ok(None) };
    let holds = Holds::of(held);
    let floor = floor(log, timeline, &holds, newest).await?;
    let steps = deletes(held, floor);
    if steps.is_empty() {
        return Ok(None);
    }
    let mends = is_mixed(log, timeline, &holds).await?;
    let bases = log_bases(log, timeline, through).await?;
    let window = match holds.misplaces(&bases, floor, newest) {
        true => Window::Beyond,
        false => Window::None,
    };
    Ok(Some(Publication { mends, window, ..Publication::of(through, Kind::Attach, steps) }))
}

/// What a replica's timeline holds.
struct Holds {
    /// Last modification of completed writes, in whole seconds, as an id in UTC.
    times: BTreeMap<InstantTime, InstantTime>,
    /// Replace commits that may hide files which are still there.
    replacing: BTreeSet<InstantTime>,
    /// Plans of compactions that are still to come.
    plans: BTreeSet<InstantTime>,
}

impl Holds {
    fn of(held: &Timeline) -> Self {
        let commits = held.commits();
        let whole = |ms: i64| ms - ms.rem_euclid(1_000);
        let time =
            |at: &&Instant| (at.name.requested, InstantTime::of_ms(whole(at.object.modified_ms)));
        let is_hiding = |id: &InstantTime| held.hiding.as_ref().is_none_or(|ids| ids.contains(id));
        let replacing = commits.iter().filter(|at| at.name.action == Action::ReplaceCommit);
        let times: BTreeMap<_, _> = commits.iter().map(time).collect();
        let pending = held.instants().filter(|at| !at.is_completed());
        Self {
            plans: pending.map(|at| at.name.requested).collect(),
            times,
            replacing: replacing.map(|at| at.name.requested).filter(is_hiding).collect(),
        }
    }

    /// The newest id.
    fn newest(&self) -> Option<InstantTime> {
        self.times.keys().next_back().copied()
    }

    fn has(&self, instant: &Instant) -> bool {
        self.times.contains_key(&instant.name.requested)
    }

    /// Whether logs lie on an instant at or above `floor` that looks younger than the newest one.
    fn misplaces(
        &self,
        bases: &BTreeSet<InstantTime>,
        floor: InstantTime,
        newest: InstantTime,
    ) -> bool {
        let mut bases = bases.iter().filter(|base| **base >= floor);
        bases.any(|base| self.young(base).is_some_and(|time| time >= newest))
    }

    /// When readers think that a base completed, where the timeline holds it.
    fn young(&self, base: &InstantTime) -> Option<InstantTime> {
        self.times.get(base).copied()
    }
}

/// The oldest id that the replica's timeline must hold once `id` is published.
async fn floor(
    log: &HudiLog,
    timeline: &Timeline,
    holds: &Holds,
    id: InstantTime,
) -> Result<InstantTime, SourceError> {
    let mut floor = id.min(timeline.earliest_pending().unwrap_or(id));
    let oldest = holds.times.keys().chain(&holds.plans).min().copied().unwrap_or(id);
    let waiting = timeline.commits().into_iter().map(|at| at.name.requested);
    let waiting = waiting.filter(|at| *at >= oldest && !holds.times.contains_key(at));
    floor = waiting.fold(floor, InstantTime::min);
    for replacing in replacing(log, timeline, holds).await? {
        floor = floor.min(replacing);
    }
    let is_object = floor == id || holds.times.contains_key(&floor) || holds.plans.contains(&floor);
    // Readers let the timeline start at an object: one below keeps the start at or below the floor.
    let below = holds.times.range(..floor).next_back().filter(|_| !is_object);
    Ok(below.map_or(floor, |(below, _)| *below))
}

/// Of a replica's timeline, the replace commits that hide files which are still there: publishing
/// deletes none, but retirement does.
pub(crate) async fn hiding(
    log: &HudiLog,
    held: &Timeline,
) -> Result<BTreeSet<InstantTime>, SourceError> {
    let commits = held.commits().into_iter();
    let mut hiding = BTreeSet::new();
    for instant in commits.filter(|at| at.name.action == Action::ReplaceCommit) {
        let id = instant.name.requested;
        if log.cache(|cache| cache.hides_nothing(id)) {
            continue;
        }
        if retire::hides(log, held, id).await? {
            hiding.insert(id);
        } else {
            // Files of a group that is replaced are not written again.
            log.cache(|cache| cache.put_hides_nothing(id));
        }
    }
    Ok(hiding)
}

/// Replace commits whose instants must stay.
async fn replacing(
    log: &HudiLog,
    timeline: &Timeline,
    holds: &Holds,
) -> Result<BTreeSet<InstantTime>, SourceError> {
    let mut replacing = BTreeSet::new();
    for id in &holds.replacing {
        let hides = match timeline.commit(*id) {
            Some(instant) => !state::commit(log, instant).await?.replaced.is_empty(),
            None => true,
        };
        if hides {
            replacing.insert(*id);
        }
    }
    Ok(replacing)
}

/// Why the state would stay wrong even with everything published that the source has, where it
/// would: an instant that must be held is too young, and logs lie on it.
async fn stays_wrong(
    log: &HudiLog,
    timeline: &Timeline,
    holds: &Holds,
) -> Result<Option<String>, SourceError> {
    let commits = timeline.commits();
    let Some(head) = commits.last() else { return Ok(None) };
    let Some(mut floor) = floor_at_head(timeline) else { return Ok(None) };
    let mut why = "is pending (v6_pending_compaction); its end";
    for replacing in replacing(log, timeline, holds).await? {
        if replacing < floor {
            floor = replacing;
            why = "hides files that are still at the replica; a commit that is later than the copy";
        }
    }
    let newest = commits.iter().map(|at| at.name.requested).max().unwrap_or(floor);
    let bases = log_bases(log, timeline, head.position()).await?;
    let wrong = bases.iter().find(|base| {
        let held = timeline.commit(**base).is_some() || holds.young(base).is_some();
        // What is still to be published gets the time of its copy: later than any commit here.
        let too_young = holds.young(base).is_none_or(|time| time >= newest);
        **base >= floor && held && too_young
    });
    Ok(wrong.map(|base| {
        format!(
            "publishing waits: readers of Hudi 1.x would misplace the logs on {base}, which the \
             timeline must hold since {floor} {why}, or --hudi-readers 0.x, lets it go on"
        )
    }))
}

/// Deletes of everything in the timeline below the floor, oldest first, plans before what
/// completes them: a compaction without its commit would be pending again.
fn deletes(held: &Timeline, floor: InstantTime) -> Vec<Step> {
    let mut below: Vec<(InstantTime, State, RelPath)> = Vec::new();
    for (key, _) in held.objects() {
        let Some(name) = held.name_of(key) else { continue };
        if name.requested < floor && name.action != Action::Savepoint {
            below.push((name.requested, name.state, key.clone()));
        }
    }
    below.sort();
    below.into_iter().map(|(_, _, key)| Step::delete(key)).collect()
}
