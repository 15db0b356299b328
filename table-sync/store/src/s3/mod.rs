//! S3 and stores that speak its protocol: our own client for everything that touches bytes.
//!
//! `object_store` lists and gives credentials. It cannot stream a body into a request, and knows
//! no checksum that the server verifies without being costly, so reads and writes are ours.
//!
//! # Invariants
//! - Every uploaded body carries its CRC-32C behind it, and the server commits only if it agrees.
//!   No unsigned body without a checksum is ever sent: some servers keep half of one.
//! - A streamed body is sent once. Whether a failed request may have been applied is told by how
//!   far its body got.

mod body;
mod client;
mod damage;
mod endpoint;
mod framing;
mod http_client;
mod manage;
mod multipart;
mod put;
mod read;
mod sign;
mod sweep;
pub(crate) mod xml;

use std::path::PathBuf;
use std::sync::Arc;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use table_sync_core::BoxError;

use self::client::Shared;
use self::endpoint::{Endpoint, EndpointError};
use self::http_client::{ClientError, HttpClient};
use self::sign::Signer;
use crate::error::{ReadError, WriteError};
use crate::key::checked;
use crate::settings::Settings;
use crate::store::Parts;

/// A store root in a bucket.
#[derive(Clone)]
pub(crate) struct S3 {
    shared: Arc<Shared>,
    /// Key prefix of the root, without slashes at its ends.
    prefix: Arc<str>,
    part_bytes: u64,
    chunk_bytes: Option<u64>,
}

/// Why a bucket could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum S3Error {
    #[error("read the certificates of {path}")]
    Certificates { path: PathBuf, source: BoxError },
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("set up TLS")]
    Tls(#[source] BoxError),
}

impl S3 {
    /// Takes address and credentials from what `object_store` was built from.
    pub(crate) fn open(
        builder: &AmazonS3Builder,
        s3: &AmazonS3,
        settings: &Settings,
        parts: &Parts,
    ) -> Result<Self, S3Error> {
        let endpoint = Endpoint::of(builder)?;
        let uri = endpoint.uri(&endpoint.path(""), "").map_err(|_| EndpointError::Endpoint)?;
        let http = HttpClient::new(&uri, settings).map_err(|error| match error {
            ClientError::Certificates { path, source } => S3Error::Certificates { path, source },
            ClientError::Tls(source) => S3Error::Tls(source),
        })?;
        let shared = Shared {
            signer: Signer::new(endpoint.region.clone()),
            endpoint,
            http,
            credentials: Arc::clone(s3.credentials()),
            request_timeout: settings.request_timeout,
            retry_timeout: settings.retry_timeout,
            redactor: parts.redactor.clone(),
            meter: Arc::clone(&parts.meter),
        };
        Ok(Self {
            shared: Arc::new(shared),
            prefix: parts.prefix.as_str().into(),
            part_bytes: settings.part_bytes,
            chunk_bytes: settings.chunk_bytes,
        })
    }

    /// The same store with another threshold for parts.
    pub(crate) fn with_part_bytes(&self, part_bytes: u64) -> Self {
        Self { part_bytes, ..self.clone() }
    }

    /// Names the bucket, for comparing stores.
    pub(crate) fn place(&self) -> String {
        self.shared.endpoint.place()
    }

    /// The key in the bucket.
    fn whole_key(&self, key: &str) -> Result<String, BoxError> {
        checked(key)?;
        Ok(if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) })
    }

    fn read_key(&self, key: &str) -> Result<String, ReadError> {
        self.whole_key(key).map_err(|source| ReadError::BadKey { key: key.to_owned(), source })
    }

    fn write_key(&self, key: &str) -> Result<String, WriteError> {
        self.whole_key(key).map_err(|source| WriteError::refused(key, source))
    }
}
