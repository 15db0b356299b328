//! What changes without a commit: the table's properties, and what a stopped run left to trim.
//!
//! Properties are compared by key, since a replica has edits of its own. A change of what the
//! table is takes effect only together with the source's newest state: an older one may not read
//! under it.

use table_sync_core::{
    Body, Expect, Kind, Late, Op, Position, Publication, ReplicaView, SourceError, SourceView, Step,
};

use crate::guard;
use crate::jump::replica_properties;
use crate::log::HudiLog;
use crate::properties::key;
use crate::timeline::{Timeline, properties_key};

/// What the replica lacks beside commits.
pub(crate) async fn late(
    log: &HudiLog,
    timeline: &Timeline,
    (view, replica): (&SourceView, &ReplicaView),
    through: Position,
) -> Result<Late, SourceError> {
    let mut late = Late::default();
    let held = replica.detail.as_ref().and_then(|detail| detail.downcast_ref::<Timeline>());
    let Some(held) = held else { return Ok(late) };
    if view.head().is_some_and(|head| view.same(through) < head) {
        return Ok(late);
    }
    let mut steps = Vec::new();
    if guard::applies(log, timeline) {
        steps.extend(guard::left_below(log, timeline, held).await?);
    }
    if timeline.properties.meaning() != held.properties.meaning() {
        let own_path = held.properties.get(key::TIMELINE_PATH);
        let bytes = replica_properties(log, &timeline.properties, own_path);
        let expect = Expect::Identity(held.properties_read.object.identity.clone());
        steps.push(Step {
            key: properties_key()?,
            body: Body::Bytes(bytes),
            op: Op::Replace { expect },
            reveals: None,
        });
    }
    if !steps.is_empty() {
        late.publications.push(Publication::of(through, Kind::Attach, steps));
    }
    Ok(late)
}
