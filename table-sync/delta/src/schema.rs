//! The columns of a table at one version, for those who describe it to others.

use table_sync_core::{SourceError, SourceLog};

use crate::listing::Listing;
use crate::live::{self, Replay};
use crate::log::DeltaLog;

impl DeltaLog {
    /// The columns at a version, as the log states them: a schema of Spark, in JSON. `None` where
    /// readers cannot open that version.
    ///
    /// Costs a listing of the log, and a read of each commit back to one that states columns, or
    /// to a checkpoint.
    ///
    /// # Errors
    /// The log cannot be read.
    ///
    /// # Source
    /// Delta protocol, "Schema Serialization Format".
    pub async fn schema(&self, version: u64) -> Result<Option<String>, SourceError> {
        let view = SourceLog::observe(self, None).await?;
        let listing = Listing::of(&view.objects);
        if Replay::to(&listing, version).is_none() {
            return Ok(None);
        }
        let metadata = live::metadata(&self.reader, &listing, version).await?;
        Ok(metadata.and_then(|metadata| metadata.schema))
    }
}
