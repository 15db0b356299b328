//! What a sink remembers, and its answer to each request.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::SinkSpec;
use super::request::Head;
use crate::s3::body::decode_chunks;
use crate::s3::checksum::Algorithm;
use crate::s3::listing::{Entry, Query};
use crate::s3::object::parse_range;
use crate::s3::{request::decode, xml};

const MODIFIED_HTTP: &str = "Wed, 01 Jan 2025 00:00:00 GMT";
const MODIFIED_XML: &str = "2025-01-01T00:00:00.000Z";
const PAGE_SIZE: usize = 1000;
const CRC32C: &str = "x-amz-checksum-crc32c";

/// What became of a body.
pub(super) enum Received {
    /// Thrown away but for its last bytes.
    Tail(Vec<u8>),
    Whole(Vec<u8>),
}

impl Received {
    /// Takes the next bytes of the body.
    pub(super) fn take(&mut self, bytes: &[u8], tail_bytes: usize) {
        match self {
            Self::Whole(whole) => whole.extend_from_slice(bytes),
            Self::Tail(tail) => {
                let last = &bytes[bytes.len().saturating_sub(tail_bytes)..];
                tail.drain(..(tail.len() + last.len()).saturating_sub(tail_bytes).min(tail.len()));
                tail.extend_from_slice(last);
            }
        }
    }
}

/// Body of an answer.
#[derive(Debug)]
pub(super) enum Body {
    Bytes(Bytes),
    Generated { offset: u64, bytes: u64 },
}

impl Body {
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(body) => body.len() as u64,
            Self::Generated { bytes, .. } => *bytes,
        }
    }
}

/// An answer; `headers` are complete lines.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: String,
    pub(super) body: Body,
}

impl Answer {
    fn empty(status: u16) -> Self {
        Self { status, headers: String::new(), body: Body::Bytes(Bytes::new()) }
    }

    fn xml(document: String) -> Self {
        let headers = "content-type: application/xml\r\n".to_owned();
        Self { status: 200, headers, body: Body::Bytes(document.into()) }
    }

    pub(super) fn error(status: u16, code: &str) -> Self {
        let mut answer = Self::xml(format!("<Error>{}</Error>", xml::element("Code", code)));
        answer.status = status;
        answer
    }

    fn written(bytes: u64) -> Self {
        Self { headers: format!("etag: \"{}\"\r\n", etag(bytes)), ..Self::empty(200) }
    }
}

fn etag(bytes: u64) -> String {
    format!("sink-{bytes}")
}

/// What is known of one object.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) bytes: u64,
    crc32c: Option<String>,
    content: Option<Bytes>,
}

/// State of one sink.
pub(super) struct Sink {
    spec: SinkSpec,
    /// By bucket and key.
    written: Mutex<BTreeMap<(String, String), Known>>,
    /// By upload id, then part number: bytes.
    uploads: Mutex<HashMap<String, BTreeMap<u32, u64>>>,
    pub(super) requests: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink {
    pub(super) fn new(mut spec: SinkSpec) -> Self {
        spec.objects.sort();
        spec.objects.dedup_by(|a, b| a.0 == b.0);
        Self {
            spec,
            written: Mutex::default(),
            uploads: Mutex::default(),
            requests: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        }
    }

    /// How much of the request's body its answer needs.
    pub(super) fn keeps(&self, head: &Head) -> Received {
        let kept = self.spec.verify_crc32c
            || head.method() == "POST"
            || self.spec.keep.iter().any(|text| head.key.contains(text.as_str()));
        if kept { Received::Whole(Vec::new()) } else { Received::Tail(Vec::new()) }
    }

    pub(super) fn find(&self, bucket: &str, key: &str) -> Option<Known> {
        let written = lock(&self.written);
        if let Some(known) = written.get(&(bucket.to_owned(), key.to_owned())) {
            return Some(known.clone());
        }
        if bucket != self.spec.bucket {
            return None;
        }
        let found =
            self.spec.objects.binary_search_by(|(other, _)| other.as_str().cmp(key)).ok()?;
        let bytes = self.spec.objects.get(found)?.1;
        Some(Known { bytes, crc32c: None, content: None })
    }

    pub(super) fn answer(&self, head: &Head, received: Received) -> Answer {
        match (head.method(), head.key.is_empty()) {
            ("GET", true) if head.bucket.is_empty() => self.root(head),
            ("GET", true) => self.list(head),
            ("GET" | "HEAD", false) => self.read(head),
            ("HEAD" | "PUT", true) => Answer::empty(200),
            ("PUT", false) => self.write(head, received),
            ("POST", _) => self.post(head, received),
            ("DELETE", false) => {
                match query(head, "uploadId") {
                    Some(id) => drop(lock(&self.uploads).remove(&id)),
                    None => self.remove(&head.bucket, &head.key),
                }
                Answer::empty(204)
            }
            _ => Answer::error(501, "NotImplemented"),
        }
    }

    fn root(&self, head: &Head) -> Answer {
        if head.raw_query() != "counts" {
            let buckets = format!(
                "<Buckets><Bucket>{}<CreationDate>{MODIFIED_XML}</CreationDate></Bucket></Buckets>",
                xml::element("Name", &self.spec.bucket)
            );
            return Answer::xml(xml::document("ListAllMyBucketsResult", &buckets));
        }
        let counts = self.counts();
        let text = format!(
            "{{\"requests\":{},\"writes\":{},\"bytes_in\":{},\"bytes_out\":{}}}\n",
            counts.requests, counts.writes, counts.bytes_in, counts.bytes_out
        );
        Answer { body: Body::Bytes(text.into()), ..Answer::empty(200) }
    }

    fn read(&self, head: &Head) -> Answer {
        let Some(known) = self.find(&head.bucket, &head.key) else {
            return Answer::error(404, "NoSuchKey");
        };
        let tag = etag(known.bytes);
        if head.header("if-match").is_some_and(|m| m != "*" && m.trim_matches('"') != tag) {
            return Answer::error(412, "PreconditionFailed");
        }
        let range = match head.header("range").map(|range| parse_range(range, known.bytes)) {
            Some(Err(_)) => return Answer::error(416, "InvalidRange"),
            Some(Ok(range)) => range,
            None => None,
        };
        let mut answer = Answer::empty(200);
        answer.headers = format!(
            "etag: \"{tag}\"\r\nlast-modified: {MODIFIED_HTTP}\r\naccept-ranges: bytes\r\n\
             content-type: binary/octet-stream\r\n"
        );
        if let Some(crc32c) = &known.crc32c
            && range.is_none()
        {
            let kind = "x-amz-checksum-type: FULL_OBJECT";
            answer.headers.push_str(&format!("{CRC32C}: {crc32c}\r\n{kind}\r\n"));
        }
        if let Some(Range { start, end }) = range {
            answer.status = 206;
            let total = known.bytes;
            answer
                .headers
                .push_str(&format!("content-range: bytes {start}-{}/{total}\r\n", end - 1));
        }
        let Range { start, end } = range.unwrap_or(0..known.bytes);
        answer.body = match known.content {
            Some(content) => Body::Bytes(content.slice(start as usize..end as usize)),
            None => Body::Generated { offset: start, bytes: end - start },
        };
        answer
    }

    fn write(&self, head: &Head, received: Received) -> Answer {
        let known = if let Some(source) = head.header("x-amz-copy-source") {
            let source = decode(source);
            let found = source.trim_start_matches('/').split_once('/');
            match found.and_then(|(bucket, key)| self.find(bucket, key)) {
                Some(known) => known,
                None => return Answer::error(404, "NoSuchKey"),
            }
        } else {
            match self.verified(head, received) {
                Ok(known) => known,
                Err(code) => return Answer::error(400, code),
            }
        };
        let bytes = known.bytes;
        if let (Some(id), Some(number)) = (query(head, "uploadId"), query(head, "partNumber")) {
            let number = number.parse().unwrap_or(0);
            match lock(&self.uploads).get_mut(&id) {
                Some(parts) => parts.insert(number, bytes),
                None => return Answer::error(404, "NoSuchUpload"),
            };
        } else if !self.store(head, known) {
            return Answer::error(412, "PreconditionFailed");
        }
        self.writes.fetch_add(1, Relaxed);
        let element =
            if query(head, "uploadId").is_some() { "CopyPartResult" } else { "CopyObjectResult" };
        match head.header("x-amz-copy-source") {
            Some(_) => Answer::xml(xml::document(
                element,
                &(xml::element("LastModified", MODIFIED_XML) + &xml::element("ETag", &etag(bytes))),
            )),
            None => Answer::written(bytes),
        }
    }

    /// Size and claimed checksum of a body that came; checks the claim if the spec says so.
    fn verified(&self, head: &Head, received: Received) -> Result<Known, &'static str> {
        let number = |name: &str| head.header(name).and_then(|value| value.parse::<u64>().ok());
        let framed = head.is_framed();
        let length = if framed { "x-amz-decoded-content-length" } else { "content-length" };
        let bytes = number(length).ok_or("IncompleteBody")?;
        let mut crc32c = head.header(CRC32C).map(str::to_owned);
        let content = match received {
            Received::Tail(tail) => {
                crc32c = crc32c.or_else(|| trailer(&tail).filter(|_| framed));
                None
            }
            Received::Whole(whole) if framed => {
                let (content, mut trailers) =
                    decode_chunks(whole.into()).map_err(|error| error.code)?;
                crc32c = crc32c.or_else(|| trailers.remove(CRC32C));
                Some(content)
            }
            Received::Whole(whole) => Some(whole.into()),
        };
        if let Some(content) = &content {
            if content.len() as u64 != bytes {
                return Err("IncompleteBody");
            }
            if let Some(claimed) = &crc32c
                && *claimed != Algorithm::Crc32c.value(content)
            {
                return Err("BadDigest");
            }
        }
        let is_kept = self.spec.keep.iter().any(|text| head.key.contains(text.as_str()));
        Ok(Known { bytes, crc32c, content: content.filter(|_| is_kept) })
    }

    /// Remembers an object; false where a condition forbids it.
    fn store(&self, head: &Head, known: Known) -> bool {
        let create = head.header("if-none-match").is_some();
        let in_table = create && self.find(&head.bucket, &head.key).is_some();
        let mut written = lock(&self.written);
        let name = (head.bucket.clone(), head.key.clone());
        if create && (in_table || written.contains_key(&name)) {
            return false;
        }
        written.insert(name, known);
        true
    }

    fn remove(&self, bucket: &str, key: &str) {
        lock(&self.written).remove(&(bucket.to_owned(), key.to_owned()));
    }

    fn post(&self, head: &Head, received: Received) -> Answer {
        let names = xml::element("Bucket", &head.bucket) + &xml::element("Key", &head.key);
        if query(head, "uploads").is_some() {
            let id = format!("sink-{}-{}", self.requests.load(Relaxed), uuid::Uuid::new_v4());
            lock(&self.uploads).insert(id.clone(), BTreeMap::new());
            let content = names + &xml::element("UploadId", &id);
            return Answer::xml(xml::document("InitiateMultipartUploadResult", &content));
        }
        if let Some(id) = query(head, "uploadId") {
            let Some(parts) = lock(&self.uploads).get(&id).cloned() else {
                return Answer::error(404, "NoSuchUpload");
            };
            let known = Known { bytes: parts.values().sum(), crc32c: None, content: None };
            let content = names + &xml::element("ETag", &etag(known.bytes));
            if !self.store(head, known) {
                return Answer::error(412, "PreconditionFailed");
            }
            lock(&self.uploads).remove(&id);
            return Answer::xml(xml::document("CompleteMultipartUploadResult", &content));
        }
        if query(head, "delete").is_some()
            && let Received::Whole(body) = received
        {
            let document = String::from_utf8_lossy(&body).into_owned();
            let mut deleted = String::new();
            for object in xml::elements(&document, "Object") {
                if let Some(key) = xml::text(object, "Key") {
                    self.remove(&head.bucket, &key);
                    let element = xml::element("Key", &key);
                    deleted.push_str(&format!("<Deleted>{element}</Deleted>"));
                }
            }
            return Answer::xml(xml::document("DeleteResult", &deleted));
        }
        Answer::error(501, "NotImplemented")
    }

    fn list(&self, head: &Head) -> Answer {
        let parameters = head.query();
        let get = |name: &str| {
            parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
        };
        if get("location").is_some() {
            return Answer::xml(xml::document("LocationConstraint", ""));
        }
        let query = match Query::parse(get, PAGE_SIZE) {
            Ok(query) => query,
            Err(error) => return Answer::error(error.status, error.code),
        };
        let first = query.first_key().to_owned();
        let start = self.spec.objects.partition_point(|(key, _)| *key < first);
        let table = if head.bucket == self.spec.bucket { &self.spec.objects[start..] } else { &[] };
        let written = lock(&self.written);
        let from = (head.bucket.clone(), first);
        let merged = Merged {
            table: table.iter().map(|(key, bytes)| (key.as_str(), *bytes)).peekable(),
            written: written
                .range(from..)
                .take_while(|((bucket, _), _)| *bucket == head.bucket)
                .map(|((_, key), known)| (key.as_str(), known.bytes))
                .peekable(),
        };
        let entries = merged.map(|(key, bytes)| Entry {
            key,
            size: bytes,
            etag: etag(bytes).into(),
            modified: MODIFIED_XML.to_owned(),
        });
        Answer::xml(query.page(&head.bucket, entries))
    }
}

/// First value of a query parameter.
fn query(head: &Head, name: &str) -> Option<String> {
    if !head.raw_query().contains(name) {
        return None;
    }
    head.query().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Value of the crc32c trailer at the end of a framed body.
fn trailer(tail: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(tail);
    let (_, value) = text.rsplit_once(&format!("\r\n{CRC32C}:"))?;
    Some(value.split("\r\n").next()?.trim().to_owned())
}

/// Two sorted lists as one; what was written hides what the table says.
struct Merged<T: Iterator, W: Iterator> {
    table: Peekable<T>,
    written: Peekable<W>,
}

impl<'a, T, W> Iterator for Merged<T, W>
where
    T: Iterator<Item = (&'a str, u64)>,
    W: Iterator<Item = (&'a str, u64)>,
{
    type Item = (&'a str, u64);

    fn next(&mut self) -> Option<Self::Item> {
        match (self.table.peek(), self.written.peek()) {
            (Some((table, _)), Some((written, _))) => match table.cmp(written) {
                Ordering::Less => self.table.next(),
                Ordering::Greater => self.written.next(),
                Ordering::Equal => {
                    self.table.next();
                    self.written.next()
                }
            },
            (Some(_), None) => self.table.next(),
            (None, _) => self.written.next(),
        }
    }
}
