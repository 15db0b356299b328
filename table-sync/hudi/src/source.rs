//! A timeline as the engine sees it: commits form a set, and each has its own object.

use async_trait::async_trait;
use table_sync_core::{
    BaseEntry, CommitEntry, CommitSet, Description, Detail, FileRef, FileStream, Follows, Late,
    Planned, PlannedKind, Position, Publication, ReplicaView, Retire, SeenCommit, SetDigest,
    SourceError, SourceLog, SourceView,
};

use crate::instant::Layout;
use crate::log::{HudiLog, Side, Slices};
use crate::mark::Mark;
use crate::properties::FILE_NAME;
use crate::timeline::{Instant, Timeline, meta_key, properties_key};
use crate::{append, archived, guard, headroom, jump, late, look, poll, retire, state, unpublish};

#[async_trait]
impl SourceLog for HudiLog {
    fn format(&self) -> &'static str {
        "hudi"
    }

    async fn observe(&self, after: Option<Position>) -> Result<SourceView, SourceError> {
        let replica = self.options().side == Side::Replica;
        let timeline = match after {
            // Removals are decided by a replica's own view of itself, and a first publication is
            // one of the whole timeline.
            Some(_) if !replica => look::look(self).await?,
            _ => Timeline::load(self).await?,
        };
        let Some(timeline) = timeline else { return Ok(SourceView::default()) };
        let mut set = CommitSet {
            archived_below: timeline.start,
            retracted: archived::retracted(self, &timeline).await?,
            shape: shape(&timeline),
            switchable: timeline.layout == Layout::V2 || unpublish::applies(&timeline),
            forgets: replica && retire::forgets(&timeline),
            ..CommitSet::default()
        };
        if let Some(after) = after
            && let Some(archived) = archived::commits(self, &timeline, after).await?
        {
            // Where it was read it tells; what is older than all of it was purged.
            set.archived_below = archived.first().copied();
            set.archived = archived;
        }
        if !timeline.is_whole {
            // Of what is settled such a look does not tell what became of it.
            set.archived_below = timeline.unsettled_from;
        }
        let gone = archived::gone(self, &timeline).await?;
        let there = timeline.commits().into_iter();
        let there = there.filter(|at| gone.is_empty() || !gone.contains(&at.name.requested));
        let commits: Vec<_> = there.map(|at| entry(&timeline, at, replica)).collect();
        let head = commits.last().map(|commit| commit.position);
        let mut bases: Vec<_> = head.map(|position| BaseEntry { position }).into_iter().collect();
        if let Some(pending) = too_early(&timeline)
            && after.is_none()
        {
            bases.clear();
            set.wait = Some(format!(
                "the first publication waits for {pending}, which is older than every completed \
                 write: what it writes would be visible before it completes"
            ));
        }
        let mut objects = timeline.telling();
        objects.insert(properties_key()?, timeline.properties_read.object.clone());
        let detail = Some(timeline as Detail);
        Ok(SourceView { commits, bases, objects, listed_from: None, set: Some(set), detail })
    }

    async fn describe(
        &self,
        view: &SourceView,
        planned: &Planned,
    ) -> Result<Description, SourceError> {
        let timeline = timeline(view)?;
        match planned.kind {
            PlannedKind::Jump => jump::describe(self, timeline, planned.position).await,
            _ => append::describe(self, timeline, planned.position).await,
        }
    }

    async fn tailor(
        &self,
        view: &SourceView,
        description: &Description,
        replica: &ReplicaView,
    ) -> Result<Publication, SourceError> {
        jump::tailor(self, timeline(view)?, description, replica).await
    }

    fn round_max(&self, view: &SourceView) -> Option<usize> {
        // The guard asks what the replica holds, and its last publication changed that. A plan is
        // written ahead of the files of its compaction: earlier commits must be there before.
        let alone = |timeline: &&Timeline| guard::applies(self, timeline) || timeline.has_plans();
        timeline(view).ok().filter(alone).map(|_| 1)
    }

    async fn late(
        &self,
        view: &SourceView,
        replica: &ReplicaView,
        through: Position,
    ) -> Result<Late, SourceError> {
        late::late(self, timeline(view)?, (view, replica), through).await
    }

    async fn commit(&self, position: Position) -> Result<Option<SeenCommit>, SourceError> {
        let Some(requested) = position.requested() else { return Ok(None) };
        let known = self.cache(|cache| cache.key(requested));
        let mut read = match &known {
            Some(key) => self.read(key, None).await?,
            None => None,
        };
        if read.is_none() {
            // It may have another name by now: look for the id.
            let Some(timeline) = Timeline::load(self).await? else { return Ok(None) };
            let Some(instant) = timeline.commit(requested) else { return Ok(None) };
            read = self.read(&instant.key, None).await?;
        }
        Ok(read.map(|read| SeenCommit {
            position,
            sha256: read.sha256,
            identity: read.object.identity,
        }))
    }

    async fn moved_past(&self, head: Position) -> Result<bool, SourceError> {
        if let Some(last) = self.cache(|cache| cache.look())
            && poll::is_unchanged(self, &last.timeline, head).await?
        {
            return Ok(false);
        }
        let Some(timeline) = look::look(self).await? else { return Ok(true) };
        Ok(poll::has_moved(&timeline, head))
    }

    fn mark(&self, view: &SourceView) -> Option<String> {
        let timeline = timeline(view).ok()?;
        let waits = view.set.as_ref().is_some_and(|set| set.wait.is_some());
        let moved = waits || poll::has_moved(timeline, view.head()?);
        let mark = Mark::of(self, timeline).ok().filter(|_| !moved)?;
        Some(mark.to_string())
    }

    async fn stands(&self, mark: &str) -> Result<bool, SourceError> {
        match Mark::parse(mark) {
            Some(mark) => mark.stands(self).await,
            None => Ok(false),
        }
    }

    async fn unchanged(&self, seen: &SeenCommit) -> Result<bool, SourceError> {
        let Some(requested) = seen.position.requested() else { return Ok(false) };
        let known = self.cache(|cache| cache.key(requested));
        if let Some(key) = known
            && let Some(object) = self.head(&key).await?
        {
            return Ok(seen.identity.is_same(&object.identity));
        }
        let Some(timeline) = Timeline::load(self).await? else { return Ok(false) };
        let same = |instant: &Instant| seen.identity.is_same(&instant.object.identity);
        // Archival takes old commits away without changing them.
        let archived = timeline.start.is_some_and(|start| requested < start);
        Ok(archived || timeline.commit(requested).is_some_and(same))
    }

    async fn table_id(
        &self,
        _view: &SourceView,
        _position: Position,
    ) -> Result<Option<String>, SourceError> {
        Ok(None)
    }

    async fn live_at_head(
        &self,
        view: &SourceView,
        file: &FileRef,
        since: Position,
    ) -> Result<bool, SourceError> {
        let timeline = timeline(view)?;
        if timeline.is_whole {
            return state::is_live(self, timeline, file, since).await;
        }
        // That the source is damaged is not said after half a look.
        let whole = Timeline::load(self).await?;
        state::is_live(self, whole.as_deref().unwrap_or(timeline), file, since).await
    }

    async fn live_files(
        &self,
        view: &SourceView,
        position: Position,
    ) -> Result<FileStream, SourceError> {
        let files = state::files(self, timeline(view)?, position, Slices::Latest).await?;
        Ok(files.stream())
    }

    async fn retirable(
        &self,
        view: &SourceView,
        retire: Retire,
    ) -> Result<FileStream, SourceError> {
        retire::retirable(self, timeline(view)?, retire).await
    }

    async fn deadline_ms(
        &self,
        view: &SourceView,
        oldest: Position,
        now_ms: i64,
    ) -> Result<Option<i64>, SourceError> {
        headroom::deadline_ms(self, timeline(view)?, view, oldest, now_ms).await
    }

    async fn live_digest(
        &self,
        view: &SourceView,
        position: Position,
    ) -> Result<SetDigest, SourceError> {
        state::digest(self, timeline(view)?, position).await
    }
}

fn entry(timeline: &Timeline, instant: &Instant, replica: bool) -> CommitEntry {
    let created_ms = instant.object.modified_ms;
    CommitEntry {
        position: instant.position(),
        follows: Follows::Independent,
        committed_ms: if replica { timeline.visible_ms(instant) } else { created_ms },
    }
}

/// The layout of a timeline, as the planner compares it.
pub(crate) fn shape(timeline: &Timeline) -> u32 {
    match timeline.layout {
        Layout::V1 => 1,
        Layout::V2 => 2,
    }
}

/// A write that is not done yet and older than every completed one.
fn too_early(timeline: &Timeline) -> Option<table_sync_core::InstantTime> {
    let pending = timeline.earliest_pending()?;
    timeline.start.is_none_or(|start| pending < start).then_some(pending)
}

/// The timeline from which a view was made.
pub(crate) fn timeline(view: &SourceView) -> Result<&Timeline, SourceError> {
    let detail = view.detail.as_ref().and_then(|detail| detail.downcast_ref::<Timeline>());
    detail.ok_or_else(|| match meta_key(FILE_NAME) {
        Ok(path) => SourceError::Missing { path },
        Err(error) => error,
    })
}
