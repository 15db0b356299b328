//! What an [`S3Double`](super::S3Double) is and how it misbehaves.

use std::num::NonZeroU64;
use std::time::Duration;

/// One key pair that the double accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Access key id, as in the credential scope.
    pub key_id: String,
    /// Secret key that signatures are verified with.
    pub secret: String,
    /// Region that the credential scope must name, or `None` for any.
    pub region: Option<String>,
    /// Session token that `x-amz-security-token` must carry, or `None` for no session.
    pub session_token: Option<String>,
}

impl Credentials {
    /// Long-lived keys, any region.
    pub fn new(key_id: &str, secret: &str) -> Self {
        Self {
            key_id: key_id.to_owned(),
            secret: secret.to_owned(),
            region: None,
            session_token: None,
        }
    }
}

/// Behaviour of one double. The default is a correct server without authentication.
///
/// All of it can be changed while the server runs: [`S3Double::reconfigure`].
///
/// [`S3Double::reconfigure`]: super::S3Double::reconfigure
#[derive(Debug, Clone)]
pub struct Config {
    /// Buckets that exist from the start. Others answer `NoSuchBucket` until created.
    pub buckets: Vec<String>,
    /// Most entries in one page of a listing, whatever the client asks for.
    pub page_size: usize,
    /// Least bytes of every part but the last; S3 says 5 MiB.
    pub part_bytes_min: u64,
    /// Refuse requests without an `Authorization` header; any signature will do.
    pub require_auth: bool,
    /// Verify every signature (SigV4) against these keys.
    pub credentials: Option<Credentials>,

    /// Ignore `If-None-Match` and `If-Match` on writes: a store that takes every header and
    /// keeps no promise.
    pub no_conditional_put: bool,
    /// Decide conditions when the head of the request arrives, not when its body is complete:
    /// sequential checks pass, a race has many winners.
    pub racy_conditional_put: bool,
    /// Ignore `If-Match` on DELETE, as MinIO does.
    pub no_conditional_delete: bool,
    /// Believe every checksum: a wrong one is stored as it was claimed.
    pub ignore_checksums: bool,
    /// Commit the half object when the body of an unsigned PUT without a checksum is cut off,
    /// as versitygw 1.8 does.
    pub keep_truncated: bool,
    /// Listings show the bucket as it was this many object changes ago.
    pub list_lag_mutations: usize,

    /// Wait this long before a request is looked at.
    pub latency: Duration,
    /// Answer every k-th request with 503 `SlowDown`.
    pub slow_down_every: Option<NonZeroU64>,
    /// Bytes per second of one connection, each way.
    pub bandwidth_bytes_per_second: Option<NonZeroU64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            buckets: vec!["bucket".to_owned()],
            page_size: 1000,
            part_bytes_min: 5 << 20,
            require_auth: false,
            credentials: None,
            no_conditional_put: false,
            racy_conditional_put: false,
            no_conditional_delete: false,
            ignore_checksums: false,
            keep_truncated: false,
            list_lag_mutations: 0,
            latency: Duration::ZERO,
            slow_down_every: None,
            bandwidth_bytes_per_second: None,
        }
    }
}
