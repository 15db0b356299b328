//! Headroom: when the source's cleaner may begin to delete what an unpublished commit needs.
//!
//! The cleaner's settings are its writer's own, and lie nowhere in the table. What tells of them is
//! what the last clean kept. A cleaner keeps what the commits from one on need, and what readers
//! saw right before that one: files that a commit needs go once this *earliest retained* commit
//! is behind the one after it.
//!
//! - **By hours**: as long after the commit that comes next as the last clean kept commits, in
//!   whole hours, as the setting is.
//! - **By commits**: with the commit that makes one too many. While it is not there its time is
//!   an estimate: writers commit as fast as during what the last clean kept, or as slowly as
//!   since their last commit.
//! - **By versions of files**, or unknown: not known.
//!
//! Of the newest commit nothing goes.
//!
//! # Invariants
//! - Times are those of the store: an id is in the time zone of its writer, which nothing states.
//! - A clean is read once.
//!
//! Source: Hudi `CleanPlanner.getEarliestCommitToRetain`,
//! `CleanPlanner.getFilesToCleanKeepingLatestCommits`, `CleanerUtils`.

use table_sync_core::{CommitEntry, InstantTime, Position, SourceError, SourceView};

use crate::instant::Action;
use crate::log::HudiLog;
use crate::metadata::{CleanMetadata, CleanPolicy};
use crate::state::decode_error;
use crate::timeline::{Instant, Timeline};

const HOUR_MS: i64 = 3_600_000;

/// What a clean says of its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The oldest commit whose files it kept, where its policy has one.
    from: Option<InstantTime>,
    policy: Option<CleanPolicy>,
}

/// What a clean kept, in commits and in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    commits: usize,
    ms: i64,
}

/// When the source may begin to delete what the commit `oldest` needs. See the module.
pub(crate) async fn deadline_ms(
    log: &HudiLog,
    timeline: &Timeline,
    view: &SourceView,
    oldest: Position,
    now_ms: i64,
) -> Result<Option<i64>, SourceError> {
    let later: Vec<_> = view.commits.iter().filter(|commit| commit.position > oldest).collect();
    let Some(next) = later.first() else { return Ok(None) };
    let is_clean = |at: &&Instant| at.is_completed() && at.name.action == Action::Clean;
    let Some(clean) = timeline.instants().rev().find(is_clean) else { return Ok(None) };
    let kept = kept(log, clean).await?;
    let Some(from) = kept.from else { return Ok(None) };
    let times: Vec<_> = later.iter().map(|commit| commit.committed_ms).collect();
    let window = window(timeline, &view.commits, clean, from);
    let expected = match (kept.policy, window) {
        (Some(CleanPolicy::Hours), Some(window)) => Some(by_hours(window, next.committed_ms)),
        (Some(CleanPolicy::Commits), Some(window)) => by_commits(window, &times, now_ms),
        _ => None,
    };
    // That clean, or one before it, may have deleted it.
    let is_past = next.position.requested().is_some_and(|id| id < from);
    let past = is_past.then_some(clean.object.modified_ms);
    Ok(expected.into_iter().chain(past).min())
}

async fn kept(log: &HudiLog, clean: &Instant) -> Result<Kept, SourceError> {
    let (key, identity) = (&clean.key, &clean.object.identity);
    if let Some(kept) = log.cache(|cache| cache.kept(key, identity)) {
        return Ok(kept);
    }
    let read = log.read_seen(key, &clean.object).await?;
    let metadata = CleanMetadata::decode(key.as_str(), &read.bytes);
    let metadata = metadata.map_err(|error| decode_error(clean, &error))?;
    let kept = Kept { from: metadata.earliest_retained, policy: metadata.policy };
    log.cache(|cache| cache.put_kept(key, identity, kept));
    Ok(kept)
}

/// What a clean kept. `None` where the commit from which it kept them is not listed any more.
fn window(
    timeline: &Timeline,
    commits: &[CommitEntry],
    clean: &Instant,
    from: InstantTime,
) -> Option<Window> {
    let id = |commit: &CommitEntry| commit.position.requested();
    let first = commits.iter().find(|commit| id(commit) == Some(from))?;
    let within = |id: InstantTime| from <= id && id < clean.name.requested;
    let count = commits.iter().filter(|commit| id(commit).is_some_and(within)).count();
    // What a clean deletes is decided when it is planned.
    let planned = timeline.requested(clean).map(|(_, object)| object.modified_ms);
    let planned_ms = planned.unwrap_or(clean.object.modified_ms);
    let ms = planned_ms.saturating_sub(first.committed_ms).max(0);
    Some(Window { commits: count, ms })
}

/// A cleaner by hours keeps at least those that it kept.
fn by_hours(window: Window, next_ms: i64) -> i64 {
    let hours = window.ms.saturating_add(HOUR_MS - 1) / HOUR_MS;
    next_ms.saturating_add(hours.saturating_mul(HOUR_MS))
}

/// `later_ms`: when the commits above the one in question were made.
fn by_commits(window: Window, later_ms: &[i64], now_ms: i64) -> Option<i64> {
    let count = window.commits;
    if let Some(fatal_ms) = later_ms.get(count) {
        return Some(*fatal_ms);
    }
    let last_ms = *later_ms.last()?;
    let missing = i64::try_from(count + 1 - later_ms.len()).ok()?;
    let pace_ms = window.ms / i64::try_from(count.max(1)).ok()?;
    let pace_ms = pace_ms.max(now_ms.saturating_sub(last_ms));
    Some(last_ms.saturating_add(missing.saturating_mul(pace_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_whole_ones() {
        let next_ms = 1_000;
        for (ms, hours) in [(0, 0), (1, 1), (HOUR_MS, 1), (HOUR_MS + 1, 2), (24 * HOUR_MS, 24)] {
            let found = by_hours(Window { commits: 3, ms }, next_ms);
            assert_eq!(found, next_ms + hours * HOUR_MS, "{ms}");
        }
    }

    /// The last clean kept three commits, one a minute.
    #[track_caller]
    fn check(later: &[i64], now: i64, expect: Option<i64>) {
        let window = Window { commits: 3, ms: 3 * 60 };
        assert_eq!(by_commits(window, later, now), expect, "{later:?}");
    }

    #[test]
    fn commits_push_each_other_out() {
        // The fourth above the one in question leaves it behind the third newest.
        check(&[10, 20, 30, 40], 40, Some(40));
        check(&[10, 20, 30, 40, 50], 1_000, Some(40));
        // It is expected a minute after the third, three minutes after the first.
        check(&[10, 20, 30], 30, Some(90));
        check(&[10], 10, Some(190));
        // A writer that has paused for longer is taken to be that slow.
        check(&[10, 20, 30], 130, Some(130));
        check(&[10], 110, Some(310));
    }
}
