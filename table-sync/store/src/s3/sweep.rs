//! Uploads that were never completed: parts that a killed process left, which cost and show in no
//! listing of objects.
//!
//! # Invariants
//! - Only uploads below the given folder are touched, whatever the server lists.
//! - An upload younger than the given age stays: the process that began it may be alive. Its age
//!   is told by the server alone: the `Date` of its answer, or without one the newest `Initiated`
//!   on the page, which makes nothing look older than it is.
//! - Nothing here is needed for anything else to be right, so nothing here fails.
//!
//! Source: Amazon S3 API Reference, "ListMultipartUploads".

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, StreamExt as _};
use http::Method;
use http::header::DATE;

use super::S3;
use super::client::{Call, Reply, header};
use super::multipart::Upload;
use super::xml;
use crate::Store;
use crate::counters::Class;

/// Uploads of one page. Their keys and owners fit into the largest reply that is taken.
const PAGE_UPLOADS: &str = "200";
/// Most pages of one sweep; the next one goes on.
const PAGES_MAX: usize = 25;
/// Aborts under way at a time.
const ABORTS_IN_FLIGHT: usize = 8;

impl Store {
    /// Aborts uploads in parts below the folder `prefix` that were begun more than `age` ago, by
    /// the store's own clock, and never completed; how many. A killed process leaves such parts:
    /// no reader sees them, but they cost.
    ///
    /// Only on S3: Azure discards blocks by itself after a week, and on GCS a lifecycle rule must.
    /// At a server that does not list them they stay, with a line at level debug.
    pub async fn sweep_uploads(&self, prefix: &str, age: Duration) -> u64 {
        match self.s3() {
            Some(s3) => s3.sweep_uploads(prefix, age).await,
            None => 0,
        }
    }
}

/// An unfinished upload, as it is listed.
struct Unfinished {
    upload: Upload,
    initiated: Option<DateTime<Utc>>,
}

/// Where the next page starts: the last key and upload id of this one.
type Marker = (String, String);

impl S3 {
    /// Aborts unfinished uploads below a folder that are older than `age`; how many.
    async fn sweep_uploads(&self, folder: &str, age: Duration) -> u64 {
        let folder = folder.trim_matches('/');
        let parts = [self.prefix.as_ref(), folder].into_iter().filter(|part| !part.is_empty());
        let prefix: String = parts.map(|part| format!("{part}/")).collect();
        // A whole bucket is nobody's own.
        if prefix.is_empty() {
            return 0;
        }
        let mut aborted = 0;
        let mut marker = None;
        for _ in 0..PAGES_MAX {
            let Some(reply) = self.list_uploads(&prefix, marker.as_ref()).await else { break };
            let stale = stale(&reply, &prefix, age);
            let given_up = stream::iter(stale)
                .map(|upload| async move { upload.abort(&self.shared).await })
                .buffer_unordered(ABORTS_IN_FLIGHT)
                .filter(|gone| std::future::ready(*gone));
            aborted += given_up.count().await as u64;
            let next = next_marker(&reply.body);
            if next.is_none() || next == marker {
                break;
            }
            marker = next;
        }
        aborted
    }

    /// One page; `None` when the server does not say.
    async fn list_uploads(&self, prefix: &str, marker: Option<&Marker>) -> Option<Reply> {
        let mut call = Call::new(Class::List, Method::GET, String::new());
        if let Some((key, _)) = marker {
            call = call.query("key-marker", key.as_str());
        }
        call = call.query("max-uploads", PAGE_UPLOADS).query("prefix", prefix);
        if let Some((_, id)) = marker.filter(|(_, id)| !id.is_empty()) {
            call = call.query("upload-id-marker", id.as_str());
        }
        call = call.query("uploads", "");
        match self.shared.send_small(&call, Bytes::new()).await {
            Ok(reply) if reply.status.is_success() && !xml::is_error(&reply.body) => Some(reply),
            Ok(reply) => {
                let answer = self.shared.answer(&reply);
                tracing::debug!(prefix, %answer, "unfinished uploads are not listed");
                None
            }
            Err(error) => {
                tracing::debug!(prefix, %error, "unfinished uploads are not listed");
                None
            }
        }
    }
}

/// The uploads of a page that are below `prefix` and older than `age`.
fn stale(reply: &Reply, prefix: &str, age: Duration) -> Vec<Upload> {
    let unfinished: Vec<_> = xml::elements(&reply.body, "Upload").filter_map(parse).collect();
    let date = header(&reply.headers, DATE.as_str());
    let date = date.and_then(|text| DateTime::parse_from_rfc2822(&text).ok());
    let newest = || unfinished.iter().filter_map(|entry| entry.initiated).max();
    let Some(now) = date.map(|date| date.to_utc()).or_else(newest) else { return Vec::new() };
    let age = TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX);
    let is_stale = |entry: &Unfinished| {
        let is_old = entry.initiated.is_some_and(|initiated| now - initiated > age);
        is_old && entry.upload.key.starts_with(prefix)
    };
    unfinished.into_iter().filter(is_stale).map(|entry| entry.upload).collect()
}

fn parse(element: &str) -> Option<Unfinished> {
    let upload = Upload { key: xml::text(element, "Key")?, id: xml::text(element, "UploadId")? };
    let initiated = xml::text(element, "Initiated");
    let initiated = initiated.and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
    Some(Unfinished { upload, initiated: initiated.map(|time| time.to_utc()) })
}

fn next_marker(document: &str) -> Option<Marker> {
    if xml::text(document, "IsTruncated")? != "true" {
        return None;
    }
    let id = xml::text(document, "NextUploadIdMarker").unwrap_or_default();
    Some((xml::text(document, "NextKeyMarker")?, id))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    const PAGE: &str = "<R><IsTruncated>true</IsTruncated><NextKeyMarker>t/e&amp;f</NextKeyMarker>\
        <NextUploadIdMarker>9</NextUploadIdMarker>\
        <Upload><Key>t/old</Key><UploadId>1</UploadId>\
        <Initiated>2026-11-22T10:00:00.000Z</Initiated></Upload>\
        <Upload><Key>t/young</Key><UploadId>2</UploadId>\
        <Initiated>2026-11-24T09:59:59.000Z</Initiated></Upload>\
        <Upload><Key>t2/other</Key><UploadId>3</UploadId>\
        <Initiated>2026-11-01T10:00:00.000Z</Initiated></Upload>\
        <Upload><Key>t/timeless</Key><UploadId>4</UploadId></Upload></R>";

    #[track_caller]
    fn check(date: Option<&'static str>, age_hours: u64, expect: &[&str]) {
        let mut headers = HeaderMap::new();
        headers.extend(date.map(|date| (DATE, HeaderValue::from_static(date))));
        let reply = Reply { status: StatusCode::OK, headers, body: PAGE.to_owned() };
        let stale = stale(&reply, "t/", Duration::from_secs(age_hours * 3600));
        let ids: Vec<_> = stale.iter().map(|upload| upload.id.as_str()).collect();
        assert_eq!(ids, expect, "{date:?} {age_hours}");
    }

    #[test]
    fn only_old_uploads_below_the_folder_are_stale() {
        check(Some("Tue, 24 Nov 2026 10:00:00 GMT"), 24, &["1"]);
        check(Some("Tue, 24 Nov 2026 10:00:00 GMT"), 48, &[]);
        check(Some("Wed, 25 Nov 2026 10:00:00 GMT"), 24, &["1", "2"]);
        // Without a clock of the server the newest upload tells the least that it can be.
        check(None, 24, &["1"]);
        check(None, 48, &[]);
        check(Some("yesterday"), 47, &["1"]);
    }

    #[test]
    fn the_next_page_starts_behind_this_one() {
        let next = next_marker(PAGE).unwrap();
        assert_eq!(next, ("t/e&f".to_owned(), "9".to_owned()));
        assert_eq!(next_marker("<R><IsTruncated>false</IsTruncated></R>"), None);
    }
}
