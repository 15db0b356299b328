//! The catalog: what is wanted of every table, and an index of how far it is.
//!
//! What is published is told by the targets alone. The catalog's progress can be lost and rebuilt
//! from them; what cannot (policies, tokens, the audit) is what its own back-up is for.
//!
//! One [`Catalog`] speaks to SQLite, the embedded default, or to PostgreSQL, with the same
//! statements; one conformance suite runs against both.
//!
//! # Invariants
//! - Never a row per file.
//! - A report of an owner with an older epoch changes nothing.
//! - An event and the change that it tells of are one transaction; events have no gaps, so that a
//!   reader which goes on after the last one that it saw misses none.
//! - States change only as [`transition`] allows.
//!
//! Not here: what a table's log says (format crates), doing anything about it (`services/syncd`).

mod discovery;
mod error;
pub mod group;
mod model;
mod name;
mod policy;
mod readers;
mod sql;
pub mod status;
mod store;
pub mod transition;

pub use discovery::{Found, RuleSpec};
pub use error::{CatalogError, Result};
pub use group::{Group, Snapshot};
pub use model::{
    AuditRecord, Event, FoundState, FoundTable, Lease, Millis, Namespace, NewEvent, Node,
    Operation, OperationKind, Pin, PositionSchema, Progress, Project, Replica, Report, Role, Rule,
    Serving, Site, Table, TableId, Token, Version,
};
pub use name::{NameError, TableName, check_identifier, check_label};
pub use policy::{
    AbsolutePaths, HudiHistory, HudiMetadata, HudiReaders, HudiV6Window, Policy, Priority,
};
pub use readers::{Reading, reading};
pub use sql::{
    Alert, AlertState, Audience, Catalog, Due, EventFilter, Former, Held, NewOperation, NewProject,
    NewTable, NewToken, Page, Remembered, SCHEMA, Shown, Standing, StandingsPage, TableFilter,
    database_url, folded,
};
pub use store::{FromEnv, FromFile, OptionValue, StoreRecord, check_stores};
