//! Multipart uploads: create, upload part, upload part by copy, complete, abort, list.
//!
//! A completed or aborted upload is gone: a second complete answers `NoSuchUpload`, so a client
//! that lost the first answer must look at the object. (Amazon answers a repeated complete as
//! the first; several other stores do not.)

use std::collections::BTreeMap;

use bytes::Bytes;

use super::body::{Payload, check_claim};
use super::checksum::{Algorithm, entity_tag, hex};
use super::clock::now;
use super::config::Config;
use super::object::{check_write_conditions, copy_source, metadata, set_checksums, xml_date};
use super::record::MutationKind;
use super::reply::{Fault, Reply, S3Error};
use super::request::Head;
use super::state::{Object, Part, Shared, State, Upload};
use super::xml;

const PARTS_MAX: u32 = 10_000;

fn no_such_upload() -> S3Error {
    S3Error::new(404, "NoSuchUpload", "The specified multipart upload does not exist.")
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

fn upload_id(head: &Head) -> String {
    head.query("uploadId").unwrap_or_default().to_owned()
}

/// The upload that the query names, if it is one of this key.
fn find<'a>(state: &'a State, head: &Head) -> Result<&'a Upload, S3Error> {
    state
        .uploads
        .get(&upload_id(head))
        .filter(|upload| upload.bucket == head.bucket && upload.key == head.key)
        .ok_or_else(no_such_upload)
}

/// CreateMultipartUpload.
pub(super) async fn create(shared: &Shared, head: &Head) -> Result<Reply, Fault> {
    let algorithm = match head.header("x-amz-checksum-algorithm") {
        Some(name) => Some(
            Algorithm::named(name)
                .ok_or_else(|| S3Error::invalid("Checksum algorithm provided is unsupported."))?,
        ),
        None => None,
    };
    let full_object = head.header("x-amz-checksum-type") == Some("FULL_OBJECT")
        || algorithm == Some(Algorithm::Crc64Nvme);
    let upload = Upload {
        bucket: head.bucket.clone(),
        key: head.key.clone(),
        algorithm,
        full_object,
        metadata: metadata(head),
        initiated: now(),
        parts: BTreeMap::new(),
    };
    let apply = |state: &mut State| {
        state.bucket(&head.bucket)?;
        state.uploads_started += 1;
        let id = format!("upload-{:06}", state.uploads_started);
        state.uploads.insert(id.clone(), upload);
        Ok(id)
    };
    let id = shared.mutate(head, (MutationKind::CreateUpload, &head.key, 0), apply).await?;
    let content = [
        xml::element("Bucket", &head.bucket),
        xml::element("Key", &head.key),
        xml::element("UploadId", &id),
    ];
    Ok(Reply::xml("InitiateMultipartUploadResult", &content.concat()))
}

fn part_number(head: &Head) -> Result<u32, S3Error> {
    head.query("partNumber")
        .and_then(|number| number.parse().ok())
        .filter(|number| (1..=PARTS_MAX).contains(number))
        .ok_or_else(|| {
            let message = "Part number must be an integer between 1 and 10000, inclusive";
            S3Error::new(400, "InvalidArgument", message)
        })
}

fn store_part(state: &mut State, head: &Head, number: u32, part: Part) -> Result<(), S3Error> {
    let algorithm = find(state, head)?.algorithm;
    if let Some(algorithm) = algorithm
        && !part.checksums.contains_key(&algorithm)
    {
        let message = format!(
            "Checksum Type mismatch occurred, expected checksum Type: {algorithm:?}, actual \
             checksum Type: {:?}",
            part.checksums.keys().next()
        );
        return Err(S3Error::invalid(message));
    }
    let upload = state.uploads.get_mut(&upload_id(head)).ok_or_else(no_such_upload)?;
    upload.parts.insert(number, part);
    Ok(())
}

/// UploadPart.
pub(super) async fn put_part(
    shared: &Shared,
    head: &Head,
    payload: Payload,
) -> Result<Reply, Fault> {
    let number = part_number(head)?;
    let bytes = payload.bytes.len() as u64;
    let part = Part {
        etag: entity_tag(&payload.bytes),
        bytes: payload.bytes,
        checksums: payload.checksums,
    };
    let mut reply = Reply::empty(200).with("etag", &quoted(&part.etag));
    set_checksums(&mut reply, &part.checksums, false);
    reply.headers.remove("x-amz-checksum-type");
    let apply = |state: &mut State| store_part(state, head, number, part);
    shared.mutate(head, (MutationKind::UploadPart, &head.key, bytes), apply).await?;
    Ok(reply)
}

/// UploadPartCopy.
pub(super) async fn copy_part(shared: &Shared, head: &Head) -> Result<Reply, Fault> {
    let number = part_number(head)?;
    let apply = |state: &mut State| {
        let source = copy_source(state, head)?;
        let bytes = match head.header("x-amz-copy-source-range") {
            Some(range) => copy_range(range, &source.bytes)?,
            None => source.bytes,
        };
        let etag = entity_tag(&bytes);
        let algorithm = find(state, head)?.algorithm;
        let checksums = algorithm.map(|a| (a, a.value(&bytes))).into_iter().collect();
        store_part(state, head, number, Part { bytes, etag: etag.clone(), checksums })?;
        Ok(etag)
    };
    let etag = shared.mutate(head, (MutationKind::UploadPart, &head.key, 0), apply).await?;
    let content =
        [xml::element("LastModified", &xml_date(now())), xml::element("ETag", &quoted(&etag))];
    Ok(Reply::xml("CopyPartResult", &content.concat()))
}

/// `bytes=first-last`, which must lie within the source.
fn copy_range(range: &str, bytes: &Bytes) -> Result<Bytes, S3Error> {
    let parsed = range.strip_prefix("bytes=").and_then(|spec| {
        let (first, last) = spec.split_once('-')?;
        Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
    });
    match parsed {
        Some((first, last)) if first <= last && last < bytes.len() => Ok(bytes.slice(first..=last)),
        _ => Err(S3Error::new(416, "InvalidRange", "The copy source range is not valid")),
    }
}

/// CompleteMultipartUpload: verifies the list of parts and makes the object visible.
pub(super) async fn complete(
    shared: &Shared,
    config: &Config,
    head: &Head,
    body: &Bytes,
    early: Result<(), S3Error>,
) -> Result<Reply, Fault> {
    let document = String::from_utf8_lossy(body).into_owned();
    let apply = |state: &mut State| {
        let object = assemble(find(state, head)?, config, head, &document)?;
        if config.racy_conditional_put {
            early?;
        } else {
            check_write_conditions(state, head, config)?;
        }
        let etag = object.etag.clone();
        let checksums = object.checksums.clone();
        state.set(&head.bucket, &head.key, Some(object))?;
        state.uploads.remove(&upload_id(head));
        Ok((etag, checksums))
    };
    let bytes = shared.lock().uploads.get(&upload_id(head)).map_or(0, upload_bytes);
    let mutation = (MutationKind::CompleteUpload, head.key.as_str(), bytes);
    let (etag, checksums) = shared.mutate(head, mutation, apply).await?;
    let mut content = [
        xml::element("Bucket", &head.bucket),
        xml::element("Key", &head.key),
        xml::element("ETag", &quoted(&etag)),
    ]
    .concat();
    for (algorithm, value) in &checksums {
        content.push_str(&xml::element(algorithm.element(), value));
    }
    Ok(Reply::xml("CompleteMultipartUploadResult", &content))
}

fn upload_bytes(upload: &Upload) -> u64 {
    upload.parts.values().map(|part| part.bytes.len() as u64).sum()
}

/// The parts that the client lists, verified against what it uploaded.
fn chosen_parts<'a>(
    upload: &'a Upload,
    config: &Config,
    document: &str,
) -> Result<Vec<&'a Part>, S3Error> {
    let malformed =
        || S3Error::new(400, "MalformedXML", "The XML you provided was not well-formed");
    let invalid =
        || S3Error::new(400, "InvalidPart", "One or more of the parts could not be found.");
    let mut chosen: Vec<&Part> = Vec::new();
    let mut last = 0;
    for listed in xml::elements(document, "Part") {
        let number: u32 = xml::text(listed, "PartNumber")
            .and_then(|number| number.trim().parse().ok())
            .ok_or_else(malformed)?;
        if number <= last {
            let message = "The list of parts was not in ascending order.";
            return Err(S3Error::new(400, "InvalidPartOrder", message));
        }
        last = number;
        let part = upload.parts.get(&number).ok_or_else(invalid)?;
        let etag = xml::text(listed, "ETag").ok_or_else(malformed)?;
        if etag.trim_matches('"') != part.etag {
            return Err(invalid());
        }
        for algorithm in Algorithm::ALL {
            let claimed = xml::text(listed, algorithm.element());
            if claimed.is_some() && claimed.as_ref() != part.checksums.get(&algorithm) {
                return Err(invalid());
            }
        }
        chosen.push(part);
    }
    let Some((_, all_but_last)) = chosen.split_last() else { return Err(malformed()) };
    if all_but_last.iter().any(|part| (part.bytes.len() as u64) < config.part_bytes_min) {
        let message = "Your proposed upload is smaller than the minimum allowed size";
        return Err(S3Error::new(400, "EntityTooSmall", message));
    }
    Ok(chosen)
}

fn assemble(
    upload: &Upload,
    config: &Config,
    head: &Head,
    document: &str,
) -> Result<Object, S3Error> {
    let parts = chosen_parts(upload, config, document)?;
    let bytes: Bytes =
        parts.iter().flat_map(|part| part.bytes.iter().copied()).collect::<Vec<u8>>().into();
    if let Some(size) = head.header("x-amz-mp-object-size")
        && size.parse() != Ok(bytes.len() as u64)
    {
        return Err(S3Error::invalid("The object size does not match x-amz-mp-object-size"));
    }
    let mut checksums = BTreeMap::new();
    let composite = upload.algorithm.is_some() && !upload.full_object;
    if let Some(algorithm) = upload.algorithm {
        let values: Vec<&str> = parts
            .iter()
            .filter_map(|part| part.checksums.get(&algorithm))
            .map(String::as_str)
            .collect();
        let value = if composite {
            algorithm.composite(values.into_iter())
        } else {
            Some(algorithm.value(&bytes))
        };
        checksums.extend(value.map(|value| (algorithm, value)));
    }
    for algorithm in Algorithm::ALL {
        let Some(claimed) = head.header(algorithm.header()) else { continue };
        match checksums.get(&algorithm) {
            _ if config.ignore_checksums => {}
            Some(value) if composite && value == claimed => {}
            _ => check_claim(algorithm, claimed, &bytes)?,
        }
    }
    let etags: Vec<u8> = parts.iter().flat_map(|part| part.etag.bytes()).collect();
    let mut object = Object::new(bytes);
    object.etag = format!("{}-{}", entity_tag(hex(&etags).as_bytes()), parts.len());
    object.checksums = checksums;
    object.composite = composite;
    object.metadata = upload.metadata.clone();
    Ok(object)
}

/// AbortMultipartUpload.
pub(super) async fn abort(shared: &Shared, head: &Head) -> Result<Reply, Fault> {
    let apply = |state: &mut State| {
        find(state, head)?;
        state.uploads.remove(&upload_id(head));
        Ok(())
    };
    shared.mutate(head, (MutationKind::AbortUpload, &head.key, 0), apply).await?;
    Ok(Reply::empty(204))
}

/// ListMultipartUploads: one page of uploads with the prefix, by key and id.
pub(super) fn list(shared: &Shared, config: &Config, head: &Head) -> Result<Reply, S3Error> {
    let state = shared.lock();
    state.bucket(&head.bucket)?;
    let text = |name| head.query(name).unwrap_or_default();
    let prefix = text("prefix");
    let after = (text("key-marker"), text("upload-id-marker"));
    let uploads_max = head.query("max-uploads").and_then(|max| max.parse().ok());
    let uploads_max = uploads_max.unwrap_or(usize::MAX).min(config.page_size);
    let mut uploads: Vec<(&str, &str, &Upload)> = state
        .uploads
        .iter()
        .filter(|(_, upload)| upload.bucket == head.bucket && upload.key.starts_with(prefix))
        .map(|(id, upload)| (upload.key.as_str(), id.as_str(), upload))
        .filter(|(key, id, _)| after.0.is_empty() || (*key, *id) > after)
        .collect();
    uploads.sort_by_key(|(key, id, _)| (*key, *id));
    let truncated = uploads.len() > uploads_max;
    uploads.truncate(uploads_max);
    let mut content = xml::element("Bucket", &head.bucket) + &xml::element("Prefix", prefix);
    content.push_str(&xml::element("IsTruncated", &truncated.to_string()));
    if let Some((key, id, _)) = uploads.last().filter(|_| truncated) {
        content.push_str(&xml::element("NextKeyMarker", key));
        content.push_str(&xml::element("NextUploadIdMarker", id));
    }
    for (key, id, upload) in uploads {
        content.push_str(&format!(
            "<Upload>{}{}{}</Upload>",
            xml::element("Key", key),
            xml::element("UploadId", id),
            xml::element("Initiated", &xml_date(upload.initiated)),
        ));
    }
    Ok(Reply::xml("ListMultipartUploadsResult", &content))
}
