//! A replica's timeline, as its only writer sees it.

use std::sync::Arc;

use async_trait::async_trait;
use table_sync_core::{
    BlockCode, Blocked, Detail, Hint, ReplicaError, ReplicaLog, ReplicaView, SourceError,
};

use crate::log::{HudiLog, META_FOLDER};
use crate::source::shape;
use crate::timeline::{Timeline, properties_key};
use crate::{guard, mirror};

#[async_trait]
impl ReplicaLog for HudiLog {
    async fn observe(&self, _hint: Option<Hint>) -> Result<ReplicaView, ReplicaError> {
        look(self).await.map_err(replica_error)
    }

    async fn table_id(&self, _view: &ReplicaView) -> Result<Option<String>, ReplicaError> {
        Ok(None)
    }
}

async fn look(log: &HudiLog) -> Result<ReplicaView, SourceError> {
    let Some(mut timeline) = Timeline::load(log).await? else {
        // Without properties there is no table: whatever is here was staged, and never seen.
        let objects = log.list("").await?;
        return Ok(ReplicaView { objects, ..ReplicaView::default() });
    };
    mirror::list_held(log, &mut timeline).await?;
    if guard::applies(log, &timeline) {
        timeline.hiding = Some(guard::hiding(log, &timeline).await?);
    }
    let commits = timeline.commits();
    let head = commits.last().map(|commit| commit.position());
    let earliest_readable = commits.first().map(|commit| commit.position());
    // A published plan is part of the timeline, and its compaction is still to come.
    let floor = timeline.earliest_pending();
    let holds = commits.iter().map(|commit| commit.name.requested).collect();
    let mut objects = timeline.objects.clone();
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
