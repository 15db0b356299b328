//! What every request passes: its id, its time, its caller, its limits, and for changes the audit.
//!
//! # Invariants
//! - Nothing is changed before the attempt is in the audit; where it cannot be written, nothing is
//!   changed. Hints change nothing that a person owns, and are not in it: stores send thousands.
//! - A change that was begun is carried out whether or not its caller waits for the answer, so that
//!   the audit has its outcome and its idempotency key the answer.
//! - Every answer has a request id, and every one that is no success the shape of [`ErrorBody`].
//!
//! [`ErrorBody`]: crate::error::ErrorBody

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use driftless_catalog::AuditRecord;
use futures::FutureExt as _;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use uuid::Uuid;

use crate::auth::{self, Auth, Caller, Rule};
use crate::error::{Answer, ApiError, Written};
use crate::idempotency::{self, Turn};
use crate::serve::Peer;
use crate::{Service, body, etag};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id that is taken from a caller.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Longest head of a request: its target and its headers.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// The request's id, for handlers.
#[derive(Debug, Clone)]
struct RequestId(String);

/// See the module.
pub(crate) async fn guard(
    State(api): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let mutates = is_change(request.method());
    let time = api.options.limits.request_time;
    let answer = AssertUnwindSafe(tokio::time::timeout(time, admit(api, &id, request, next)));
    let response = match answer.catch_unwind().await {
        Ok(Ok(answer)) => answer.unwrap_or_else(ApiError::into_response),
        Ok(Err(_)) if mutates => {
            let message = "the request took too long; if it was read whole, it goes on: look at \
                           the result, or send it again with the same Idempotency-Key";
            ApiError::unavailable(message).into_response()
        }
        Ok(Err(_)) => ApiError::unavailable("the request took too long").into_response(),
        Err(_) => ApiError::internal().into_response(),
    };
    finish(response, &id).await
}

/// The caller's id, if it is a sane token, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let sane = |id: &&str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(known)
    };
    given.filter(sane).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

async fn admit(
    api: Arc<Service>,
    request_id: &str,
    request: Request,
    next: Next,
) -> Answer<Response> {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let rule = path.and_then(|path| api.rules.get(request.method(), &path).cloned());
    // An unknown path, or a method that it does not take: axum says which.
    let Some(rule) = rule else { return Ok(next.run(request).await) };
    let (mut parts, body) = request.into_parts();
    check_head(&parts)?;
    let caller = identify(&api, &rule, &parts).await;
    if is_change(&parts.method) {
        return change(api, (&rule, caller), request_id, (parts, body), next).await;
    }
    let caller = caller?;
    check(&api, &rule, &caller, &parts)?;
    parts.extensions.insert(caller);
    if parts.method != Method::GET {
        // There are no bytes to make a tag of.
        return Ok(next.run(Request::from_parts(parts, body)).await);
    }
    let headers = parts.headers.clone();
    etag::finish(next.run(Request::from_parts(parts, body)).await, &headers).await
}

fn check_head(parts: &Parts) -> Answer<()> {
    let fields = parts.headers.iter();
    let bytes: usize = fields.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    match bytes + parts.uri.path().len() + parts.uri.query().map_or(0, str::len) {
        0..=HEAD_BYTES_MAX => Ok(()),
        _ => Err(ApiError::long_head(HEAD_BYTES_MAX)),
    }
}

async fn identify(api: &Service, rule: &Rule, request: &Parts) -> Answer<Caller> {
    if rule.is_public() {
        return Ok(Caller::nobody());
    }
    let away = |peer: &Peer| !peer.0.ip().is_loopback();
    if api.options.auth == Auth::Open && request.extensions.get::<Peer>().is_some_and(away) {
        let message = "without tokens, the service is reached by a loopback address only";
        return Err(ApiError::forbidden(message));
    }
    let from = (&request.headers, request.uri.query().zip(rule.own));
    auth::authenticate(api.options.auth, api.catalog(), from, api.now_ms()).await
}

fn check(api: &Service, rule: &Rule, caller: &Caller, request: &Parts) -> Answer<()> {
    rule.check(caller)?;
    body::check_path(request.uri.path())?;
    let length = request.headers.get(http::header::CONTENT_LENGTH);
    let length = length.and_then(|text| text.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > api.options.limits.body_bytes) {
        return Err(too_large(api));
    }
    body::check_query(request.uri.query(), &rule.query)
}

fn too_large(api: &Service) -> ApiError {
    let most = api.options.limits.body_bytes;
    ApiError::too_large(format!("the body is too large: use {most} bytes at most"))
}

/// Carries out a change, on a task of its own.
async fn change(
    api: Arc<Service>,
    (rule, caller): (&Rule, Answer<Caller>),
    request_id: &str,
    (parts, body): (Parts, Body),
    next: Next,
) -> Answer<Response> {
    let who = caller.as_ref().ok();
    let record = AuditRecord {
        id: String::new(),
        at_ms: api.now_ms(),
        request_id: request_id.to_owned(),
        actor: who.map_or("-", |caller| &caller.name).to_owned(),
        role: who.map_or("-", |caller| caller.role.as_str()).to_owned(),
        action: rule.action.clone(),
        resource: parts.uri.path().chars().take(1_024).collect(),
        outcome: None,
        status: None,
        ended_ms: None,
    };
    let allowed = caller.and_then(|caller| {
        check(&api, rule, &caller, &parts)?;
        Ok(caller)
    });
    // The body is read before the change begins: how long that takes is up to the caller.
    let admitted = match allowed {
        Ok(caller) => read(&api, body).await.map(|body| (caller, parts, body)),
        Err(error) => Err(error),
    };
    let record = (!rule.takes_hints()).then_some(record);
    let task = tokio::spawn(async move { audited(&api, record, admitted, next).await });
    task.await.map_err(|_| ApiError::internal())?
}

async fn read(api: &Service, body: Body) -> Answer<Bytes> {
    match axum::body::to_bytes(body, api.options.limits.body_bytes).await {
        Ok(bytes) => Ok(bytes),
        Err(error) => {
            let source = std::error::Error::source(&error);
            let long = source.is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
            let broken = || ApiError::malformed("the body broke off");
            Err(if long { too_large(api) } else { broken() })
        }
    }
}

async fn audited(
    api: &Service,
    record: Option<AuditRecord>,
    admitted: Answer<(Caller, Parts, Bytes)>,
    next: Next,
) -> Answer<Response> {
    let audit_id = match &record {
        Some(record) => Some(api.catalog().attempt(record).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "write the audit failed");
            ApiError::unavailable("the audit cannot be written: nothing was changed")
        })?),
        None => None,
    };
    let response = match admitted {
        Ok((caller, parts, body)) => once(api, caller, (parts, body), next).await,
        Err(error) => Err(error),
    };
    let response = response.unwrap_or_else(ApiError::into_response);
    let status = response.status();
    let outcome = match status {
        status if status.is_server_error() => "failed",
        status if status.is_client_error() => "refused",
        _ => "done",
    };
    let ended = (outcome, i64::from(status.as_u16()));
    if let Some(id) = audit_id
        && let Err(error) = api.catalog().outcome(&id, ended, api.now_ms()).await
    {
        tracing::error!(error = &error as &dyn std::error::Error, "write the audit failed");
    }
    if outcome == "done" {
        api.changed();
    }
    Ok(response)
}

async fn once(
    api: &Service,
    caller: Caller,
    (mut parts, body): (Parts, Bytes),
    next: Next,
) -> Answer<Response> {
    let key = match idempotency::begin(api, &caller, &parts, &body).await? {
        Turn::Done(response) => return Ok(response),
        Turn::Go(key) => key,
    };
    let RequestId(id) = parts.extensions.get().cloned().ok_or_else(ApiError::internal)?;
    parts.extensions.insert(caller.clone());
    let run = AssertUnwindSafe(next.run(Request::from_parts(parts, Body::from(body))));
    let response = match run.catch_unwind().await {
        Ok(response) => finish(response, &id).await,
        Err(_) => finish(ApiError::internal().into_response(), &id).await,
    };
    match key {
        Some(key) => idempotency::finish(api, &caller, &key, response).await,
        None => Ok(response),
    }
}

/// Gives an answer its id, and an error its body.
async fn finish(response: Response, id: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let failed = parts.status.is_client_error() || parts.status.is_server_error();
    let body = match failed && parts.extensions.get::<Written>().is_none() {
        true => {
            let error = match parts.extensions.remove::<ApiError>() {
                Some(error) => error,
                None => of_axum(parts.status, body).await,
            };
            parts.extensions.insert(Written);
            error_body(error, &mut parts, id)
        }
        false => body,
    };
    let headers = &mut parts.headers;
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    Response::from_parts(parts, body)
}

fn error_body(error: ApiError, parts: &mut http::response::Parts, id: &str) -> Body {
    let headers = &mut parts.headers;
    parts.status = error.status();
    headers.remove(http::header::CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = error.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if parts.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    Body::from(serde_json::to_vec(&error.body(id)).unwrap_or_default())
}

async fn of_axum(status: StatusCode, body: Body) -> ApiError {
    let bytes = axum::body::to_bytes(body, 8 * 1024).await.unwrap_or_default();
    ApiError::of_status(status, String::from_utf8_lossy(&bytes).into_owned())
}
