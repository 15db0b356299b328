//! Head of a request, parsed no further than the answer needs.

use super::super::request::{decode, decode_query};

/// A request head: one text, looked up on demand.
pub(super) struct Head {
    text: String,
    pub(super) bucket: String,
    pub(super) key: String,
}

impl Head {
    /// Takes everything before the empty line; `None` for what is not an HTTP/1 request.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.to_owned();
        let (line, _) = text.split_once("\r\n").unwrap_or((&text, ""));
        let mut words = line.split(' ');
        let (_, target, version) = (words.next()?, words.next()?, words.next()?);
        if !version.starts_with("HTTP/1.") {
            return None;
        }
        let path = target.split('?').next().unwrap_or_default();
        let path = path.strip_prefix('/').unwrap_or(path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let (bucket, key) = (decode(bucket), decode(key));
        Some(Self { text, bucket, key })
    }

    fn line(&self) -> &str {
        self.text.split("\r\n").next().unwrap_or_default()
    }

    pub(super) fn method(&self) -> &str {
        self.line().split(' ').next().unwrap_or_default()
    }

    /// Query as it came over the wire.
    pub(super) fn raw_query(&self) -> &str {
        let target = self.line().split(' ').nth(1).unwrap_or_default();
        target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Decoded query.
    pub(super) fn query(&self) -> Vec<(String, String)> {
        decode_query(self.raw_query())
    }

    /// Value of a header; `name` in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.text.split("\r\n").skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(super) fn keeps_alive(&self) -> bool {
        let close = self.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
        !close && self.line().ends_with("HTTP/1.1")
    }

    /// Whether the body is in aws-chunked framing.
    pub(super) fn is_framed(&self) -> bool {
        self.header("x-amz-content-sha256").is_some_and(|v| v.starts_with("STREAMING-"))
    }
}
