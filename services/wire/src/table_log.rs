//! A table's log, whatever its format: found out at the first look, unless it was named.
//!
//! A Delta log is looked for first, so that for a Delta table nothing is asked twice. A folder
//! that holds both is taken for Delta, unless it was named.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use table_sync_core::{
    Description, Farewell, FileRef, FileStream, Hint, Late, Planned, Pointer, Position,
    Publication, ReplicaError, ReplicaLog, ReplicaView, Retire, SeenCommit, SetDigest, SourceError,
    SourceLog, SourceView,
};
use table_sync_delta::DeltaLog;
use table_sync_hudi::HudiLog;

use crate::Format;

/// A table's log, whatever its format: see the module.
pub struct TableLog {
    /// The log, read as Delta.
    pub delta: DeltaLog,
    /// The log, read as Hudi.
    pub hudi: HudiLog,
    /// The source's log, for a replica: it has the source's format.
    source: Option<Arc<TableLog>>,
    found: OnceLock<Format>,
}

impl TableLog {
    /// A source's log. `format`: what it is, where that was said.
    pub(crate) fn source(delta: DeltaLog, hudi: HudiLog, format: Option<Format>) -> Self {
        let found = format.map_or_else(OnceLock::new, OnceLock::from);
        Self { delta, hudi, source: None, found }
    }

    /// The log of a replica of `source`.
    pub(crate) fn replica(delta: DeltaLog, hudi: HudiLog, source: &Arc<Self>) -> Self {
        Self { delta, hudi, source: Some(Arc::clone(source)), found: OnceLock::new() }
    }

    /// The format, as far as it is known without a look.
    pub fn known(&self) -> Option<Format> {
        self.found.get().or_else(|| self.source.as_ref()?.found.get()).copied()
    }

    /// The format, by a look at the source where it is not known. A folder without any table is
    /// taken for Delta, whose reader says what is missing.
    ///
    /// # Errors
    /// A source that cannot be looked at.
    pub async fn format_of_source(&self) -> Result<Format, SourceError> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let source = self.source.as_deref().unwrap_or(self);
        let view = SourceLog::observe(&source.delta, None).await?;
        if view.objects.is_empty() && source.hudi.exists().await? {
            return Ok(*source.found.get_or_init(|| Format::Hudi));
        }
        if !view.objects.is_empty() {
            return Ok(*source.found.get_or_init(|| Format::Delta));
        }
        Ok(Format::Delta)
    }

    fn log(&self) -> &dyn SourceLog {
        match self.known() {
            Some(Format::Hudi) => &self.hudi,
            Some(Format::Delta) | None => &self.delta,
        }
    }
}

#[async_trait]
impl SourceLog for TableLog {
    fn format(&self) -> &'static str {
        self.log().format()
    }

    async fn observe(&self, after: Option<Position>) -> Result<SourceView, SourceError> {
        if self.known().is_some() {
            return self.log().observe(after).await;
        }
        let view = SourceLog::observe(&self.delta, after).await?;
        if !view.objects.is_empty() {
            self.found.get_or_init(|| Format::Delta);
            return Ok(view);
        }
        if self.format_of_source().await? == Format::Hudi {
            return SourceLog::observe(&self.hudi, after).await;
        }
        Ok(view)
    }

    async fn describe(
        &self,
        view: &SourceView,
        planned: &Planned,
    ) -> Result<Description, SourceError> {
        self.log().describe(view, planned).await
    }

    async fn tailor(
        &self,
        view: &SourceView,
        description: &Description,
        replica: &ReplicaView,
    ) -> Result<Publication, SourceError> {
        self.log().tailor(view, description, replica).await
    }

    fn round_max(&self, view: &SourceView) -> Option<usize> {
        self.log().round_max(view)
    }

    async fn late(
        &self,
        view: &SourceView,
        replica: &ReplicaView,
        through: Position,
    ) -> Result<Late, SourceError> {
        self.log().late(view, replica, through).await
    }

    async fn commit(&self, position: Position) -> Result<Option<SeenCommit>, SourceError> {
        self.log().commit(position).await
    }

    async fn moved_past(&self, head: Position) -> Result<bool, SourceError> {
        self.log().moved_past(head).await
    }

    fn mark(&self, view: &SourceView) -> Option<String> {
        self.log().mark(view)
    }

    /// Only logs of Hudi have marks.
    async fn stands(&self, mark: &str) -> Result<bool, SourceError> {
        let stands =
            self.known() != Some(Format::Delta) && SourceLog::stands(&self.hudi, mark).await?;
        if stands {
            self.found.get_or_init(|| Format::Hudi);
        }
        Ok(stands)
    }

    async fn unchanged(&self, seen: &SeenCommit) -> Result<bool, SourceError> {
        self.log().unchanged(seen).await
    }

    async fn table_id(
        &self,
        view: &SourceView,
        position: Position,
    ) -> Result<Option<String>, SourceError> {
        self.log().table_id(view, position).await
    }

    async fn live_at_head(
        &self,
        view: &SourceView,
        file: &FileRef,
        since: Position,
    ) -> Result<bool, SourceError> {
        self.log().live_at_head(view, file, since).await
    }

    async fn live_files(
        &self,
        view: &SourceView,
        position: Position,
    ) -> Result<FileStream, SourceError> {
        self.log().live_files(view, position).await
    }

    async fn retirable(
        &self,
        view: &SourceView,
        retire: Retire,
    ) -> Result<FileStream, SourceError> {
        self.log().retirable(view, retire).await
    }

    async fn deadline_ms(
        &self,
        view: &SourceView,
        oldest: Position,
        now_ms: i64,
    ) -> Result<Option<i64>, SourceError> {
        self.log().deadline_ms(view, oldest, now_ms).await
    }

    async fn live_digest(
        &self,
        view: &SourceView,
        position: Position,
    ) -> Result<SetDigest, SourceError> {
        self.log().live_digest(view, position).await
    }
}

#[async_trait]
impl ReplicaLog for TableLog {
    /// The logs lie in different folders, so that the format need not be known.
    fn farewell(&self, key: &str) -> Farewell {
        self.delta.farewell(key).min(self.hudi.farewell(key))
    }

    async fn observe(&self, hint: Option<Hint>) -> Result<ReplicaView, ReplicaError> {
        match self.known() {
            Some(Format::Hudi) => return ReplicaLog::observe(&self.hudi, hint).await,
            Some(Format::Delta) => return ReplicaLog::observe(&self.delta, hint).await,
            None => {}
        }
        let view = ReplicaLog::observe(&self.delta, hint).await?;
        if !view.objects.is_empty() {
            return Ok(view);
        }
        match self.format_of_source().await {
            Ok(Format::Delta) => Ok(view),
            Err(SourceError::Blocked(blocked)) => Err(blocked.into()),
            // No Delta log is here. Where the source does not answer, the look at it that follows
            // says so.
            Ok(Format::Hudi) | Err(_) => ReplicaLog::observe(&self.hudi, hint).await,
        }
    }

    fn mark(&self, view: &ReplicaView) -> Option<String> {
        match self.known() {
            Some(Format::Hudi) => ReplicaLog::mark(&self.hudi, view),
            _ => ReplicaLog::mark(&self.delta, view),
        }
    }

    async fn stands(&self, mark: &str) -> Result<bool, ReplicaError> {
        Ok(self.known() != Some(Format::Delta) && ReplicaLog::stands(&self.hudi, mark).await?)
    }

    async fn pointer(&self, view: &ReplicaView) -> Result<Option<Pointer>, ReplicaError> {
        match self.known() {
            Some(Format::Hudi) => self.hudi.pointer(view).await,
            _ => self.delta.pointer(view).await,
        }
    }

    async fn table_id(&self, view: &ReplicaView) -> Result<Option<String>, ReplicaError> {
        match self.known() {
            Some(Format::Hudi) => ReplicaLog::table_id(&self.hudi, view).await,
            _ => ReplicaLog::table_id(&self.delta, view).await,
        }
    }
}
