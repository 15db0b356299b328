//! Receipts: what was published, and what is still to come.

use table_sync_core::{PlannedKind, Position, Sha256Digest, SourceView};

/// One position that became visible at one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which.
    pub position: Position,
    /// How.
    pub kind: PlannedKind,
    /// When it was committed, on the source's clock: ms since the epoch. `None` where the source
    /// shows a base but no commit.
    pub committed_ms: Option<i64>,
    /// When it was published, on this machine's clock: ms since the epoch.
    pub published_ms: i64,
    /// Files that it needs beside the log, copied now or there before.
    pub files: u64,
    /// Their bytes, as far as the log states them.
    pub bytes: u64,
    /// SHA-256 of its commit object, where it has one.
    pub commit_sha256: Option<Sha256Digest>,
}

/// Commits of the source that are not published at a target. None pending is a measurement:
/// where the source or the target was not observed there is no `Pending`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// How many.
    pub versions: u64,
    /// The oldest of them.
    pub oldest: Option<Position>,
    /// When that was committed, on the source's clock: ms since the epoch.
    pub oldest_ms: Option<i64>,
}

impl Pending {
    /// What a source holds above a replica's head; `None` where its listing does not tell.
    pub(crate) fn of(view: &SourceView, head: Option<Position>) -> Option<Self> {
        if view.listed_from.is_some_and(|from| head.is_none_or(|head| head < from)) {
            return None;
        }
        if head > view.head() {
            return None;
        }
        let mut above = view.commits.iter().filter(|commit| Some(commit.position) > head);
        let oldest = above.next();
        Some(Self {
            versions: oldest.map_or(0, |_| 1 + above.count() as u64),
            oldest: oldest.map(|commit| commit.position),
            oldest_ms: oldest.map(|commit| commit.committed_ms),
        })
    }
}

/// When a position was committed, as far as a listing shows it.
pub(crate) fn committed_ms(view: &SourceView, position: Position) -> Option<i64> {
    let at = view.commits.binary_search_by_key(&position, |commit| commit.position).ok()?;
    view.commits.get(at).map(|commit| commit.committed_ms)
}

#[cfg(test)]
mod tests {
    use table_sync_core::{CommitEntry, Follows};

    use super::*;

    fn view(versions: &[u64], listed_from: Option<u64>) -> SourceView {
        let commit = |version: &u64| CommitEntry {
            position: Position::Version(*version),
            follows: Follows::Independent,
            committed_ms: 1_000 * i64::try_from(*version).unwrap(),
        };
        SourceView {
            commits: versions.iter().map(commit).collect(),
            listed_from: listed_from.map(Position::Version),
            ..SourceView::default()
        }
    }

    #[track_caller]
    fn check(view: &SourceView, head: Option<u64>, expect: Option<(u64, Option<u64>)>) {
        let pending = Pending::of(view, head.map(Position::Version));
        let expect = expect.map(|(versions, oldest)| Pending {
            versions,
            oldest: oldest.map(Position::Version),
            oldest_ms: oldest.map(|at| 1_000 * i64::try_from(at).unwrap()),
        });
        assert_eq!(pending, expect);
    }

    #[test]
    fn pending_is_what_lies_above_the_head() {
        let whole = view(&[1, 2, 3], None);
        check(&whole, None, Some((3, Some(1))));
        check(&whole, Some(1), Some((2, Some(2))));
        check(&whole, Some(3), Some((0, None)));
        check(&view(&[], None), None, Some((0, None)));
    }

    #[test]
    fn unknown_is_not_zero() {
        // The source is behind what was published.
        check(&view(&[1, 2, 3], None), Some(4), None);
        // What lies between the head and the listing is not known.
        let part = view(&[5, 6], Some(5));
        check(&part, Some(4), None);
        check(&part, None, None);
        check(&part, Some(5), Some((1, Some(6))));
    }

    #[test]
    fn a_commit_has_a_time_where_it_is_listed() {
        let part = view(&[5, 6], Some(5));
        assert_eq!(committed_ms(&part, Position::Version(6)), Some(6_000));
        assert_eq!(committed_ms(&part, Position::Version(4)), None);
    }
}
