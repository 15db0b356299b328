//! Hints: which tables an object lies in, so that their owners look at once.
//!
//! An index of sources in memory. It may be a few seconds old: hints only save time.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use driftless_catalog::{NewEvent, TableId};
use http::header::ALLOW;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Service;
use crate::auth::Caller;
use crate::error::{Answer, ApiError};
use crate::etag::Expect;
use crate::hint::{self, Object};
use crate::metrics::{HintCounters, HintCounts};
use crate::place::{Place, Scheme, Stores};

/// Who wants to send CloudEvents, and the answer that lets it.
const ASKING: HeaderName = HeaderName::from_static("webhook-request-origin");
const ALLOWED: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// How long the index is good: other processes change tables as well.
const FRESH_MS: i64 = 5_000;

/// The index, and what became of the hints so far.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    /// With the time when it was made.
    index: Mutex<Option<(i64, Arc<Index>)>>,
    pub(crate) counters: HintCounters,
}

impl Feed {
    /// Makes the next hint read the sources anew.
    pub(crate) fn forget(&self) {
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn index(&self, api: &Service) -> Answer<Arc<Index>> {
        let now_ms = api.now_ms();
        let fresh = |made: &i64| (0..FRESH_MS).contains(&(now_ms - made));
        let known = self.index.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, index)) = known.filter(|(made, _)| fresh(made)) {
            return Ok(index);
        }
        let stores = Stores::of(api.catalog().stores().await?);
        let mut index = Index::default();
        for (id, project, source) in api.catalog().sources().await? {
            // A source that is no place any more, since its store is gone, gets no hints.
            if let Ok(place) = Place::resolve(&source, &stores) {
                index.add(place, Entry { id, project, account: None });
            }
        }
        let index = Arc::new(index);
        let made = Some((now_ms, index.clone()));
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = made;
        Ok(index)
    }
}

/// Tables by the folder that they lie in.
#[derive(Debug, Default)]
struct Index(HashMap<(Scheme, String), HashMap<String, Vec<Entry>>>);

#[derive(Debug, Clone)]
struct Entry {
    id: TableId,
    project: String,
    account: Option<String>,
}

impl Index {
    fn add(&mut self, place: Place, entry: Entry) {
        let Place { scheme, container, account, path } = place;
        let folders = self.0.entry((scheme, container)).or_default();
        folders.entry(path).or_default().push(Entry { account, ..entry });
    }

    /// Tables whose source is above the object: each of its folders is looked up.
    fn above<'a>(&'a self, object: &'a Object) -> impl Iterator<Item = &'a Entry> {
        let folders = self.0.get(&(object.scheme, object.container.clone()));
        let key = object.key.as_str();
        let ends = key.match_indices('/').map(|(end, _)| end).chain([0, key.len()]);
        let entries = folders.into_iter().flat_map(move |folders| {
            ends.clone().filter_map(|end| folders.get(key.get(..end)?)).flatten()
        });
        entries.filter(|entry| match (&entry.account, &object.account) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        })
    }
}

/// What became of a notification.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hinted {
    /// Records that are about a registered table.
    matched: usize,
    /// Other records.
    ignored: usize,
}

/// The answer that confirms a subscription of Event Grid.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Confirmed {
    /// The code that was sent.
    #[serde(rename = "validationResponse")]
    validation_response: String,
}

/// Take a notification of a store
///
/// Events of S3 (also through SNS or EventBridge), of Cloud Storage (Pub/Sub push or CloudEvents)
/// and of Azure (Event Grid or CloudEvents). They make the tables that they are about be looked at
/// now; without them, or when they are wrong, tables are looked at a little later. Subscriptions
/// of Event Grid are confirmed. One of SNS is the event `hints.subscription`: whoever reads it
/// confirms it by opening its `url`. A sender that cannot set a header has a token of the role
/// `hint` in the URL, as `token`. Hints are not in the audit.
#[utoipa::path(post, path = "/v1/hints", tag = "hints", operation_id = "hint",
    request_body(content((serde_json::Value = "application/json"), (String = "text/plain"))),
    responses(
        (status = 200, description = "The subscription is confirmed", body = Confirmed),
        (status = 202, description = "The tables will be looked at", body = Hinted)),
    security(("token" = ["operator"]), ("hint" = [])))]
pub(crate) async fn hint(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    expect: Expect,
    body: Bytes,
) -> Answer<Response> {
    expect.revision(None)?;
    // SNS sends its JSON as text/plain: the type of the body does not matter here.
    let counters = &api.feed.counters;
    let hints = hint::parse(&body).map_err(|error| {
        counters.add(HintCounts { refused: 1, ..HintCounts::default() });
        ApiError::malformed(format!("read the body: {error}"))
    })?;
    if let Some(validation_response) = hints.validation {
        return Ok(Json(Confirmed { validation_response }).into_response());
    }
    if let Some(url) = hints.confirmation {
        // Only a person opens it: the service goes nowhere because a request says so.
        tracing::warn!(url, "a subscription of SNS waits for somebody to open its URL");
        let body = serde_json::json!({ "url": url });
        let event = NewEvent { kind: "hints.subscription", body };
        api.catalog().note(&event, api.now_ms()).await?;
    }
    let index = api.feed.index(&api).await?;
    let mut woken = BTreeSet::new();
    let (mut matched, mut unmatched) = (0, 0);
    for object in &hints.objects {
        let mut about = index.above(object).filter(|entry| caller.sees(&entry.project)).peekable();
        match about.peek() {
            Some(_) => matched += 1,
            None => unmatched += 1,
        }
        woken.extend(about.map(|entry| entry.id.clone()));
    }
    let woken: Vec<_> = woken.into_iter().collect();
    api.catalog().wake(&woken).await?;
    let refused = hints.ignored;
    let [counted, others, unread] = [matched, unmatched, refused].map(|count| count as u64);
    counters.add(HintCounts { matched: counted, unmatched: others, refused: unread });
    let ignored = unmatched + refused;
    Ok((StatusCode::ACCEPTED, Json(Hinted { matched, ignored })).into_response())
}

/// Let a sender of CloudEvents send
///
/// The handshake of the CloudEvents web hook: whoever has a token may send from anywhere, as often
/// as it likes.
#[utoipa::path(options, path = "/v1/hints", tag = "hints", operation_id = "allow_hints",
    params(("WebHook-Request-Origin" = String, Header, description = "Who wants to send")),
    responses((status = 200, description = "It may", headers(
        ("WebHook-Allowed-Origin" = String, description = "Who may send"),
        ("WebHook-Allowed-Rate" = String, description = "Requests a minute; `*` = any")))),
    security(("token" = ["operator"]), ("hint" = [])))]
pub(crate) async fn allow(headers: HeaderMap) -> Answer<Response> {
    let missing = || ApiError::malformed("say who wants to send: WebHook-Request-Origin");
    let origin = headers.get(&ASKING).filter(|origin| !origin.is_empty()).ok_or_else(missing)?;
    let mut response = StatusCode::OK.into_response();
    let answers = response.headers_mut();
    answers.insert(ALLOWED, origin.clone());
    answers.insert(RATE, HeaderValue::from_static("*"));
    answers.insert(ALLOW, HeaderValue::from_static("POST"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut index = Index::default();
        for (id, url) in [
            ("root", "s3://whole"),
            ("a", "s3://lake/wh/a"),
            ("ab", "s3://lake/wh/ab"),
            ("inner", "s3://lake/wh/a/inner"),
            ("gs", "gs://lake/wh/a"),
            ("acct", "abfss://lake@acct.dfs.core.windows.net/wh/a"),
            ("other", "abfss://lake@other.dfs.core.windows.net/wh/a"),
            ("any", "az://lake/wh/a"),
        ] {
            let (id, project) = (id.to_owned(), "lake".to_owned());
            index.add(Place::parse(url).unwrap(), Entry { id, project, account: None });
        }
        index
    }

    #[track_caller]
    fn check(scheme: Scheme, container: &str, key: &str, expect: &[&str]) {
        let account = (scheme == Scheme::Azure).then(|| "acct".to_owned());
        let (container, key) = (container.to_owned(), key.to_owned());
        let object = Object { scheme, account, container, key };
        let index = index();
        let mut found: Vec<_> = index.above(&object).map(|entry| entry.id.as_str()).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, expect, "{object:?}");
    }

    #[test]
    fn an_object_lies_in_the_tables_above_it() {
        check(Scheme::S3, "lake", "wh/a/_delta_log/1.json", &["a"]);
        check(Scheme::S3, "lake", "wh/ab/f", &["ab"]);
        check(Scheme::S3, "lake", "wh/a/inner/f", &["a", "inner"]);
        check(Scheme::S3, "lake", "wh/abc/f", &[]);
        check(Scheme::S3, "lake", "wh", &[]);
        check(Scheme::S3, "whole", "f", &["root"]);
        check(Scheme::Gs, "lake", "wh/a/f", &["gs"]);
        check(Scheme::Azure, "lake", "wh/a/f", &["acct", "any"]);
        check(Scheme::S3, "nowhere", "wh/a/f", &[]);
    }
}
