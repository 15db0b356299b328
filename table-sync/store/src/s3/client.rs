//! One request at a time: signed, sent, timed, its reply classified.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::body::Incoming;
use object_store::aws::AwsCredentialProvider;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep_until, timeout};

use super::body::{Feed, PartBody};
use super::endpoint::Endpoint;
use super::framing::PAYLOAD;
use super::http_client::{HttpClient, RequestBody};
use super::sign::{EMPTY_SHA256, Signed, Signer, encode_query, hex};
use super::xml;
use crate::counters::{Class, Meter};
use crate::secret::{Foreign, Redactor};

/// Longest reply that is taken whole: errors, and the little documents of multipart uploads.
const REPLY_BYTES_MAX: usize = 1 << 20;
/// How many request time-outs a server may take to put an object together.
const SLOW_TIMES: u32 = 10;
/// First and longest pause between repeats of an idempotent request.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What all requests to one bucket share.
pub(crate) struct Shared {
    pub(crate) endpoint: Endpoint,
    pub(crate) http: HttpClient,
    pub(crate) signer: Signer,
    pub(crate) credentials: AwsCredentialProvider,
    pub(crate) request_timeout: Duration,
    pub(crate) retry_timeout: Duration,
    pub(crate) redactor: Redactor,
    pub(crate) meter: Arc<Meter>,
}

/// A request but for its body.
pub(crate) struct Call {
    pub(crate) class: Class,
    pub(crate) method: Method,
    /// Whole key in the bucket.
    pub(crate) key: String,
    /// Parameters, in order of their names.
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// The server works on the whole object before it answers.
    pub(crate) is_slow: bool,
}

/// Why a request has no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// Certainly never left: no credentials, no connection.
    #[error("{0}")]
    NotSent(Foreign),
    /// Anything may have happened.
    #[error("{0}")]
    Lost(Foreign),
}

/// A reply with its body taken whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// What the server said, for an error's source.
#[derive(Debug, thiserror::Error)]
#[error("the store answered {status}{}{}", spaced(.code), spaced(.message))]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) code: String,
    message: String,
}

impl Answer {
    /// The credentials are not taken. versitygw answers 404 to an unknown key id.
    pub(crate) fn is_denial(&self) -> bool {
        let codes = [
            "AccessDenied",
            "ExpiredToken",
            "InvalidAccessKeyId",
            "InvalidToken",
            "SignatureDoesNotMatch",
            "XAdminUserNotFound",
        ];
        matches!(self.status, 401 | 403) || codes.contains(&self.code.as_str())
    }

    /// Nothing has this key. Other things can be missing too, such as the bucket.
    pub(crate) fn is_missing_key(&self) -> bool {
        self.status == 404 && ["", "NoSuchKey", "NoSuchVersion"].contains(&self.code.as_str())
    }
}

fn spaced(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" {text}") }
}

impl Call {
    pub(crate) fn new(class: Class, method: Method, key: String) -> Self {
        Self { class, method, key, query: Vec::new(), headers: Vec::new(), is_slow: false }
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn slow(self) -> Self {
        Self { is_slow: true, ..self }
    }

    pub(crate) fn amz(self, name: &'static str, value: impl Into<String>) -> Self {
        self.header(HeaderName::from_static(name), value)
    }
}

impl Shared {
    /// Builds and signs a request.
    async fn request(
        &self,
        call: &Call,
        payload: &str,
        body: RequestBody,
    ) -> Result<Request<RequestBody>, SendError> {
        let broken = |error: &dyn std::fmt::Display| {
            SendError::NotSent(Foreign(format!("build the request: {error}")))
        };
        let path = self.endpoint.path(&call.key);
        let parameter = |(name, value): &(&str, String)| format!("{name}={}", encode_query(value));
        let query = call.query.iter().map(parameter).collect::<Vec<_>>().join("&");
        let mut headers = HeaderMap::new();
        let host = HeaderValue::from_str(&self.endpoint.host).map_err(|error| broken(&error))?;
        headers.insert(HOST, host);
        for (name, value) in &call.headers {
            let value = HeaderValue::from_str(value).map_err(|error| broken(&error))?;
            headers.insert(name.clone(), value);
        }
        if self.endpoint.requester_pays {
            headers.insert("x-amz-request-payer", HeaderValue::from_static("requester"));
        }
        if self.endpoint.anonymous {
            let payload = HeaderValue::from_str(payload).map_err(|error| broken(&error))?;
            headers.insert("x-amz-content-sha256", payload);
        } else {
            let credential = self.credentials.get_credential().await;
            let credential =
                credential.map_err(|error| SendError::NotSent(self.redactor.error(&error)))?;
            let signed = Signed { method: &call.method, path: &path, query: &query, payload };
            let now = crate::clock::now_utc();
            self.signer
                .sign(&signed, &mut headers, &credential, now)
                .map_err(|error| broken(&error))?;
        }
        let uri = self.endpoint.uri(&path, &query).map_err(|error| broken(&error))?;
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn lost(&self, error: &hyper_util::client::legacy::Error) -> SendError {
        let text = self.redactor.error(error);
        if error.is_connect() { SendError::NotSent(text) } else { SendError::Lost(text) }
    }

    /// Sends a request without a body; the reply's head comes back.
    async fn send_empty(&self, call: &Call) -> Result<Response<Incoming>, SendError> {
        self.meter.request(call.class);
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = self.request(call, EMPTY_SHA256, body).await?;
        match timeout(self.request_timeout, self.http.request(request)).await {
            Ok(response) => response.map_err(|error| self.lost(&error)),
            Err(_) => Err(SendError::Lost(self.timed_out())),
        }
    }

    fn timed_out(&self) -> Foreign {
        Foreign(format!("no answer within {:?}", self.request_timeout))
    }

    /// Repeats an idempotent request while that may help. Replies that say something of the
    /// object come back, whatever they say.
    pub(crate) async fn repeat(&self, call: &Call) -> Result<Response<Incoming>, SendError> {
        let until = Instant::now() + self.retry_timeout;
        let mut pause = PAUSES.0;
        loop {
            let sent = self.send_empty(call).await;
            let again = match &sent {
                Ok(response) => is_passing(response.status()),
                Err(_) => true,
            };
            // The pause is spread so that many readers do not come back together.
            let next = Instant::now() + pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            if !again || next > until {
                return sent;
            }
            tracing::debug!(key = call.key, "request is repeated");
            sleep_until(next).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Sends a small request once and takes its reply whole.
    pub(crate) async fn send_small(&self, call: &Call, body: Bytes) -> Result<Reply, SendError> {
        self.meter.request(call.class);
        let hash = hex(&Sha256::digest(&body));
        let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
        self.send_raw(call, &hash, body).await
    }

    /// Sends any request once, with the payload hash that is claimed for it.
    pub(crate) async fn send_raw(
        &self,
        call: &Call,
        payload: &str,
        body: RequestBody,
    ) -> Result<Reply, SendError> {
        let request = self.request(call, payload, body).await?;
        let patience = self.request_timeout * if call.is_slow { SLOW_TIMES } else { 1 };
        match timeout(patience, self.http.request(request)).await {
            Ok(Ok(response)) => self.take(response).await,
            Ok(Err(error)) => Err(self.lost(&error)),
            Err(_) => Err(SendError::Lost(self.timed_out())),
        }
    }

    /// Streams a body once and takes the reply whole. Given up when the server takes nothing,
    /// or says nothing, for the request time-out.
    pub(crate) async fn send_feed(
        &self,
        call: &Call,
        feed: &Feed,
        body: PartBody,
    ) -> Result<Reply, SendError> {
        self.meter.request(call.class);
        let request = self.request(call, PAYLOAD, body.boxed_unsync()).await?;
        let response = self.http.request(request);
        tokio::pin!(response);
        let mut deadline = Instant::now() + self.request_timeout;
        loop {
            tokio::select! {
                sent = &mut response => {
                    let response = sent.map_err(|error| self.lost(&error))?;
                    return self.take(response).await;
                }
                () = sleep_until(deadline) => {
                    let since = feed.idle_since().unwrap_or_else(Instant::now);
                    let next = since + self.request_timeout;
                    if next <= Instant::now() {
                        return Err(SendError::Lost(self.timed_out()));
                    }
                    deadline = next;
                }
            }
        }
    }

    /// Takes a reply whole. A server that works for long sends spaces meanwhile: only silence is
    /// timed.
    pub(crate) async fn take(&self, response: Response<Incoming>) -> Result<Reply, SendError> {
        let (head, body) = response.into_parts();
        let mut body = Limited::new(body, REPLY_BYTES_MAX);
        let mut bytes = Vec::new();
        loop {
            match timeout(self.request_timeout, body.frame()).await {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => bytes.extend_from_slice(frame.data_ref().map_or(&[], |d| d)),
                Ok(Some(Err(error))) => {
                    return Err(SendError::Lost(self.redactor.error(error.as_ref())));
                }
                Err(_) => return Err(SendError::Lost(self.timed_out())),
            }
        }
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Reply { status: head.status, headers: head.headers, body })
    }

    /// What the server said, cleaned.
    pub(crate) fn answer(&self, reply: &Reply) -> Answer {
        let part = |name| xml::text(&reply.body, name).map(|text| self.redactor.clean(&text));
        let code = part("Code").unwrap_or_default();
        let mut message = part("Message").unwrap_or_default();
        if reply.status.is_redirection() {
            message.push_str("; the bucket is elsewhere: set its region or endpoint");
        }
        Answer { status: reply.status.as_u16(), code, message }
    }
}

/// Whether the same request may succeed a little later.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}

/// A header as text.
pub(crate) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Announced length of a body.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
