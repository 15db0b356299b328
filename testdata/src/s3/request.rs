//! Head of one request: path-style address, decoded query, headers.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::record::{Outcome, RequestRecord};
use super::reply::S3Error;

/// What came over the wire before the body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    /// Path as it came over the wire.
    pub(super) raw_path: String,
    /// Query as it came over the wire.
    pub(super) raw_query: String,
    pub(super) bucket: String,
    pub(super) key: String,
    /// Decoded query, in the order of the wire.
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    /// Position in the record of requests.
    pub(super) index: usize,
}

impl Head {
    pub(super) fn new(parts: Parts) -> Self {
        let raw_path = parts.uri.path().to_owned();
        let raw_query = parts.uri.query().unwrap_or_default().to_owned();
        let path = raw_path.strip_prefix('/').unwrap_or(&raw_path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        Self {
            method: parts.method.as_str().to_owned(),
            bucket: decode(bucket),
            key: decode(key),
            query: decode_query(&raw_query),
            headers: parts.headers,
            index: 0,
            raw_path,
            raw_query,
        }
    }

    /// Value of a query parameter; empty for one without a value.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Text of a header, trimmed; `None` also for a value that is not text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    }

    pub(super) fn is_read(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }

    /// S3 keys are UTF-8 of at most 1,024 bytes.
    pub(super) fn check_key(&self) -> Result<(), S3Error> {
        if percent_decode_str(&self.raw_path).decode_utf8().is_err() {
            return Err(S3Error::new(400, "InvalidURI", "Couldn't parse the specified URI."));
        }
        if self.key.len() > 1024 {
            return Err(S3Error::new(400, "KeyTooLongError", "Your key is too long"));
        }
        Ok(())
    }

    pub(super) fn record(&self) -> RequestRecord {
        RequestRecord {
            index: self.index,
            method: self.method.clone(),
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            query: self.raw_query.clone(),
            headers: recorded_headers(&self.headers),
            bytes_in: 0,
            bytes_out: 0,
            mutation: None,
            outcome: Outcome::Pending,
        }
    }
}

fn recorded_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    const KEPT: [&str; 11] = [
        "range",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "content-length",
        "content-md5",
        "content-encoding",
        "content-type",
        "transfer-encoding",
        "user-agent",
    ];
    let mut kept = BTreeMap::new();
    for (name, value) in headers {
        let name = name.as_str();
        if name == "authorization" {
            kept.insert(name.to_owned(), "present".to_owned());
        } else if KEPT.contains(&name) || name.starts_with("x-amz-") {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            kept.insert(name.to_owned(), value);
        }
    }
    kept.remove("x-amz-security-token");
    kept
}

/// Percent-decoded text; bytes that are not UTF-8 are replaced (and refused by `check_key`).
pub(super) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Pairs of a raw query. A plus is a space, as S3 reads it.
pub(super) fn decode_query(raw: &str) -> Vec<(String, String)> {
    let plain = |text: &str| decode(&text.replace('+', "%20"));
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (plain(name), plain(value))
        })
        .collect()
}
