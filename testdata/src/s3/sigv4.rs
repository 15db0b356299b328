//! Verification of AWS Signature Version 4, from what came over the wire.
//!
//! Written from the specification, not from a signer: paths and queries are decoded and encoded
//! again by the strict rule, as S3 does it, so a client that signs `p=1` but should have signed
//! `p%3D1` is refused here too.
//!
//! Source: Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)".

use chrono::NaiveDateTime;
use hmac::{Hmac, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::Sha256;

use super::checksum::{hex, sha256_hex};
use super::clock::now;
use super::config::{Config, Credentials};
use super::reply::S3Error;
use super::request::{Head, decode_query};

const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: AsciiSet = UNRESERVED.remove(b'/');
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SKEW_SECONDS_MAX: i64 = 15 * 60;

/// Lets the request pass, or says as S3 does why not.
pub(super) fn authenticate(config: &Config, head: &Head) -> Result<(), S3Error> {
    let authorization = head.header("authorization");
    if let Some(credentials) = &config.credentials {
        let authorization = authorization.ok_or_else(|| denied("Access Denied"))?;
        return verify(credentials, head, authorization);
    }
    if config.require_auth && authorization.is_none() {
        return Err(denied("Access Denied"));
    }
    Ok(())
}

/// Fields of an `Authorization` header.
struct Claim<'a> {
    key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    fn parse(authorization: &'a str) -> Option<Self> {
        let fields = authorization.strip_prefix(ALGORITHM)?;
        let field = |name: &str| {
            fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
        };
        // A key id may hold slashes; the scope has exactly four more fields.
        let mut scope = field("Credential")?.rsplitn(5, '/');
        if scope.next()? != "aws4_request" {
            return None;
        }
        Some(Self {
            service: scope.next()?,
            region: scope.next()?,
            date: scope.next()?,
            key_id: scope.next()?,
            signed_headers: field("SignedHeaders")?,
            signature: field("Signature")?,
        })
    }

    fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

fn verify(credentials: &Credentials, head: &Head, authorization: &str) -> Result<(), S3Error> {
    let claim = Claim::parse(authorization).ok_or_else(|| malformed("cannot be parsed"))?;
    if claim.key_id != credentials.key_id {
        let message = "The AWS Access Key Id you provided does not exist in our records.";
        return Err(S3Error::new(403, "InvalidAccessKeyId", message));
    }
    if claim.service != "s3" {
        return Err(malformed("names another service than s3"));
    }
    if credentials.region.as_deref().is_some_and(|region| region != claim.region) {
        return Err(malformed("names another region"));
    }
    if credentials.session_token.as_deref() != head.header("x-amz-security-token") {
        return Err(S3Error::new(400, "InvalidToken", "The provided token is malformed"));
    }
    let time = check_time(head, claim.date)?;
    check_signed_headers(head, claim.signed_headers)?;

    let request = canonical_request(head, claim.signed_headers)?;
    if signature(&credentials.secret, &claim, time, &request) == claim.signature {
        return Ok(());
    }
    let message = format!(
        "The request signature we calculated does not match the signature you provided. \
         Canonical request: {request:?}"
    );
    Err(S3Error::new(403, "SignatureDoesNotMatch", message))
}

fn signature(secret: &str, claim: &Claim<'_>, time: &str, request: &str) -> String {
    let digest = sha256_hex(request.as_bytes());
    let text = format!("{ALGORITHM}\n{time}\n{}\n{digest}", claim.scope());
    let mut key = format!("AWS4{secret}").into_bytes();
    for step in [claim.date, claim.region, claim.service, "aws4_request"] {
        key = hmac_sha256(&key, step);
    }
    hex(&hmac_sha256(&key, &text))
}

fn check_time<'a>(head: &'a Head, date: &str) -> Result<&'a str, S3Error> {
    let time = head.header("x-amz-date").ok_or_else(|| denied("x-amz-date is missing"))?;
    let parsed = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ")
        .map_err(|_| denied("x-amz-date cannot be parsed"))?;
    if !time.starts_with(date) {
        return Err(malformed("names another date than x-amz-date"));
    }
    let skew = now().naive_utc().signed_duration_since(parsed).num_seconds().abs();
    if skew > SKEW_SECONDS_MAX {
        let message = "The difference between the request time and the current time is too large.";
        return Err(S3Error::new(403, "RequestTimeTooSkewed", message));
    }
    Ok(time)
}

fn check_signed_headers(head: &Head, signed: &str) -> Result<(), S3Error> {
    let is_signed = |name: &str| signed.split(';').any(|other| other == name);
    let all_amz = head
        .headers
        .keys()
        .map(|name| name.as_str())
        .filter(|name| name.starts_with("x-amz-"))
        .all(is_signed);
    if is_signed("host") && all_amz {
        return Ok(());
    }
    Err(denied("There were headers present in the request which were not signed"))
}

fn canonical_request(head: &Head, signed: &str) -> Result<String, S3Error> {
    let path: Vec<u8> = percent_decode_str(&head.raw_path).collect();
    let mut query: Vec<(String, String)> = decode_query(&head.raw_query)
        .iter()
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    query.sort();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();

    let mut headers = String::new();
    for name in signed.split(';') {
        let values: Vec<String> = head
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        if values.is_empty() {
            return Err(denied(&format!("signed header {name} is missing")));
        }
        headers.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    let digest = head
        .header("x-amz-content-sha256")
        .ok_or_else(|| S3Error::invalid("Missing required header: x-amz-content-sha256"))?;
    Ok(format!(
        "{}\n{}\n{}\n{headers}\n{signed}\n{digest}",
        head.method,
        percent_encode(&path, &PATH),
        query.join("&"),
    ))
}

fn encode(text: &str) -> String {
    percent_encode(text.as_bytes(), &UNRESERVED).to_string()
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes a key of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("make an HMAC");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn denied(message: &str) -> S3Error {
    S3Error::new(403, "AccessDenied", message)
}

fn malformed(what: &str) -> S3Error {
    let message = format!("The authorization header {what}");
    S3Error::new(400, "AuthorizationHeaderMalformed", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// An example of the S3 documentation: all have one key, one day and one host.
    #[track_caller]
    fn check(method: &str, target: &str, digest: &str, headers: &[(&str, &str)], expect: &str) {
        let time = "20130524T000000Z";
        let mut request = http::Request::builder()
            .method(method)
            .uri(target)
            .header("host", "examplebucket.s3.amazonaws.com")
            .header("x-amz-content-sha256", digest)
            .header("x-amz-date", time);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let head = Head::new(request.body(()).unwrap().into_parts().0);
        let mut signed: Vec<&str> = head.headers.keys().map(|name| name.as_str()).collect();
        signed.sort_unstable();
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders={},Signature={expect}",
            signed.join(";")
        );
        let claim = Claim::parse(&authorization).unwrap();
        let canonical = canonical_request(&head, claim.signed_headers).unwrap();
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        assert_eq!(signature(secret, &claim, time, &canonical), claim.signature, "{canonical}");
    }

    #[test]
    fn signatures_match_the_examples_of_the_s3_documentation() {
        check(
            "GET",
            "/test.txt",
            EMPTY,
            &[("range", "bytes=0-9")],
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
        check(
            "PUT",
            "/test%24file.text",
            "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        );
        check(
            "GET",
            "/?max-keys=2&prefix=J",
            EMPTY,
            &[],
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        );
        check(
            "GET",
            "/?lifecycle",
            EMPTY,
            &[],
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        );
    }

    #[test]
    fn the_canonical_path_is_encoded_strictly_whatever_the_wire_says() {
        let parts = |target: &str| {
            let request = http::Request::builder().uri(target).header("host", "h");
            let request = request.header("x-amz-content-sha256", EMPTY).body(()).unwrap();
            Head::new(request.into_parts().0)
        };
        for target in ["/b/p=1/a(1)", "/b/p%3D1/a%281%29"] {
            let canonical = canonical_request(&parts(target), "host").unwrap();
            assert!(canonical.starts_with("GET\n/b/p%3D1/a%281%29\n\n"), "{canonical}");
        }
        let canonical = canonical_request(&parts("/b?b=x+y&a=%2f&c"), "host").unwrap();
        assert!(canonical.starts_with("GET\n/b\na=%2F&b=x%20y&c=\n"), "{canonical}");
    }
}
