//! The source's side of a Delta log.

use async_trait::async_trait;
use table_sync_core::{
    Description, FileRef, FileStream, Late, Planned, PlannedKind, Position, ReplicaView, Retire,
    SeenCommit, SetDigest, SourceError, SourceLog, SourceView,
};

use crate::describe::{describe_append, read_commit};
use crate::jump::describe_jump;
use crate::listing::Listing;
use crate::live::{self, Replay};
use crate::log::{DeltaLog, key_error};
use crate::name::commit_key;
use crate::observe::{observe, source_view};

impl DeltaLog {
    /// A listing that reaches down to what a replay of `version` needs.
    pub(crate) async fn covering(
        &self,
        view: &SourceView,
        version: u64,
    ) -> Result<Listing, SourceError> {
        let listing = Listing::of(&view.objects);
        if view.listed_from.is_none() || Replay::to(&listing, version).is_some() {
            return Ok(listing);
        }
        Ok(Listing::of(&observe(&self.reader, None).await?.objects))
    }

    async fn replay(&self, view: &SourceView, version: u64) -> Result<Vec<Replay>, SourceError> {
        let listing = self.covering(view, version).await?;
        let replays = Replay::candidates(&listing, version, false);
        if replays.is_empty() {
            let path = commit_key(version).map_err(key_error)?;
            return Err(SourceError::Missing { path });
        }
        Ok(replays)
    }
}

/// The version of a position of this format.
fn version(position: Position) -> u64 {
    match position {
        Position::Version(version) => version,
        // Positions of other formats never reach a Delta log; the last version has no commit.
        _ => u64::MAX,
    }
}

#[async_trait]
impl SourceLog for DeltaLog {
    fn format(&self) -> &'static str {
        "delta"
    }

    async fn observe(&self, after: Option<Position>) -> Result<SourceView, SourceError> {
        Ok(source_view(observe(&self.reader, after.map(version)).await?))
    }

    async fn describe(
        &self,
        view: &SourceView,
        planned: &Planned,
    ) -> Result<Description, SourceError> {
        match planned.kind {
            PlannedKind::Append => describe_append(&self.reader, version(planned.position)).await,
            _ => describe_jump(&self.reader, view, version(planned.position)).await,
        }
    }

    async fn late(
        &self,
        view: &SourceView,
        replica: &ReplicaView,
        through: Position,
    ) -> Result<Late, SourceError> {
        crate::late::late(self, view, replica, version(through)).await
    }

    async fn commit(&self, position: Position) -> Result<Option<SeenCommit>, SourceError> {
        let read = read_commit(&self.reader, version(position)).await?;
        Ok(read.map(|read| SeenCommit {
            position,
            sha256: read.sha256,
            identity: read.object.identity,
        }))
    }

    async fn moved_past(&self, head: Position) -> Result<bool, SourceError> {
        let Some(next) = version(head).checked_add(1) else { return Ok(false) };
        let key = commit_key(next).map_err(key_error)?;
        Ok(self.reader.head(&key).await?.is_some())
    }

    async fn unchanged(&self, seen: &SeenCommit) -> Result<bool, SourceError> {
        let key = commit_key(version(seen.position)).map_err(key_error)?;
        Ok(self.reader.head(&key).await?.is_some_and(|now| now.identity == seen.identity))
    }

    async fn table_id(
        &self,
        view: &SourceView,
        position: Position,
    ) -> Result<Option<String>, SourceError> {
        let listing = self.covering(view, version(position)).await?;
        live::table_id(&self.reader, &listing, version(position)).await
    }

    async fn live_at_head(
        &self,
        view: &SourceView,
        file: &FileRef,
        since: Position,
    ) -> Result<bool, SourceError> {
        let Some(head) = view.head().map(version) else { return Ok(false) };
        let listing = self.covering(view, head).await?;
        live::live_at(&self.reader, &listing, file, version(since), head).await
    }

    async fn live_files(
        &self,
        view: &SourceView,
        position: Position,
    ) -> Result<FileStream, SourceError> {
        let replays = self.replay(view, version(position)).await?;
        let replay = live::first_readable(&self.reader, replays).await?;
        Ok(live::refs(replay.files(&self.reader)))
    }

    async fn retirable(
        &self,
        view: &SourceView,
        retire: Retire,
    ) -> Result<FileStream, SourceError> {
        let promised = version(retire.promised);
        let listing = self.covering(view, promised).await?;
        let replays = self.replay(view, promised).await?;
        let replay = live::first_readable(&self.reader, replays).await?;
        let live = replay.files(&self.reader);
        let head = view.head().map_or(promised, version);
        // The change data of `after` itself was kept as long as it was the promised version.
        let range = retire.after.map_or(0, version)..=promised;
        let later = promised.saturating_add(1)..=head;
        crate::retire::retirable(&self.reader, &listing, range, live, later).await
    }

    async fn deadline_ms(
        &self,
        view: &SourceView,
        oldest: Position,
        _now_ms: i64,
    ) -> Result<Option<i64>, SourceError> {
        crate::headroom::deadline_ms(self, view, version(oldest)).await
    }

    async fn live_digest(
        &self,
        view: &SourceView,
        position: Position,
    ) -> Result<SetDigest, SourceError> {
        let replays = self.replay(view, version(position)).await?;
        let replay = live::first_readable(&self.reader, replays).await?;
        live::digest(&self.reader, replay.files(&self.reader)).await
    }
}
