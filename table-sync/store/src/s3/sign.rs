//! Request signatures.
//!
//! Source: Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header
//! (AWS Signature Version 4)".

use std::sync::Mutex;

use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac as _};
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, InvalidHeaderValue};
use http::{HeaderMap, Method};
use object_store::aws::AwsCredential;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

/// SHA-256 of nothing, in hex.
pub(crate) const EMPTY_SHA256: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const STRICT_PATH: &AsciiSet = &STRICT.remove(b'/');

/// A key as it goes into a request line and a canonical URI: everything but unreserved
/// characters and `/` is escaped, `=` too.
pub(crate) fn encode_key(key: &str) -> String {
    utf8_percent_encode(key, STRICT_PATH).to_string()
}

/// Name or value of a query parameter.
pub(crate) fn encode_query(text: &str) -> String {
    utf8_percent_encode(text, STRICT).to_string()
}

type Key = [u8; 32];

/// Signs requests to one region. The derived key of a day is kept.
#[derive(Debug)]
pub(crate) struct Signer {
    region: String,
    cached: Mutex<Option<Cached>>,
}

struct Cached {
    day: String,
    secret_sha256: Key,
    key: Key,
}

impl std::fmt::Debug for Cached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cached")
    }
}

/// What a signature covers, besides headers.
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a Method,
    /// Path as it is sent, escaped.
    pub(crate) path: &'a str,
    /// Query as it is sent: escaped, sorted by name, every parameter with a `=`.
    pub(crate) query: &'a str,
    /// Value of `x-amz-content-sha256`.
    pub(crate) payload: &'a str,
}

impl Signer {
    pub(crate) fn new(region: String) -> Self {
        Self { region, cached: Mutex::new(None) }
    }

    /// Adds date, payload hash, session token and `Authorization`. `host` must be there already.
    pub(crate) fn sign(
        &self,
        request: &Signed<'_>,
        headers: &mut HeaderMap,
        credential: &AwsCredential,
        now: DateTime<Utc>,
    ) -> Result<(), InvalidHeaderValue> {
        let time = now.format("%Y%m%dT%H%M%SZ").to_string();
        let day = now.format("%Y%m%d").to_string();
        headers.insert("x-amz-date", HeaderValue::from_str(&time)?);
        headers.insert("x-amz-content-sha256", HeaderValue::from_str(request.payload)?);
        if let Some(token) = &credential.token {
            let mut token = HeaderValue::from_str(token)?;
            token.set_sensitive(true);
            headers.insert("x-amz-security-token", token);
        }
        let (names, lines) = canonical_headers(headers);
        let canonical = format!(
            "{}\n{}\n{}\n{lines}\n{names}\n{}",
            request.method, request.path, request.query, request.payload
        );
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let hash = hex(&Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let key = self.key(&day, &credential.secret_key);
        let signature = hex(&hmac(&key, to_sign.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            credential.key_id
        );
        let mut authorization = HeaderValue::from_str(&authorization)?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        Ok(())
    }

    /// The signing key of a day, derived once.
    fn key(&self, day: &str, secret: &str) -> Key {
        let secret_sha256: Key = Sha256::digest(secret.as_bytes()).into();
        let mut cached = self.cached.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(cached) = cached.as_ref()
            && cached.day == day
            && cached.secret_sha256 == secret_sha256
        {
            return cached.key;
        }
        let day_key = hmac(format!("AWS4{secret}").as_bytes(), day.as_bytes());
        let region_key = hmac(&day_key, self.region.as_bytes());
        let service_key = hmac(&region_key, b"s3");
        let key = hmac(&service_key, b"aws4_request");
        *cached = Some(Cached { day: day.to_owned(), secret_sha256, key });
        key
    }
}

/// Names of the signed headers joined by `;`, and their `name:value` lines.
fn canonical_headers(headers: &HeaderMap) -> (String, String) {
    let mut signed: Vec<(&HeaderName, &HeaderValue)> =
        headers.iter().filter(|(name, _)| is_signed(name)).collect();
    signed.sort_by_key(|(name, _)| name.as_str());
    let mut names = String::new();
    let mut lines = String::new();
    for (name, value) in signed {
        if !names.is_empty() {
            names.push(';');
        }
        names.push_str(name.as_str());
        lines.push_str(name.as_str());
        lines.push(':');
        // Our own values are ASCII, without leading, trailing or repeated spaces.
        lines.push_str(value.to_str().unwrap_or_default().trim());
        lines.push('\n');
    }
    (names, lines)
}

fn is_signed(name: &HeaderName) -> bool {
    let text = name.as_str();
    name == HOST
        || text.starts_with("x-amz-")
        || text.starts_with("content-")
        || text.starts_with("if-")
        || text == "range"
        || text == "date"
}

fn hmac(key: &[u8], data: &[u8]) -> Key {
    // HMAC takes keys of any length: this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(data);
    mac.finalize().into_bytes().into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn credential() -> AwsCredential {
        AwsCredential {
            key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            token: None,
        }
    }

    /// Examples of the S3 API Reference, "Signature Calculations for the Authorization Header:
    /// Transferring Payload in a Single Chunk".
    #[track_caller]
    fn check(
        method: Method,
        path: &str,
        query: &str,
        payload: &str,
        headers: &[(&str, &str)],
        expect: &str,
    ) {
        let signer = Signer::new("us-east-1".to_owned());
        let now = DateTime::parse_from_rfc3339("2013-05-24T00:00:00Z").unwrap().to_utc();
        let request = Signed { method: &method, path, query, payload };
        // Twice: the second time with the kept key.
        for _ in 0..2 {
            let mut map = HeaderMap::new();
            map.insert(HOST, HeaderValue::from_static("examplebucket.s3.amazonaws.com"));
            for (name, value) in headers {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                map.insert(name, HeaderValue::from_str(value).unwrap());
            }
            signer.sign(&request, &mut map, &credential(), now).unwrap();
            let found = map.get(AUTHORIZATION).unwrap().to_str().unwrap();
            assert!(found.ends_with(&format!("Signature={expect}")), "{found}");
            assert!(!format!("{map:?}").contains("Signature="));
        }
    }

    #[test]
    fn get_object() {
        check(
            Method::GET,
            "/test.txt",
            "",
            EMPTY_SHA256,
            &[("range", "bytes=0-9")],
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
    }

    #[test]
    fn put_object_with_an_escaped_key() {
        assert_eq!(encode_key("test$file.text"), "test%24file.text");
        check(
            Method::PUT,
            "/test%24file.text",
            "",
            "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        );
    }

    #[test]
    fn get_bucket_lifecycle() {
        check(
            Method::GET,
            "/",
            "lifecycle=",
            EMPTY_SHA256,
            &[],
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        );
    }

    #[test]
    fn list_objects() {
        check(
            Method::GET,
            "/",
            "max-keys=2&prefix=J",
            EMPTY_SHA256,
            &[],
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        );
    }

    #[test]
    fn keys_are_escaped_strictly() {
        assert_eq!(encode_key("p=00/a b+c%20.parquet"), "p%3D00/a%20b%2Bc%2520.parquet");
        assert_eq!(encode_key("\u{e9}/~-._"), "%C3%A9/~-._");
        assert_eq!(encode_query("a/b=c"), "a%2Fb%3Dc");
    }
}
