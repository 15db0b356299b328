//! What a caller configures: named stores and the limits of requests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::secret::Secret;

/// A store with a name: where it is and how it is opened.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// Root below which tables and `_driftless/` live.
    pub url: String,
    /// Options as `object_store` names them (`endpoint`, `region`, `access_key_id`, ...).
    #[serde(default)]
    pub options: BTreeMap<String, Secret>,
}

/// How requests are made. One for all stores of a run.
#[derive(Clone)]
pub struct Settings {
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the next byte of a transfer, or for an answer.
    pub request_timeout: Duration,
    /// How long an idempotent request is repeated within one call.
    pub retry_timeout: Duration,
    /// Certificates (PEM) trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// HTTP proxy, `http://host:port`.
    pub proxy: Option<String>,
    /// Where large bodies are spooled; the system's folder for temporary files when `None`.
    pub spool_dir: Option<PathBuf>,
    /// From this size on, an S3 upload is cut into parts, in bytes.
    pub part_bytes: u64,
    /// Cut upload bodies into chunks of this size, for S3 servers that refuse one large chunk.
    pub chunk_bytes: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(60),
            retry_timeout: Duration::from_secs(60),
            ca_file: None,
            proxy: None,
            spool_dir: None,
            part_bytes: 64 << 20,
            chunk_bytes: None,
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A proxy URL may hold a password.
        f.debug_struct("Settings")
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("retry_timeout", &self.retry_timeout)
            .field("ca_file", &self.ca_file)
            .field("has_proxy", &self.proxy.is_some())
            .field("spool_dir", &self.spool_dir)
            .field("part_bytes", &self.part_bytes)
            .field("chunk_bytes", &self.chunk_bytes)
            .finish()
    }
}
