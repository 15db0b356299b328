//! The records of the catalog, as the database and the API hold them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use table_sync_core::Position;
use utoipa::ToSchema;

use crate::policy::{Policy, words};
use crate::status::Condition;
use crate::transition::{Desired, OperationState};
use crate::{RuleSpec, TableName};

/// Identifies a table for good: a name that is given again is another table.
pub type TableId = String;

/// Times are ms since the epoch.
pub type Millis = i64;

/// A part of an organisation that owns tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// Name; unique.
    pub name: String,
    /// The organisation that it belongs to.
    pub organisation: String,
    /// Part of bandwidth and transfers, beside other projects.
    pub share: u32,
    /// For each site, the store whose keys engines read its replicas with.
    pub readers: BTreeMap<String, String>,
    /// Grows with each change.
    pub revision: i64,
    /// When it was made.
    pub created_ms: Millis,
}

/// Tables that engines see as one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Namespace {
    /// Its project.
    pub project: String,
    /// Name; unique within the project.
    pub name: String,
    /// Grows with each change.
    pub revision: i64,
    /// When it was made.
    pub created_ms: Millis,
}

/// A place where tables are published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Site {
    /// Name; unique.
    pub name: String,
    /// Root below which replicas lie: a URL, or `STORE:path`.
    pub url: String,
    /// Where it is.
    pub region: Option<String>,
    /// Grows with each change.
    pub revision: i64,
    /// When it was made.
    pub created_ms: Millis,
}

/// A registered table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Its id.
    pub id: TableId,
    /// Its name.
    pub name: TableName,
    /// Where it is: a URL, or `STORE:path`.
    pub source: String,
    /// Its format, once it is known.
    pub format: Option<String>,
    /// How it is to be kept in step.
    pub policy: Policy,
    /// What is wanted.
    pub desired: Desired,
    /// The discovery rule that registered it.
    pub rule: Option<String>,
    /// The node that works on it.
    pub lease_node: Option<String>,
    /// Whether that node's heartbeat goes on.
    pub owned: bool,
    /// Fencing number of the newest owner.
    pub epoch: u64,
    /// Grows with each change that a person made.
    pub revision: i64,
    /// When it was registered.
    pub created_ms: Millis,
    /// One for each site.
    pub replicas: Vec<Replica>,
}

/// A table at one site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    /// The site.
    pub site: String,
    /// Where it is: a URL, or `STORE:path`.
    pub location: String,
    /// How often it was begun anew.
    pub incarnation: u32,
    /// How far it is.
    pub progress: Progress,
    /// The replica whose place it takes: readers are shown that one, until this is whole.
    pub serving: Option<Serving>,
    /// Grows with each report that changed something.
    pub revision: i64,
}

impl Replica {
    /// Where it is, and where the one is that readers are shown meanwhile.
    pub fn locations(&self) -> impl Iterator<Item = &str> {
        let served = self.serving.as_ref().map(|serving| serving.location.as_str());
        [self.location.as_str()].into_iter().chain(served)
    }

    /// What readers are to be shown.
    pub fn served(&self) -> Serving {
        self.serving.clone().unwrap_or_else(|| Serving {
            location: self.location.clone(),
            incarnation: self.incarnation,
            head: self.progress.head,
            head_committed_ms: self.progress.head_committed_ms,
            published_ms: self.progress.published_ms,
            earliest_readable: self.progress.earliest_readable,
            keep_ms: None,
        })
    }
}

/// A replica as readers are shown it. While another is begun anew, nothing is published there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// Where it is: a URL, or `STORE:path`.
    pub location: String,
    /// How often it was begun anew.
    pub incarnation: u32,
    /// The newest position that is published there.
    pub head: Option<Position>,
    /// When that was committed at the source.
    pub head_committed_ms: Option<Millis>,
    /// When it was published.
    pub published_ms: Option<Millis>,
    /// The lowest position that readers can open.
    pub earliest_readable: Option<Position>,
    /// How long it stays, for queries that still run, once it is shown no more; `None` = for good.
    pub keep_ms: Option<Millis>,
}

/// How far a replica is, as its owner reported it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How the last pass ended.
    pub condition: Condition,
    /// Stable code of the reason, where there is one.
    pub reason_code: Option<String>,
    /// The reason, and what to do.
    pub reason: Option<String>,
    /// The first position that cannot be published.
    pub reason_position: Option<String>,
    /// Since when the condition is what it is.
    pub since_ms: Millis,
    /// The newest position at the source.
    pub source_head: Option<Position>,
    /// When it was committed.
    pub source_head_ms: Option<Millis>,
    /// When the source was looked at last, with success.
    pub checked_ms: Option<Millis>,
    /// When the last whole look at it began: what was committed before is in `source_head`.
    pub listed_ms: Option<Millis>,
    /// The newest position that is published.
    pub head: Option<Position>,
    /// When it was committed at the source.
    pub head_committed_ms: Option<Millis>,
    /// When it was published.
    pub published_ms: Option<Millis>,
    /// The lowest position that readers can open.
    pub earliest_readable: Option<Position>,
    /// Commits not yet published.
    pub pending_versions: Option<i64>,
    /// Their bytes.
    pub pending_bytes: Option<i64>,
    /// When the oldest of them was committed.
    pub oldest_pending_ms: Option<Millis>,
    /// When something was copied or published last.
    pub moved_ms: Option<Millis>,
    /// When the source may discard what is still needed.
    pub deadline_ms: Option<Millis>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            condition: Condition::New,
            reason_code: None,
            reason: None,
            reason_position: None,
            since_ms: 0,
            source_head: None,
            source_head_ms: None,
            checked_ms: None,
            listed_ms: None,
            head: None,
            head_committed_ms: None,
            published_ms: None,
            earliest_readable: None,
            pending_versions: None,
            pending_bytes: None,
            oldest_pending_ms: None,
            moved_ms: None,
            deadline_ms: None,
        }
    }
}

/// One published version at one site, with its receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The source's position.
    #[schema(value_type = PositionSchema)]
    pub position: Position,
    /// How it became visible: `append`, `jump`.
    pub kind: String,
    /// When it was committed at the source.
    pub committed_ms: Option<Millis>,
    /// When it was published.
    pub published_ms: Millis,
    /// Files that it needed.
    pub files: i64,
    /// Their bytes, as far as the log states them.
    pub bytes: i64,
    /// SHA-256 of its commit object.
    pub commit_sha256: Option<String>,
    /// Running hash over the published commits: equal at sites that published the same.
    pub chain_sha256: Option<String>,
    /// Digest of the live file set, once it was computed.
    pub live_digest: Option<String>,
    /// The order in which positions were published.
    pub ordinal: i64,
}

/// A version of a Delta table, or a Hudi position `COMPLETION_INSTANT`.
#[derive(ToSchema)]
#[schema(as = Position)]
#[allow(dead_code)]
#[serde(untagged)]
#[derive(Serialize)]
pub enum PositionSchema {
    /// A Delta version.
    Version(u64),
    /// A Hudi position.
    Instant(String),
}

/// What an owner reports about one replica.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The table.
    pub table: TableId,
    /// The site.
    pub site: String,
    /// The owner's epoch: a report of an older owner is refused.
    pub epoch: u64,
    /// The incarnation that it is about.
    pub incarnation: u32,
    /// The table's format, once it is known.
    pub format: Option<&'static str>,
    /// How far it is; `None` = as before.
    pub progress: Option<Progress>,
    /// What was published since the last report, in order.
    pub versions: Vec<Version>,
    /// What happened beside that.
    pub events: Vec<NewEvent>,
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// What: `table.registered`, `version.published`, ...
    pub kind: &'static str,
    /// More about it.
    pub body: serde_json::Value,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place in the order of all events.
    pub seq: i64,
    /// When.
    pub at_ms: Millis,
    /// What: `table.registered`, `version.published`, ...
    pub kind: String,
    /// The project that it is about.
    pub project: Option<String>,
    /// The table that it is about.
    pub table: Option<String>,
    /// The site that it is about.
    pub site: Option<String>,
    /// More about it.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
}

/// An attempt to change something, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// Its id; ordered by time.
    pub id: String,
    /// When it was attempted.
    pub at_ms: Millis,
    /// The request.
    pub request_id: String,
    /// Who: a token's name.
    pub actor: String,
    /// With which role.
    pub role: String,
    /// What: the method and the route.
    pub action: String,
    /// On what.
    pub resource: String,
    /// `done`, `refused`, `failed`; `null` = the process ended in the middle.
    pub outcome: Option<String>,
    /// HTTP status of the answer.
    pub status: Option<i64>,
    /// When it ended.
    pub ended_ms: Option<Millis>,
}

words! {
    /// What a caller may do. From the reader on, each may do what the one before it may.
    Role {
        /// Send hints, and nothing else.
        Hint => "hint",
        /// Fetch the keys that engines read with, and nothing else.
        Engine => "engine",
        /// Look at things.
        Reader => "reader",
        /// Change tables.
        Operator => "operator",
        /// Change stores, sites, projects and rules.
        Admin => "admin",
    }
}

/// A bearer token. The secret itself is shown once, when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id.
    pub id: String,
    /// Its name, as it stands in the audit.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// The only project that it is good for; `null` = all.
    pub project: Option<String>,
    /// When it was made.
    pub created_ms: Millis,
    /// When it ends.
    pub expires_ms: Millis,
    /// When it was revoked.
    pub revoked_ms: Option<Millis>,
}

words! {
    /// What an operation does.
    OperationKind {
        /// Bring a table into step at once.
        Sync => "sync",
        /// Begin a replica anew at a new location.
        Resync => "resync",
        /// Forget a table.
        Unregister => "unregister",
        /// Look for tables.
        Discover => "discover",
    }
}

/// An action that takes longer than a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Its id; ordered by time.
    pub id: String,
    /// What it does.
    pub kind: OperationKind,
    /// The table's id, where it is about one.
    pub table_id: Option<TableId>,
    /// The name of what it is about.
    pub resource: String,
    /// How far it is.
    pub state: OperationState,
    /// What was asked for.
    #[schema(value_type = Object)]
    pub request: serde_json::Value,
    /// What was done so far.
    #[schema(value_type = Object)]
    pub progress: serde_json::Value,
    /// Why it failed.
    pub error: Option<String>,
    /// Who asked for it.
    pub actor: String,
    /// Somebody asked to cancel it.
    pub cancel: bool,
    /// When it was asked for.
    pub created_ms: Millis,
    /// When it was changed last.
    pub updated_ms: Millis,
}

/// A process that works on tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its id; another one after each start.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Release.
    pub version: String,
    /// When it was started.
    pub started_ms: Millis,
    /// Its last heartbeat.
    pub beat_ms: Millis,
    /// Tables that it works on.
    pub tables: i64,
    /// Whether its heartbeat goes on.
    pub alive: bool,
}

/// A table that a node works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The table.
    pub table: TableId,
    /// The owner's fencing number.
    pub epoch: u64,
}

/// A version that is kept readable for a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pin {
    /// Its name.
    pub name: String,
    /// The position.
    #[schema(value_type = PositionSchema)]
    pub position: Position,
    /// When it was made.
    pub created_ms: Millis,
}

/// A discovery rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rule {
    /// Name; unique.
    pub name: String,
    /// What it does.
    pub spec: RuleSpec,
    /// When it looked last.
    pub last_run_ms: Option<Millis>,
    /// Why it could not look the last time.
    pub last_error: Option<String>,
    /// Grows with each change.
    pub revision: i64,
    /// When it was made.
    pub created_ms: Millis,
}

words! {
    /// What became of a table that a rule found.
    FoundState {
        /// It is registered.
        Registered => "registered",
        /// It was, and is no longer at the source.
        Vanished => "vanished",
        /// It could not be registered; the message says why.
        Refused => "refused",
    }
}

/// A table that a rule found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundTable {
    /// Where it is.
    pub source: String,
    /// Its name, where it has one.
    pub table: Option<String>,
    /// What became of it.
    pub state: FoundState,
    /// Why, where it was refused.
    pub message: Option<String>,
    /// When it was seen last.
    pub seen_ms: Millis,
}
