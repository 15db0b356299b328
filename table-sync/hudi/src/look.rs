//! Looks at a timeline, one after the other: whole ones, and between them such as list only what
//! may have changed since.
//!
//! A whole look lists every name. Of a timeline of layout 2 it leaves a *settled* part behind:
//! everything before an id below which nothing is pending, at least [`Margin`] away from the end.
//! A *further* look asks for the properties, and lists from that id on; what is settled it takes
//! from the look before. It counts only if all that it found are new instants at the end.
//! Otherwise, after [`FURTHER_MAX`] of them, and after [`WHOLE_EVERY`], everything is listed.
//!
//! # Why that is enough
//! A settled instant is complete, and Hudi never changes one. This may happen to it:
//! - **Archival** deletes it, after the history has a new file and manifest. The history sorts
//!   behind the instants, so the next further look finds it changed, and a whole look follows.
//!   Deletes that come later are missed for a while: the timeline then says what it said before
//!   the archival, and to be behind archival is always right. Whoever reads an object that is gone
//!   asks for a whole look ([`HudiLog::look_whole`]).
//! - **A rollback or a restore** takes it back. Its plan is at the end of the timeline before the
//!   first object is deleted, and pending instants are never settled. A further look that finds a
//!   new one, or one that is pending, does not count. Nor does any after a whole look that found
//!   one for the first time: a listing of many pages is no moment, and may show a commit on its
//!   first page and on its last the rollback which ended meanwhile (until then
//!   [`gone`](crate::archived::gone) tells).
//! - **A savepoint** bears the id of the instant that it keeps, and may come and go among what is
//!   settled. It matters for where a timeline starts, so only for what is published as a whole,
//!   and [`HudiLog`] describes nothing of that kind from a further look.
//! - **An upgrade, a downgrade, a switch of the timeline's folder, a new table** change the
//!   properties.
//! - **Another instant** may begin there: its writer took the id, and let hundreds of names pass
//!   before it wrote its first object. From Hudi 1.1 on both happen under one lock; before, failed
//!   writes are rolled back in between. Such a commit is found by the next whole look, and
//!   published late, as all that completes out of order. One that begins late among what is
//!   listed is a sign of such a writer: that look does not count.
//!
//! Timelines of layout 1 share their folder with much else, and are listed whole.
//!
//! # Invariants
//! - A further look that counts is equal to a whole one, but for archived instants, savepoints and
//!   writers of that kind, and those for no longer than until the next whole one.
//! - Whatever is refused, or published as a whole, is so after a whole look. That an id is neither
//!   there nor archived, a further look says only of those that it listed.
//!
//! Source: Hudi `TimelineArchiverV2.archiveIfRequired`, `BaseRollbackHelper`,
//! `BaseRestoreActionExecutor`, `BaseHoodieWriteClient.startCommit`.

use std::sync::Arc;
use std::time::Duration;

use table_sync_core::{InstantTime, RelPath, SourceError};
use tokio::time::Instant as Moment;

use crate::instant::Layout;
use crate::log::HudiLog;
use crate::timeline::{Instant, Stretch, Timeline, name_in, properties_key};

/// Further looks between two whole ones.
const FURTHER_MAX: u32 = 64;

/// A further look takes nothing for settled that was listed longer ago.
const WHOLE_EVERY: Duration = Duration::from_secs(300);

/// What is not settled may grow to so many names, four pages of a listing.
const UNSETTLED_MAX: usize = 4_000;

/// How far before the newest instant a timeline may be settled.
///
/// A listing brings a thousand names for one request: what is not settled fits one page, with a
/// hundred commits more. Timelines up to this margin are always listed whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Margin {
    /// The newest names.
    pub names: usize,
    /// The newest commits.
    pub commits: usize,
}

impl Default for Margin {
    fn default() -> Self {
        Self { names: 600, commits: 8 }
    }
}

/// The last look at a timeline.
#[derive(Clone)]
pub(crate) struct Look {
    pub(crate) timeline: Arc<Timeline>,
    /// When the last whole look began.
    whole_at: Moment,
    /// Looks since then.
    further: u32,
    /// Every rollback and restore in it was complete before the last whole look began.
    is_confirmed: bool,
}

/// Looks at a table; lists everything only where that is needed. `None` where there is none.
pub(crate) async fn look(log: &HudiLog) -> Result<Option<Arc<Timeline>>, SourceError> {
    if let Some(last) = log.cache(|cache| cache.look())
        && let Some(timeline) = last.further(log).await?
    {
        return Ok(Some(last.kept(log, timeline, last.further + 1)));
    }
    let Some(whole) = Look::list(log).await? else { return Ok(None) };
    // While many pages were listed, one commit may have completed behind the listing, and a later
    // one before it. What is not settled takes a page.
    match whole.further(log).await? {
        None => Ok(Some(whole.timeline)),
        Some(mut timeline) => {
            timeline.is_whole = true;
            Ok(Some(whole.kept(log, timeline, 0)))
        }
    }
}

/// Looks at a table, and lists everything. `None` where there is none.
pub(crate) async fn whole(log: &HudiLog) -> Result<Option<Arc<Timeline>>, SourceError> {
    Ok(Look::list(log).await?.map(|look| look.timeline))
}

impl Look {
    /// Lists everything.
    async fn list(log: &HudiLog) -> Result<Option<Self>, SourceError> {
        let last = log.cache(|cache| cache.look());
        let whole_at = Moment::now();
        let Some(mut timeline) = Timeline::list(log).await? else { return Ok(None) };
        if let Some(before) = settled_before(&timeline, log.margin()) {
            timeline.settle(before);
        }
        let is_known = |at: &Instant| {
            let known = last.as_ref().and_then(|last| last.timeline.object(&at.key));
            known.is_some_and(|(_, object)| *object == at.object)
        };
        let is_confirmed = timeline.instants().filter(|at| at.takes_back()).all(is_known);
        let look = Self { timeline: Arc::new(timeline), whole_at, further: 0, is_confirmed };
        log.cache(|cache| cache.put_look(look.clone()));
        Ok(Some(look))
    }

    /// Keeps what was seen since for the next look.
    fn kept(&self, log: &HudiLog, timeline: Timeline, further: u32) -> Arc<Timeline> {
        let timeline = Arc::new(timeline);
        let look = Self { timeline: Arc::clone(&timeline), further, ..self.clone() };
        log.cache(|cache| cache.put_look(look));
        timeline
    }

    /// Looks again at what is not settled; `None` where that does not count.
    async fn further(&self, log: &HudiLog) -> Result<Option<Timeline>, SourceError> {
        let old = &*self.timeline;
        let Some(from) = old.unsettled_from.filter(|_| self.may_go_on()) else { return Ok(None) };
        let (key, name) = (properties_key()?, from.to_string());
        let (properties, listed) =
            futures::try_join!(log.head(&key), log.list_from(old.folder.as_str(), &name))?;
        if properties.as_ref() != Some(&old.properties_read.object) {
            return Ok(None);
        }
        // What is refused, a whole look refuses.
        let Ok(recent) = Stretch::of(listed, &old.folder, old.layout) else { return Ok(None) };
        Ok(goes_on(old, &recent, from).then(|| old.followed_by(recent)))
    }

    fn may_go_on(&self) -> bool {
        self.is_confirmed
            && self.further < FURTHER_MAX
            && self.whole_at.elapsed() < WHOLE_EVERY
            && self.timeline.recent.objects.len() <= UNSETTLED_MAX
    }
}

/// The id before which a timeline is settled, where some of it is.
fn settled_before(timeline: &Timeline, margin: Margin) -> Option<InstantTime> {
    let names = timeline.recent.objects.len();
    if timeline.layout == Layout::V1 || names <= margin.names {
        return None;
    }
    let name = |key: &RelPath| timeline.name_of(key).map(|name| name.requested);
    let keys = timeline.recent.objects.keys().rev();
    let by_names = keys.filter_map(name).nth(margin.names.saturating_sub(1))?;
    let commits = timeline.instants().rev().filter(|at| at.is_commit());
    let by_commits = commits.take(margin.commits).last()?.name.requested;
    let mut pending = timeline.instants().filter(|at| !at.is_completed());
    let pending = pending.next().map_or(by_commits, |at| at.name.requested);
    Some(by_names.min(by_commits).min(pending))
}

/// Whether all that a further look found are new instants at the end.
fn goes_on(old: &Timeline, recent: &Stretch, from: InstantTime) -> bool {
    let seen = &old.recent.objects;
    if seen.iter().any(|(key, object)| recent.objects.get(key) != Some(object)) {
        return false;
    }
    let newest = old.instants().next_back().map(|at| at.name.requested);
    let is_new = |key: &RelPath| {
        // The history, or what no writer is known to leave there.
        let Some(name) = name_in(&old.folder, key, old.layout) else { return false };
        let id = name.requested;
        id >= from && (Some(id) > newest || old.of(id).next().is_some())
    };
    let mut added = recent.objects.keys().filter(|key| !seen.contains_key(key));
    let takes_back =
        |at: &Instant| at.takes_back() && (!at.is_completed() || !seen.contains_key(&at.key));
    added.all(is_new) && !recent.instants.iter().any(takes_back)
}
