//! Answers: complete replies, S3 errors, and the ways in which there is no answer.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;

use super::xml;

/// Body of a response on its way out.
pub(super) type ReplyBody = UnsyncBoxBody<Bytes, io::Error>;

/// A complete answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Value of `Content-Length` where the body is not sent: HEAD.
    pub(super) length: Option<u64>,
}

impl Reply {
    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new(), length: None }
    }

    /// An XML document with this root element and raw content.
    pub(super) fn xml(root: &str, content: &str) -> Self {
        let mut reply = Self::empty(200);
        reply.body = xml::document(root, content).into();
        reply.set("content-type", "application/xml");
        reply
    }

    /// Sets a header; values that HTTP cannot carry are left out.
    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.set(name, value);
        self
    }
}

/// An error of S3.
#[derive(Debug, Clone)]
pub(super) struct S3Error {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl S3Error {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn no_such_key() -> Self {
        Self::new(404, "NoSuchKey", "The specified key does not exist.")
    }

    pub(super) fn precondition_failed() -> Self {
        let message = "At least one of the pre-conditions you specified did not hold";
        Self::new(412, "PreconditionFailed", message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidRequest", message)
    }

    /// The answer that tells it; without a body for HEAD and 304.
    pub(super) fn reply(&self, head: bool, resource: &str) -> Reply {
        let mut reply = Reply::empty(self.status);
        if head || self.status == 304 {
            return reply;
        }
        let fields = [
            ("Code", self.code),
            ("Message", &self.message),
            ("Resource", resource),
            ("RequestId", "0"),
        ];
        let content: String = fields.iter().map(|(name, text)| xml::element(name, text)).collect();
        reply.body =
            format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>{content}</Error>").into();
        reply.set("content-type", "application/xml");
        reply
    }
}

/// Why a handler gives no reply of its own.
#[derive(Debug)]
pub(super) enum Fault {
    Error(S3Error),
    Truncated,
    Drop,
    Hang,
}

impl From<S3Error> for Fault {
    fn from(error: S3Error) -> Self {
        Self::Error(error)
    }
}

/// How a body leaves: at which rate, and where it breaks off.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    pub(super) bytes_per_second: Option<u64>,
    pub(super) cut_after: Option<u64>,
    pub(super) stall_after: Option<u64>,
}

impl Pace {
    /// How long `bytes` take.
    pub(super) fn duration(&self, bytes: usize) -> Duration {
        match self.bytes_per_second {
            Some(rate) => Duration::from_secs_f64(bytes as f64 / rate as f64),
            None => Duration::ZERO,
        }
    }

    fn is_plain(&self) -> bool {
        self.bytes_per_second.is_none() && self.cut_after.is_none() && self.stall_after.is_none()
    }
}

/// Turns a reply into a response of hyper.
pub(super) fn response(reply: Reply, pace: Pace) -> Response<ReplyBody> {
    let length = reply.length.unwrap_or(reply.body.len() as u64);
    let body = if pace.is_plain() {
        Full::new(reply.body).map_err(|never: Infallible| match never {}).boxed_unsync()
    } else {
        paced(reply.body, pace)
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = reply.headers;
    // 204 and 304 have no body and hyper sends no length for them.
    if reply.status != 204 && reply.status != 304 {
        response.headers_mut().insert("content-length", HeaderValue::from(length));
    }
    response.headers_mut().insert("server", HeaderValue::from_static("s3-double"));
    response
}

const PACE_BYTES: usize = 16 << 10;

fn paced(body: Bytes, pace: Pace) -> ReplyBody {
    let frames = stream::unfold((body, 0_u64), move |(mut body, sent)| async move {
        if body.is_empty() {
            return None;
        }
        let mut bytes = body.len().min(PACE_BYTES);
        for limit in [pace.cut_after, pace.stall_after].into_iter().flatten() {
            let left = limit.saturating_sub(sent);
            bytes = bytes.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        if bytes == 0 {
            // A moment for what was sent to leave the connection's buffer before it is torn down.
            tokio::time::sleep(Duration::from_millis(20)).await;
            if pace.cut_after.is_some_and(|limit| limit <= sent) {
                let error = io::Error::new(io::ErrorKind::ConnectionReset, "cut by the test");
                return Some((Err(error), (Bytes::new(), sent)));
            }
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(pace.duration(bytes)).await;
        let frame = Frame::data(body.split_to(bytes));
        Some((Ok(frame), (body, sent + bytes as u64)))
    });
    StreamBody::new(frames).boxed_unsync()
}
