//! A replica's timeline, as its only writer sees it.

use std::sync::Arc;

use async_trait::async_trait;
use table_sync_core::{
    BlockCode, Blocked, Detail, Farewell, Hint, ReplicaError, ReplicaLog, ReplicaView, SourceError,
};

use crate::log::{HudiLog, META_FOLDER};
use crate::mark::Mark;
use crate::source::shape;
use crate::timeline::{Timeline, properties_key};
use crate::{guard, look, mirror};

#[async_trait]
impl ReplicaLog for HudiLog {
    /// Without its properties, and their back-up, a folder is no table.
    fn farewell(&self, key: &str) -> Farewell {
        match key {
            ".hoodie/hoodie.properties" | ".hoodie/hoodie.properties.backup" => Farewell::Entry,
            _ if key.starts_with(".hoodie/") => Farewell::Log,
            _ => Farewell::Data,
        }
    }

    async fn observe(&self, hint: Option<Hint>) -> Result<ReplicaView, ReplicaError> {
        view(self, hint).await.map_err(replica_error)
    }

    fn mark(&self, view: &ReplicaView) -> Option<String> {
        let timeline = view.detail.as_ref()?.downcast_ref::<Timeline>()?;
        // What a mirrored metadata table lacks shows in neither timeline.
        let lacks = mirror::is_unsettled(self, timeline);
        let mark = Mark::of(self, timeline).ok().filter(|_| !lacks)?;
        Some(mark.to_string())
    }

    async fn stands(&self, mark: &str) -> Result<bool, ReplicaError> {
        match Mark::parse(mark) {
            Some(mark) => mark.stands(self).await.map_err(replica_error),
            None => Ok(false),
        }
    }

    async fn table_id(&self, _view: &ReplicaView) -> Result<Option<String>, ReplicaError> {
        Ok(None)
    }
}

/// Looks at the timeline.
///
/// Publishing does not only add at the end: a commit that completed late may have any id, and
/// another process may have published it. Each pass gives along what was published last, so
/// everything is listed unless that is a commit which this process saw or announced.
async fn timeline(log: &HudiLog, hint: Option<Hint>) -> Result<Option<Arc<Timeline>>, SourceError> {
    let head = hint.and_then(|hint| hint.head.requested());
    let last = log.cache(|cache| cache.look());
    match head.zip(last) {
        Some((head, last)) if last.timeline.expects(head) => look::look(log).await,
        _ => Timeline::load(log).await,
    }
}

async fn view(log: &HudiLog, hint: Option<Hint>) -> Result<ReplicaView, SourceError> {
    let Some(timeline) = timeline(log, hint).await? else {
        // Without properties there is no table: whatever is here was staged, and never seen.
        let objects = log.list("").await?;
        return Ok(ReplicaView { objects, ..ReplicaView::default() });
    };
    // What this look adds is not kept for the next one.
    let mut timeline = Timeline::clone(&timeline);
    mirror::list_held(log, &mut timeline).await?;
    if guard::applies(log, &timeline) {
        timeline.hiding = Some(guard::hiding(log, &timeline).await?);
    }
    let commits = timeline.commits();
    let head = commits.last().map(|commit| commit.position());
    let earliest_readable = commits.first().map(|commit| commit.position());
    // A published plan is part of the timeline, and its compaction is still to come.
    let floor = timeline.earliest_pending();
    let holds = timeline.instants().filter(|at| at.is_commit()).map(|at| at.name.requested);
    let holds = holds.collect();
    let mut objects = timeline.telling();
    if mirror::is_unsettled(log, &timeline) {
        // Both sides may look as before and yet something is to be done.
        objects.insert(properties_key()?, timeline.properties_read.object.clone());
    }
    Ok(ReplicaView {
        head,
        earliest_readable,
        objects,
        holds: Some(holds),
        floor,
        shape: shape(&timeline),
        detail: Some(Arc::new(timeline) as Detail),
        ..ReplicaView::default()
    })
}

/// At a target, what is missing or damaged was not left so by this program.
fn replica_error(error: SourceError) -> ReplicaError {
    match error {
        SourceError::Blocked(blocked) => ReplicaError::Blocked(blocked),
        SourceError::Io { path, source } => ReplicaError::Io { path, source },
        SourceError::Changed { path } => {
            ReplicaError::Io { path: path.to_string(), source: "changed while it was read".into() }
        }
        SourceError::Missing { path } => {
            let message = format!("{path} is missing at the target");
            Blocked::table(BlockCode::Diverged, message).into()
        }
        SourceError::Damaged { position, message, .. } => {
            let message = format!("instant {position} at the target does not parse: {message}");
            Blocked::at(BlockCode::Diverged, position, message).into()
        }
        error => ReplicaError::Io { path: META_FOLDER.to_owned(), source: error.into() },
    }
}
