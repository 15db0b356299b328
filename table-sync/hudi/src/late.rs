//! What changes without a commit: the table's properties, and what a stopped run left to trim.
//!
//! Properties are compared by key, since a replica has edits of its own. A change of what the
//! table is takes effect only together with the source's newest state: an older one may not read
//! under it.

use table_sync_core::{
    Body, Expect, Kind, Late, Op, Position, Publication, ReplicaView, SourceError, SourceView, Step,
};

use crate::jump::replica_properties;
use crate::log::HudiLog;
use crate::properties::key;
use crate::timeline::{Timeline, properties_key};
use crate::{guard, mirror};

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
    if guard::applies(log, timeline) {
        late.publications.extend(guard::left_below(log, timeline, held, through).await?);
    }
    let is_head = view.head().is_none_or(|head| view.same(through) >= head);
    if is_head {
        let gained = mirror::late(log, timeline, held, &mut late.warnings).await?;
        let properties = properties(log, timeline, held, gained, through)?;
        late.publications.extend(properties);
    }
    Ok(late)
}

/// The properties, where they say something else than the replica's, after what has to be there
/// before they are read.
fn properties(
    log: &HudiLog,
    timeline: &Timeline,
    held: &Timeline,
    gained: Option<(Vec<Step>, String)>,
    through: Position,
) -> Result<Option<Publication>, SourceError> {
    let partitions = match &gained {
        Some((_, partitions)) => Some(partitions.as_str()),
        None => mirror::kept(log, timeline, held),
    };
    let changed = timeline.properties.meaning() != held.properties.meaning();
    let leaves = partitions.is_none() && mirror::is_used(held);
    if !changed && !leaves && gained.is_none() {
        return Ok(None);
    }
    let own_path = held.properties.get(key::TIMELINE_PATH);
    let step = Step {
        key: properties_key()?,
        body: Body::Bytes(replica_properties(&timeline.properties, own_path, partitions)),
        op: Op::Replace { expect: Expect::Identity(held.properties_read.object.identity.clone()) },
        reveals: None,
    };
    let staged = gained.map(|(staged, _)| staged).unwrap_or_default();
    Ok(Some(Publication { staged, ..Publication::of(through, Kind::Attach, vec![step]) }))
}
