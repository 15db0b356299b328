//! Operations on one object: GET, HEAD, PUT, copy, DELETE, DeleteObjects.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use http::HeaderMap;

use super::body::Payload;
use super::checksum::Algorithm;
use super::clock::now;
use super::config::Config;
use super::record::MutationKind;
use super::reply::{Fault, Reply, S3Error};
use super::request::{Head, decode};
use super::state::{Object, Shared, State};
use super::xml;

/// `Last-Modified` and other dates of HTTP headers.
pub(super) fn http_date(time: DateTime<Utc>) -> String {
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Dates of XML answers.
pub(super) fn xml_date(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// Whether a list of entity tags, as conditions carry it, names `etag`.
pub(super) fn names_etag(list: &str, etag: &str) -> bool {
    list.split(',').map(|tag| tag.trim().trim_matches('"')).any(|tag| tag == "*" || tag == etag)
}

/// GET and HEAD of an object.
pub(super) fn read(shared: &Shared, head: &Head) -> Result<Reply, S3Error> {
    let object = shared.lock().object(&head.bucket, &head.key)?;
    check_read_conditions(&head.headers, "", &object)?;
    let length = object.bytes.len() as u64;
    let range = match head.header("range") {
        Some(range) => parse_range(range, length)?,
        None => None,
    };
    let mut reply = Reply::empty(200);
    reply.headers = object.metadata.clone();
    reply.set("etag", &quoted(&object.etag));
    reply.set("last-modified", &http_date(object.modified));
    reply.set("accept-ranges", "bytes");
    if !reply.headers.contains_key("content-type") {
        reply.set("content-type", "binary/octet-stream");
    }
    reply.body = match range {
        Some(Range { start, end }) => {
            reply.status = 206;
            reply.set("content-range", &format!("bytes {start}-{}/{length}", end - 1));
            object.bytes.slice(start as usize..end as usize)
        }
        None => {
            if head.header("x-amz-checksum-mode") == Some("ENABLED") {
                set_checksums(&mut reply, &object.checksums, object.composite);
            }
            object.bytes.clone()
        }
    };
    if head.method == "HEAD" {
        reply.length = Some(reply.body.len() as u64);
        reply.body = Bytes::new();
    }
    Ok(reply)
}

/// Adds stored checksums and their type to an answer.
pub(super) fn set_checksums(
    reply: &mut Reply,
    checksums: &BTreeMap<Algorithm, String>,
    composite: bool,
) {
    for (algorithm, value) in checksums {
        reply.set(algorithm.header(), value);
    }
    if !checksums.is_empty() {
        reply.set("x-amz-checksum-type", if composite { "COMPOSITE" } else { "FULL_OBJECT" });
    }
}

/// Conditions of GET and HEAD, or with the prefix `x-amz-copy-source-` those of a copy's source.
fn check_read_conditions(
    headers: &HeaderMap,
    prefix: &str,
    object: &Object,
) -> Result<(), S3Error> {
    let get = |name: &str| headers.get(format!("{prefix}{name}")).and_then(|v| v.to_str().ok());
    let date = |name: &str| DateTime::parse_from_rfc2822(get(name)?).ok();
    // Dates of HTTP have whole seconds.
    let modified = object.modified.timestamp();
    if let Some(tags) = get("if-match") {
        if !names_etag(tags, &object.etag) {
            return Err(S3Error::precondition_failed());
        }
    } else if date("if-unmodified-since").is_some_and(|date| modified > date.timestamp()) {
        return Err(S3Error::precondition_failed());
    }
    let unchanged = match get("if-none-match") {
        Some(tags) => names_etag(tags, &object.etag),
        None => date("if-modified-since").is_some_and(|date| modified <= date.timestamp()),
    };
    match (unchanged, prefix.is_empty()) {
        (false, _) => Ok(()),
        (true, true) => Err(S3Error::new(304, "NotModified", "Not Modified")),
        (true, false) => Err(S3Error::precondition_failed()),
    }
}

/// The bytes that a `Range` header asks for, or `None` where S3 ignores the header.
pub(super) fn parse_range(header: &str, length: u64) -> Result<Option<Range<u64>>, S3Error> {
    let Some(spec) = header.strip_prefix("bytes=") else { return Ok(None) };
    let Some((first, last)) = spec.split_once('-') else { return Ok(None) };
    let range = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..length.min(last.saturating_add(1)),
        (Ok(first), Err(_)) if last.trim().is_empty() => first..length,
        (Err(_), Ok(suffix)) if first.trim().is_empty() => length.saturating_sub(suffix)..length,
        _ => return Ok(None),
    };
    if range.is_empty() {
        return Err(S3Error::new(416, "InvalidRange", "The requested range is not satisfiable"));
    }
    Ok(Some(range))
}

/// Decides `If-None-Match` and `If-Match` of a write.
pub(super) fn check_write_conditions(
    state: &State,
    head: &Head,
    config: &Config,
) -> Result<(), S3Error> {
    if config.no_conditional_put {
        return Ok(());
    }
    let current = state.bucket(&head.bucket)?.get(&head.key);
    if let Some(tags) = head.header("if-none-match") {
        if tags != "*" {
            let message = "A header you provided implies functionality that is not implemented";
            return Err(S3Error::new(501, "NotImplemented", message));
        }
        if current.is_some() {
            return Err(S3Error::precondition_failed());
        }
    }
    match (head.header("if-match"), current) {
        (Some(_), None) => Err(S3Error::no_such_key()),
        (Some(tags), Some(object)) if !names_etag(tags, &object.etag) => {
            Err(S3Error::precondition_failed())
        }
        _ => Ok(()),
    }
}

/// Headers that are stored with an object and come back with it.
pub(super) fn metadata(head: &Head) -> HeaderMap {
    const KEPT: [&str; 5] = [
        "content-type",
        "content-encoding",
        "content-disposition",
        "content-language",
        "cache-control",
    ];
    let mut kept = HeaderMap::new();
    for (name, value) in &head.headers {
        if KEPT.contains(&name.as_str()) || name.as_str().starts_with("x-amz-meta-") {
            kept.insert(name.clone(), value.clone());
        }
    }
    // The framing of the upload is no property of the object.
    if let Some(encoding) = head.header("content-encoding") {
        let rest: Vec<&str> =
            encoding.split(',').map(str::trim).filter(|e| *e != "aws-chunked").collect();
        kept.remove("content-encoding");
        if let Ok(value) = rest.join(",").parse()
            && !rest.is_empty()
        {
            kept.insert("content-encoding", value);
        }
    }
    kept
}

/// PUT of a whole object. `early` is the decision at the head, which only a racy server uses.
pub(super) async fn put(
    shared: &Shared,
    config: &Config,
    head: &Head,
    payload: Payload,
    early: Result<(), S3Error>,
) -> Result<Reply, Fault> {
    let bytes = payload.bytes.len() as u64;
    let mut object = Object::new(payload.bytes);
    object.checksums = payload.checksums;
    object.metadata = metadata(head);
    let mut reply = Reply::empty(200).with("etag", &quoted(&object.etag));
    set_checksums(&mut reply, &object.checksums, false);
    let apply = |state: &mut State| {
        if config.racy_conditional_put {
            early?;
        } else {
            check_write_conditions(state, head, config)?;
        }
        state.set(&head.bucket, &head.key, Some(object))
    };
    shared.mutate(head, (MutationKind::Put, &head.key, bytes), apply).await?;
    Ok(reply)
}

/// The source that `x-amz-copy-source` names, its conditions checked.
pub(super) fn copy_source(state: &State, head: &Head) -> Result<Object, S3Error> {
    let source = head.header("x-amz-copy-source").unwrap_or_default();
    let path = decode(source.split('?').next().unwrap_or_default());
    let (bucket, key) = path
        .trim_start_matches('/')
        .split_once('/')
        .ok_or_else(|| S3Error::new(400, "InvalidArgument", "copy source has no key"))?;
    let object = state.object(bucket, key)?;
    check_read_conditions(&head.headers, "x-amz-copy-source-", &object)?;
    Ok(Object::clone(&object))
}

/// CopyObject. Conditions on the target are ignored, as every known server does.
pub(super) async fn copy(shared: &Shared, head: &Head) -> Result<Reply, Fault> {
    let apply = |state: &mut State| {
        let mut object = copy_source(state, head)?;
        object.modified = now();
        if head.header("x-amz-metadata-directive") == Some("REPLACE") {
            object.metadata = metadata(head);
        }
        let (etag, modified) = (object.etag.clone(), object.modified);
        state.set(&head.bucket, &head.key, Some(object))?;
        Ok((etag, modified))
    };
    let (etag, modified) = shared.mutate(head, (MutationKind::Copy, &head.key, 0), apply).await?;
    let content =
        [xml::element("LastModified", &xml_date(modified)), xml::element("ETag", &quoted(&etag))];
    Ok(Reply::xml("CopyObjectResult", &content.concat()))
}

/// Deletes one key; a key that does not exist is deleted already, unless a condition names it.
async fn delete_one(
    shared: &Shared,
    config: &Config,
    head: &Head,
    key: &str,
    condition: Option<&str>,
) -> Result<(), Fault> {
    let apply = |state: &mut State| {
        let current = state.bucket(&head.bucket)?.get(key).cloned();
        match (condition.filter(|_| !config.no_conditional_delete), current) {
            (Some(_), None) => return Err(S3Error::no_such_key()),
            (Some(tags), Some(object)) if !names_etag(tags, &object.etag) => {
                return Err(S3Error::precondition_failed());
            }
            (_, None) => return Ok(()),
            (_, Some(_)) => {}
        }
        state.set(&head.bucket, key, None)
    };
    shared.mutate(head, (MutationKind::Delete, key, 0), apply).await
}

/// DELETE of an object.
pub(super) async fn delete(shared: &Shared, config: &Config, head: &Head) -> Result<Reply, Fault> {
    delete_one(shared, config, head, &head.key, head.header("if-match")).await?;
    Ok(Reply::empty(204))
}

/// DeleteObjects: at most 1,000 keys, each a mutation of its own.
pub(super) async fn delete_many(
    shared: &Shared,
    config: &Config,
    head: &Head,
    body: &Bytes,
) -> Result<Reply, Fault> {
    let malformed =
        || S3Error::new(400, "MalformedXML", "The XML you provided was not well-formed");
    let document = std::str::from_utf8(body).map_err(|_| malformed())?;
    let objects = xml::elements(document, "Object");
    if objects.is_empty() || objects.len() > 1000 {
        return Err(malformed().into());
    }
    let quiet = xml::text(document, "Quiet").is_some_and(|quiet| quiet == "true");
    let mut content = String::new();
    for object in objects {
        let key = xml::text(object, "Key").ok_or_else(malformed)?;
        let condition = xml::text(object, "ETag");
        let key_element = xml::element("Key", &key);
        match delete_one(shared, config, head, &key, condition.as_deref()).await {
            Ok(()) if quiet => {}
            Ok(()) => content.push_str(&format!("<Deleted>{key_element}</Deleted>")),
            Err(Fault::Error(error)) => content.push_str(&format!(
                "<Error>{key_element}{}{}</Error>",
                xml::element("Code", error.code),
                xml::element("Message", &error.message),
            )),
            Err(fault) => return Err(fault),
        }
    }
    Ok(Reply::xml("DeleteResult", &content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, length: u64, expect: Result<Option<Range<u64>>, u16>) {
        let range = parse_range(header, length).map_err(|error| error.status);
        assert_eq!(range, expect, "{header} of {length}");
    }

    #[test]
    fn ranges_are_cut_to_the_object() {
        check("bytes=0-0", 10, Ok(Some(0..1)));
        check("bytes=2-5", 10, Ok(Some(2..6)));
        check("bytes=2-50", 10, Ok(Some(2..10)));
        check("bytes=2-", 10, Ok(Some(2..10)));
        check("bytes=-3", 10, Ok(Some(7..10)));
        check("bytes=-30", 10, Ok(Some(0..10)));
    }

    #[test]
    fn ranges_outside_the_object_are_refused() {
        check("bytes=10-", 10, Err(416));
        check("bytes=10-12", 10, Err(416));
        check("bytes=-0", 10, Err(416));
        check("bytes=-5", 0, Err(416));
    }

    #[test]
    fn ranges_that_s3_does_not_know_are_ignored() {
        check("bytes=0-1,3-4", 10, Ok(None));
        check("bytes=5-2", 10, Ok(None));
        check("lines=0-1", 10, Ok(None));
    }
}
