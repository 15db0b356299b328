//! From a request on the wire to a reply: record, wait, authenticate, verify, route.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;

use super::body::{self, Payload};
use super::config::Config;
use super::listing::{Entry, Query};
use super::object::{self, xml_date};
use super::record::{MutationKind, Outcome, ReadAction};
use super::reply::{Fault, Pace, Reply, ReplyBody, S3Error, response};
use super::request::Head;
use super::state::{Shared, State, scripted};
use super::{multipart, sigv4};

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("connection closed by the test")]
pub(super) struct Severed;

/// What the connection does with a request.
enum Sent {
    Response(Response<ReplyBody>),
    Close,
    Hang,
}

/// Serves one request.
///
/// The work runs in a task of its own: a client that goes away does not undo what it asked for.
pub(super) async fn serve(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Severed> {
    let mut resumes = shared.resumes.subscribe();
    match tokio::spawn(process(Arc::clone(&shared), request)).await {
        Ok(Sent::Response(response)) => Ok(response),
        Ok(Sent::Hang) => {
            // Either a resume or the end of the server lets the client go.
            let _ = resumes.changed().await;
            Err(Severed)
        }
        Ok(Sent::Close) | Err(_) => Err(Severed),
    }
}

async fn process(shared: Arc<Shared>, request: Request<Incoming>) -> Sent {
    let (parts, incoming) = request.into_parts();
    let mut head = Head::new(parts);
    let config = shared.config();
    let mut pace = Pace {
        bytes_per_second: config.bandwidth_bytes_per_second.map(u64::from),
        ..Pace::default()
    };
    let mut result = match shared.arrive(&mut head) {
        Ok(()) => answer(&shared, &config, &head, incoming, pace).await,
        Err(fault) => Err(fault),
    };
    if let Err(Fault::Error(error)) = result {
        result = Ok(error.reply(head.method == "HEAD", &head.raw_path));
    }
    if head.is_read()
        && let Ok(reply) = result
    {
        result = distort(&shared, &head, reply, &mut pace).await;
    }
    let (outcome, bytes_out, sent) = match result {
        Ok(reply) => {
            let (status, bytes) = (reply.status, reply.body.len() as u64);
            (Outcome::Answered(status), bytes, Sent::Response(response(reply, pace)))
        }
        Err(Fault::Hang) => (Outcome::Hung, 0, Sent::Hang),
        Err(Fault::Truncated) => (Outcome::Truncated, 0, Sent::Close),
        Err(Fault::Drop | Fault::Error(_)) => (Outcome::Dropped, 0, Sent::Close),
    };
    shared.end(head.index, outcome, bytes_out);
    sent
}

/// Lets the hook of reads spoil an answer.
async fn distort(
    shared: &Shared,
    head: &Head,
    mut reply: Reply,
    pace: &mut Pace,
) -> Result<Reply, Fault> {
    match shared.call_read_hook(head, reply.status, reply.body.len() as u64).await {
        ReadAction::Continue => {}
        ReadAction::Refuse(status, code) => {
            let error = scripted(status, code);
            return Ok(error.reply(head.method == "HEAD", &head.raw_path));
        }
        ReadAction::DropReply => return Err(Fault::Drop),
        ReadAction::Hang => return Err(Fault::Hang),
        ReadAction::CutAfter(bytes) => pace.cut_after = Some(bytes),
        ReadAction::StallAfter(bytes) => pace.stall_after = Some(bytes),
        ReadAction::FlipBit(offset) => {
            let mut bytes = reply.body.to_vec();
            if let Some(byte) = usize::try_from(offset).ok().and_then(|at| bytes.get_mut(at)) {
                *byte ^= 1;
            }
            reply.body = bytes.into();
        }
    }
    Ok(reply)
}

async fn answer(
    shared: &Shared,
    config: &Config,
    head: &Head,
    incoming: Incoming,
    pace: Pace,
) -> Result<Reply, Fault> {
    if !config.latency.is_zero() {
        tokio::time::sleep(config.latency).await;
    }
    let early = if config.racy_conditional_put {
        object::check_write_conditions(&shared.lock(), head, config)
    } else {
        Ok(())
    };
    // The body is taken before any refusal, so that a client which is still writing can read it.
    let received = body::receive(incoming, pace).await;
    shared.note(head.index, |record| record.bytes_in = received.bytes.len() as u64);
    let is_kept = received.complete || (config.keep_truncated && is_unsafe_put(head));
    if !is_kept {
        return Err(Fault::Truncated);
    }
    // A request can be answered only after the server came to life again.
    if shared.lock().stopped.is_some() {
        return Err(Fault::Hang);
    }
    if let Some(every) = config.slow_down_every
        && (head.index as u64 + 1).is_multiple_of(every.get())
    {
        let message = "Please reduce your request rate.";
        return Err(S3Error::new(503, "SlowDown", message).into());
    }
    sigv4::authenticate(config, head)?;
    head.check_key()?;
    check_length(head)?;
    let payload = body::verify(head, received.bytes, config.ignore_checksums)?;
    match (head.bucket.is_empty(), head.key.is_empty()) {
        (true, _) => Err(not_implemented(head).into()),
        (false, true) => on_bucket(shared, config, head, payload).await,
        (false, false) => on_object(shared, config, head, payload, early).await,
    }
}

/// S3 takes no body of unknown length: chunked transfer coding alone does not do.
fn check_length(head: &Head) -> Result<(), S3Error> {
    let is_known = head.headers.contains_key("content-length")
        || head.headers.contains_key("x-amz-decoded-content-length");
    if head.headers.contains_key("transfer-encoding") && !is_known {
        let message = "You must provide the Content-Length HTTP header.";
        return Err(S3Error::new(411, "MissingContentLength", message));
    }
    Ok(())
}

/// A PUT of an object whose truncation a careless server cannot see.
fn is_unsafe_put(head: &Head) -> bool {
    head.method == "PUT"
        && !head.key.is_empty()
        && head.query("uploadId").is_none()
        && body::is_unverifiable(head)
}

fn not_implemented(head: &Head) -> S3Error {
    let message = format!("the double has no {} {}?{}", head.method, head.raw_path, head.raw_query);
    S3Error::new(501, "NotImplemented", message)
}

async fn on_bucket(
    shared: &Shared,
    config: &Config,
    head: &Head,
    payload: Payload,
) -> Result<Reply, Fault> {
    match head.method.as_str() {
        "HEAD" => {
            shared.lock().bucket(&head.bucket)?;
            Ok(Reply::empty(200))
        }
        "GET" if head.query("uploads").is_some() => Ok(multipart::list(shared, config, head)?),
        "GET" if head.query("location").is_some() => {
            shared.lock().bucket(&head.bucket)?;
            Ok(Reply::xml("LocationConstraint", ""))
        }
        "GET" => Ok(list(shared, config, head)?),
        "PUT" if head.query.is_empty() => {
            let apply = |state: &mut State| {
                state.buckets.entry(head.bucket.clone()).or_default();
                Ok(())
            };
            shared.mutate(head, (MutationKind::CreateBucket, "", 0), apply).await?;
            Ok(Reply::empty(200))
        }
        "POST" if head.query("delete").is_some() => {
            object::delete_many(shared, config, head, &payload.bytes).await
        }
        _ => Err(not_implemented(head).into()),
    }
}

async fn on_object(
    shared: &Shared,
    config: &Config,
    head: &Head,
    payload: Payload,
    early: Result<(), S3Error>,
) -> Result<Reply, Fault> {
    let upload = head.query("uploadId").is_some();
    let copy = head.header("x-amz-copy-source").is_some();
    match (head.method.as_str(), upload, copy) {
        ("GET" | "HEAD", false, _) => Ok(object::read(shared, head)?),
        ("PUT", true, true) => multipart::copy_part(shared, head).await,
        ("PUT", true, false) => multipart::put_part(shared, head, payload).await,
        ("PUT", false, true) => object::copy(shared, head).await,
        ("PUT", false, false) => object::put(shared, config, head, payload, early).await,
        ("POST", true, _) => {
            let body: Bytes = payload.bytes;
            multipart::complete(shared, config, head, &body, early).await
        }
        ("POST", false, _) if head.query("uploads").is_some() => {
            multipart::create(shared, head).await
        }
        ("DELETE", true, _) => multipart::abort(shared, head).await,
        ("DELETE", false, _) => object::delete(shared, config, head).await,
        _ => Err(not_implemented(head).into()),
    }
}

fn list(shared: &Shared, config: &Config, head: &Head) -> Result<Reply, S3Error> {
    let query = Query::parse(|name| head.query(name), config.page_size)?;
    let state = shared.lock();
    let lagging;
    let objects = if config.list_lag_mutations == 0 {
        state.bucket(&head.bucket)?
    } else {
        lagging = state.listed(&head.bucket, config.list_lag_mutations)?;
        &lagging
    };
    let entries = objects.range(query.first_key().to_owned()..).map(|(key, object)| Entry {
        key,
        size: object.bytes.len() as u64,
        etag: object.etag.as_str().into(),
        modified: xml_date(object.modified),
    });
    let mut reply = Reply::empty(200).with("content-type", "application/xml");
    reply.body = query.page(&head.bucket, entries).into();
    Ok(reply)
}
