//! Bodies of writes: receiving, aws-chunked framing, verification.

use std::collections::BTreeMap;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::checksum::{Algorithm, md5_base64, sha256_hex};
use super::reply::{Pace, S3Error};
use super::request::Head;

/// What arrived, framing included.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Bytes,
    /// False when the connection ended before the body did.
    pub(super) complete: bool,
}

/// Reads a body to its end or to the end of its connection.
pub(super) async fn receive(mut body: Incoming, pace: Pace) -> Received {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Received { bytes: bytes.freeze(), complete: false };
        };
        if let Some(data) = frame.data_ref() {
            let wait = pace.duration(data.len());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            bytes.extend_from_slice(data);
        }
    }
    Received { bytes: bytes.freeze(), complete: true }
}

/// A body without its framing, and the checksums that came with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Payload {
    pub(super) bytes: Bytes,
    pub(super) checksums: BTreeMap<Algorithm, String>,
}

const TRAILER_FORM: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// Whether anything in the head lets the server tell a half body from a whole one.
pub(super) fn is_unverifiable(head: &Head) -> bool {
    let digest = head.header("x-amz-content-sha256");
    let unsigned = digest.is_none_or(|digest| digest == "UNSIGNED-PAYLOAD");
    let checksum = Algorithm::ALL.iter().any(|a| head.headers.contains_key(a.header()));
    unsigned && !checksum && !head.headers.contains_key("content-md5")
}

/// Removes the framing and verifies all that the client claims about the bytes.
///
/// With `trust`, framing and lengths still count but wrong checksums are believed.
pub(super) fn verify(head: &Head, raw: Bytes, trust: bool) -> Result<Payload, S3Error> {
    let digest = head.header("x-amz-content-sha256").unwrap_or("UNSIGNED-PAYLOAD");
    // On a completion the header is about the object, not about the document in the body.
    let is_completion = head.method == "POST" && head.query("uploadId").is_some();
    let mut claims: BTreeMap<Algorithm, String> = Algorithm::ALL
        .into_iter()
        .filter(|_| !is_completion)
        .filter_map(|a| Some((a, head.header(a.header())?.to_owned())))
        .collect();
    let bytes = match digest {
        TRAILER_FORM => {
            let (bytes, trailers) = decode_chunks(raw)?;
            check_decoded_length(head, bytes.len())?;
            claims.extend(announced(head, &trailers)?);
            bytes
        }
        other if other.starts_with("STREAMING-") => {
            let message = format!("the double does not verify {other}");
            return Err(S3Error::new(501, "NotImplemented", message));
        }
        _ => raw,
    };
    if !trust {
        if digest.len() == 64 && sha256_hex(&bytes) != digest.to_ascii_lowercase() {
            let message = "The provided 'x-amz-content-sha256' header does not match what was \
                           computed.";
            return Err(S3Error::new(400, "XAmzContentSHA256Mismatch", message));
        }
        if let Some(md5) = head.header("content-md5")
            && md5_base64(&bytes) != md5
        {
            let message = "The Content-MD5 you specified did not match what we received.";
            return Err(S3Error::new(400, "BadDigest", message));
        }
        for (algorithm, claimed) in &claims {
            check_claim(*algorithm, claimed, &bytes)?;
        }
    }
    Ok(Payload { bytes, checksums: claims })
}

/// Refuses a claimed value that is not the value of `bytes`.
pub(super) fn check_claim(
    algorithm: Algorithm,
    claimed: &str,
    bytes: &[u8],
) -> Result<(), S3Error> {
    let computed = algorithm.value(bytes);
    if computed == claimed {
        return Ok(());
    }
    if computed.len() != claimed.len() {
        let message = format!("Value for {} header is invalid.", algorithm.header());
        return Err(S3Error::invalid(message));
    }
    let message = format!("The {algorithm:?} you specified did not match the calculated checksum.");
    Err(S3Error::new(400, "BadDigest", message))
}

fn check_decoded_length(head: &Head, bytes: usize) -> Result<(), S3Error> {
    let Some(length) = head.header("x-amz-decoded-content-length") else {
        let message = "You must provide the Content-Length HTTP header.";
        return Err(S3Error::new(411, "MissingContentLength", message));
    };
    if length.parse() == Ok(bytes) {
        return Ok(());
    }
    let message = format!("{bytes} bytes came, x-amz-decoded-content-length is {length}");
    Err(S3Error::new(400, "IncompleteBody", message))
}

/// Values of the trailers that `x-amz-trailer` announces; a missing one is an error.
fn announced(
    head: &Head,
    trailers: &BTreeMap<String, String>,
) -> Result<Vec<(Algorithm, String)>, S3Error> {
    let names = head.header("x-amz-trailer").unwrap_or_default();
    let mut found = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let algorithm = Algorithm::named(name)
            .ok_or_else(|| S3Error::invalid(format!("The trailer {name} is not supported")))?;
        let value = trailers.get(&name.to_ascii_lowercase()).ok_or_else(|| {
            malformed_trailer(&format!("trailer {name} was announced and is missing"))
        })?;
        found.push((algorithm, value.clone()));
    }
    if found.is_empty() && !trailers.is_empty() {
        return Err(malformed_trailer("trailers were not announced"));
    }
    Ok(found)
}

fn malformed_trailer(what: &str) -> S3Error {
    S3Error::new(400, "MalformedTrailerError", what)
}

fn incomplete(what: &str) -> S3Error {
    S3Error::new(400, "IncompleteBody", what)
}

/// Decodes aws-chunked framing of any number of chunks:
/// `hex(n)\r\n`, n bytes, `\r\n`, ..., `0\r\n`, `name:value\r\n` for each trailer, `\r\n`.
pub(super) fn decode_chunks(mut raw: Bytes) -> Result<(Bytes, BTreeMap<String, String>), S3Error> {
    let mut chunks: Vec<Bytes> = Vec::new();
    loop {
        let line = take_line(&mut raw)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16)
            .map_err(|_| incomplete(&format!("chunk size {size:?} is not a number")))?;
        if size == 0 {
            break;
        }
        if raw.len() < size {
            return Err(incomplete("a chunk is shorter than it says"));
        }
        chunks.push(raw.split_to(size));
        if !raw.starts_with(b"\r\n") {
            return Err(incomplete("a chunk does not end where it says"));
        }
        raw.advance(2);
    }
    let mut trailers = BTreeMap::new();
    loop {
        let line = take_line(&mut raw)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| malformed_trailer(&format!("trailer {line:?} has no colon")))?;
        trailers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
    }
    if !raw.is_empty() {
        return Err(malformed_trailer("bytes follow the last trailer"));
    }
    let bytes = match <[Bytes; 1]>::try_from(chunks) {
        Ok([only]) => only,
        Err(chunks) => chunks.concat().into(),
    };
    Ok((bytes, trailers))
}

/// Takes a line from the front, without its CRLF.
fn take_line(raw: &mut Bytes) -> Result<String, S3Error> {
    let end = raw
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .ok_or_else(|| incomplete("the body ends within its framing"))?;
    let line = raw.split_to(end);
    raw.advance(2);
    String::from_utf8(line.to_vec()).map_err(|_| incomplete("the framing is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes and trailers, or the code of the error.
    type Expect<'a> = Result<(&'a str, &'a [(&'a str, &'a str)]), &'a str>;

    #[track_caller]
    fn check(raw: &'static str, expect: Expect<'_>) {
        let decoded = decode_chunks(Bytes::from_static(raw.as_bytes()));
        match (decoded, expect) {
            (Ok((bytes, trailers)), Ok((expect_bytes, expect_trailers))) => {
                assert_eq!(bytes, expect_bytes);
                let trailers: Vec<(&str, &str)> =
                    trailers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                assert_eq!(trailers, expect_trailers);
            }
            (Err(error), Err(code)) => assert_eq!(error.code, code, "{}", error.message),
            (decoded, _) => panic!("{raw:?} gave {decoded:?}"),
        }
    }

    #[test]
    fn chunks_are_joined_and_trailers_read() {
        check("0\r\n\r\n", Ok(("", &[])));
        check("3\r\nabc\r\n0\r\nX-A: 1\r\n\r\n", Ok(("abc", &[("x-a", "1")])));
        check("2;x=y\r\n\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", Ok(("\r\n0123456789", &[])));
    }

    #[test]
    fn broken_framing_is_refused() {
        check("", Err("IncompleteBody"));
        check("5\r\nabc", Err("IncompleteBody"));
        check("2\r\nabc\r\n0\r\n\r\n", Err("IncompleteBody"));
        check("z\r\nabc\r\n0\r\n\r\n", Err("IncompleteBody"));
        check("3\r\nabc\r\n0\r\n", Err("IncompleteBody"));
        check("0\r\nnocolon\r\n\r\n", Err("MalformedTrailerError"));
        check("0\r\n\r\nmore", Err("MalformedTrailerError"));
    }
}
