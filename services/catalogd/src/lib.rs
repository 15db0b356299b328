//! The REST API over the catalog: `/v1`, described by its own OpenAPI document.
//!
//! A library: [`router`] answers, [`serve`] listens. It knows the catalog, and neither formats nor
//! object stores: what must be opened is opened by an [`Inspector`].
//!
//! # Invariants
//! - What a route asks of its caller stands in the OpenAPI document, which the guard reads: a
//!   route that says nothing is for administrators.
//! - Every change of what a person owns is in the audit before it is made, and its outcome after.
//! - Every answer that is no success has one shape, and every answer a request id.
//! - No secret is answered but a new token's, once, and the keys of readers to engines; what is
//!   answered so is in no tag, and is not remembered.
//!
//! Not here: what a table's log says, carrying out operations (`services/syncd`).

mod action;
mod alert;
mod audit;
mod auth;
mod body;
mod console;
mod document;
mod error;
mod etag;
mod event;
mod feed;
mod group;
mod guard;
mod health;
pub mod hint;
mod idempotency;
mod inspect;
mod lag;
mod metrics;
mod node;
mod operation;
mod page;
mod pin;
mod place;
mod project;
mod registration;
mod rule;
mod security_mapping;
mod serve;
mod site;
mod store;
mod table;
pub mod token;
mod version;
mod watch;
mod wish;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use driftless_catalog::{Catalog, Millis};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

pub use auth::Auth;
pub use inspect::{Finding, InspectError, Inspection, Inspector};
pub use metrics::{HintCounts, Metrics, MetricsError};
pub use security_mapping::{NoSecret, Secrets};
pub use serve::serve;

/// What the service is made of.
#[derive(Clone)]
pub struct Options {
    /// The catalog that it serves.
    pub catalog: Catalog,
    /// How callers are known.
    pub auth: Auth,
    /// Opens tables; without it, dry runs and plans are refused.
    pub inspector: Option<Arc<dyn Inspector>>,
    /// Reads the secrets of stores; without it, no keys are handed to engines.
    pub secrets: Option<Arc<dyn Secrets>>,
    /// Makes `/metrics`; without it there are none.
    pub metrics: Option<Arc<dyn Metrics>>,
    /// Whether `/metrics` needs no token.
    pub metrics_open: bool,
    /// The time of day, ms since the epoch.
    pub now_ms: Arc<dyn Fn() -> Millis + Send + Sync>,
    /// Called after each change, to wake the daemon of this process.
    pub changed: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Changes when there may be new events, so that streams need not wait for the next poll.
    pub wake: Option<tokio::sync::watch::Receiver<()>>,
    /// Signs page tokens and confirmations. Processes behind one address share it.
    pub page_key: [u8; 32],
    /// Which folders of this machine stores and tables may be in.
    pub allow_files: Arc<dyn Fn(&Path) -> bool + Send + Sync>,
    /// Limits of requests.
    pub limits: Limits,
}

/// Limits of requests. Heads are limited by [`serve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest body, in bytes.
    pub body_bytes: usize,
    /// How long a request may take, without what a stream sends.
    pub request_time: Duration,
    /// Streams of events at once.
    pub streams: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 1 << 20, request_time: Duration::from_secs(30), streams: 64 }
    }
}

/// What handlers share.
pub(crate) struct Service {
    options: Options,
    rules: auth::Rules,
    document: Bytes,
    hub: Arc<watch::Hub>,
    feed: feed::Feed,
}

impl Service {
    fn catalog(&self) -> &Catalog {
        &self.options.catalog
    }

    fn now_ms(&self) -> Millis {
        (self.options.now_ms)()
    }

    /// Tells the process that something was changed.
    fn changed(&self) {
        if let Some(changed) = &self.options.changed {
            changed();
        }
    }

    /// A signature over these parts, each with its length.
    fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.mac(parts).finalize().into_bytes().into()
    }

    /// Whether a signature, or its beginning, is one over these parts. In constant time.
    fn verifies(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        mac.len() >= 16 && self.mac(parts).verify_truncated_left(mac).is_ok()
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        // A short key fills the front of a block, as RFC 2104 has it.
        let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
        for (to, from) in key.iter_mut().zip(self.options.page_key) {
            *to = from;
        }
        let mut mac = Hmac::<Sha256>::new(&key);
        for part in parts {
            mac.update(&part.len().to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

/// All routes, behind the guard.
pub fn router(options: Options) -> Router {
    let (router, described) = document::routes().split_for_parts();
    let document = document::document(&described);
    let hub =
        watch::Hub::new(options.catalog.clone(), options.wake.clone(), options.limits.streams);
    let mut rules = auth::Rules::of(&document);
    if options.metrics_open {
        rules.open("GET /metrics");
    }
    let service = Arc::new(Service {
        rules,
        document: pretty(&document).into(),
        hub: Arc::new(hub),
        feed: feed::Feed::default(),
        options,
    });
    router
        .merge(console::routes())
        .fallback(async || http::StatusCode::NOT_FOUND)
        .layer(axum::middleware::from_fn_with_state(service.clone(), guard::guard))
        .with_state(service)
}

/// The OpenAPI document, as `/openapi.json` answers it.
pub fn openapi() -> String {
    let (_, described) = document::routes().split_for_parts();
    pretty(&document::document(&described))
}

fn pretty(document: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

/// Bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
