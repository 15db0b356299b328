//! Observation: one listing of a log, and what it shows.
//!
//! # Invariants
//! - A pass over an idle table is one listing request: it starts a little below what is known.
//! - A hole in a listing is believed only after its commit was asked for by name.

use std::collections::BTreeMap;

use table_sync_core::limits::LOOK_BACK_POSITIONS;
use table_sync_core::{
    BaseEntry, CommitEntry, Follows, LogObject, Position, RelPath, SourceError, SourceView,
};

use crate::listing::Listing;
use crate::log::{LogReader, key_error};
use crate::name::{LogName, commit_key};

/// How many commits of one hole are asked for by name.
const PROBES_MAX: u64 = 1_000;

/// The objects of a log, from a version on.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) objects: BTreeMap<RelPath, LogObject>,
    /// `None` = the whole log.
    pub(crate) from: Option<u64>,
}

/// Lists a log; with `after`, what lies well below it may be left out.
pub(crate) async fn observe(
    reader: &LogReader,
    after: Option<u64>,
) -> Result<Observed, SourceError> {
    let from = after.map(|version| version.saturating_sub(LOOK_BACK_POSITIONS));
    let from = from.filter(|from| *from > 0);
    let mut objects = reader.list(from).await?;
    if from.is_some() && Listing::of(&objects).is_empty() {
        // Less than expected: what there is lies below, and matters to whoever explains it.
        objects = reader.list(None).await?;
        return Ok(Observed { objects, from: None });
    }
    fill_holes(reader, &mut objects, after).await?;
    Ok(Observed { objects, from })
}

/// Asks for the commits that a listing does not show although it shows later ones.
async fn fill_holes(
    reader: &LogReader,
    objects: &mut BTreeMap<RelPath, LogObject>,
    after: Option<u64>,
) -> Result<(), SourceError> {
    let commits = Listing::of(objects).commits;
    let mut holes = Vec::new();
    let mut expected = after.map(|version| version.saturating_add(1));
    for version in commits {
        match expected {
            Some(expected) if version > expected => holes.push((expected, version)),
            _ => {}
        }
        expected = expected.max(version.checked_add(1));
    }
    for (first, end) in holes {
        for version in (first..end).take(usize::try_from(PROBES_MAX).unwrap_or(usize::MAX)) {
            let key = commit_key(version).map_err(key_error)?;
            let Some(object) = reader.head(&key).await? else { break };
            tracing::info!(version, "listing did not show a commit that is there");
            objects.insert(key, object);
        }
    }
    Ok(())
}

/// The view of a source.
pub(crate) fn source_view(observed: Observed) -> SourceView {
    let Observed { objects, from } = observed;
    let listing = Listing::of(&objects);
    let commits = objects.iter().filter_map(|(key, object)| match LogName::of(key) {
        LogName::Commit(version) => Some(commit_entry(version, object)),
        _ => None,
    });
    let mut commits: Vec<_> = commits.collect();
    commits.sort_unstable_by_key(|commit| commit.position);
    let versions = listing.checkpoints.iter().map(|set| set.version);
    let mut bases: Vec<_> = versions
        .filter_map(|version| listing.base_position(version))
        .map(|position| BaseEntry { position: Position::Version(position) })
        .collect();
    bases.sort_unstable_by_key(|base| base.position);
    bases.dedup();
    let listed_from = from.map(Position::Version);
    SourceView { commits, bases, objects, listed_from, ..SourceView::default() }
}

fn commit_entry(version: u64, object: &LogObject) -> CommitEntry {
    let follows = match version.checked_sub(1) {
        Some(below) => Follows::Position(Position::Version(below)),
        None => Follows::Origin,
    };
    CommitEntry { position: Position::Version(version), follows, committed_ms: object.modified_ms }
}
