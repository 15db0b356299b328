//! Alerts: what the service tells about itself, and what makes it call a person.
//!
//! Everything follows from the catalog. [`render`] exports metrics, [`rule::ALL`] says when a
//! person should know; the same table of rules becomes a file for Prometheus and is evaluated by
//! [`Alerts`], which tells receivers over HTTP.
//!
//! # Invariants
//! - A metric exists once, in [`metric::ALL`]; a rule exists once, in [`rule::ALL`]. Files for
//!   Prometheus and Grafana and the pages under `docs/` are made from these tables.
//! - No metric has a label whose values grow with the number of tables, but for the worst few and
//!   for tables that somebody named.
//! - A receiver hears of each beginning and each end once, however many processes share a catalog.
//!
//! Not here: the status and the lag of a table (`driftless_catalog::status`), serving `/metrics`
//! (`services/catalogd`).

mod burn;
pub mod dashboard;
mod evaluate;
mod exposition;
mod fingerprint;
mod message;
pub mod metric;
mod notifier;
mod receiver;
pub mod rule;
mod service;
mod webhook;

pub use burn::{BurnRates, Group, Samples};
pub use evaluate::{Facts, Firing, evaluate};
pub use exposition::{Config, Counts, Format, Latency, render};
pub use fingerprint::fingerprint;
pub use receiver::{Receiver, ReceiverError, ReceiverKind};
pub use service::{Alerts, AlertsHandle, ClockFn, Cycle, Options, StartError, active};
