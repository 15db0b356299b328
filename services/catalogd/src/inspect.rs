//! Looking at a table before it is registered, and planning one that is: a seam, since this crate
//! knows no format and no store.

use driftless_catalog::{Policy, PositionSchema, Site, Table};
use serde::Serialize;
use table_sync_core::Position;
use utoipa::ToSchema;

/// Opens tables for the API.
#[async_trait::async_trait]
pub trait Inspector: Send + Sync {
    /// Looks at a source, and at whether these sites can hold replicas of it. Changes nothing.
    async fn inspect(
        &self,
        source: &str,
        sites: &[Site],
        policy: &Policy,
    ) -> Result<Inspection, InspectError>;

    /// Digest of the files that are live at a position, as the log of the replica at a site says.
    /// Changes nothing.
    async fn live_digest(
        &self,
        table: &Table,
        site: &str,
        position: Position,
    ) -> Result<String, InspectError>;

    /// What would be published next, per site. Changes nothing.
    async fn plan(&self, table: &Table) -> Result<serde_json::Value, InspectError>;
}

/// What was found at a source.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Inspection {
    /// The table's format.
    pub format: String,
    /// Its newest position.
    #[schema(value_type = Option<PositionSchema>)]
    pub head: Option<Position>,
    /// Whether it can be replicated.
    pub replicable: bool,
    /// What stands against it, or deserves a look.
    pub findings: Vec<Finding>,
    /// More about the table.
    #[schema(value_type = Object)]
    pub details: serde_json::Value,
}

/// See [`Inspection::findings`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    /// Stable code.
    pub code: String,
    /// What was found, and what to do.
    pub message: String,
    /// The site that it is about.
    pub site: Option<String>,
}

/// Why a table could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct InspectError {
    /// Stable code.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether a later try may succeed.
    pub transient: bool,
}
