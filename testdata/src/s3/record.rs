//! What the double remembers of its clients, and what hooks may tell it to do.

use std::collections::BTreeMap;

/// One request, as it came in and as it ended.
#[derive(Debug, Clone)]
pub struct RequestRecord {
    /// Order of arrival, from 0.
    pub index: usize,
    /// HTTP method.
    pub method: String,
    /// Bucket, decoded; empty for the service root.
    pub bucket: String,
    /// Key, decoded; empty for a request on the bucket.
    pub key: String,
    /// Query as it came over the wire, without the question mark.
    pub query: String,
    /// Conditions, ranges, lengths and all `x-amz-*` headers; names in lower case. The
    /// authorization is kept as `present` only.
    pub headers: BTreeMap<String, String>,
    /// Bytes of the request body that arrived, with any chunk framing.
    pub bytes_in: u64,
    /// Bytes of the response body.
    pub bytes_out: u64,
    /// Number of the last mutation that this request asked for.
    pub mutation: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
}

impl RequestRecord {
    /// Status of the answer, or `None` when the client got none.
    pub fn status(&self) -> Option<u16> {
        match self.outcome {
            Outcome::Answered(status) => Some(status),
            Outcome::Pending | Outcome::Truncated | Outcome::Dropped | Outcome::Hung => None,
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Not ended yet.
    Pending,
    /// A response with this status was handed to the connection.
    Answered(u16),
    /// The body ended early: nothing was changed, nothing answered.
    Truncated,
    /// The connection was closed without an answer.
    Dropped,
    /// No answer until [`resume`](super::S3Double::resume) or the end of the server.
    Hung,
}

/// Kind of a change to what the server stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MutationKind {
    /// PUT of a whole object.
    Put,
    /// CopyObject.
    Copy,
    /// DELETE of one key; a DeleteObjects request makes one of these for each key.
    Delete,
    /// CreateMultipartUpload.
    CreateUpload,
    /// UploadPart or UploadPartCopy.
    UploadPart,
    /// CompleteMultipartUpload: the one that makes an object visible.
    CompleteUpload,
    /// AbortMultipartUpload.
    AbortUpload,
    /// CreateBucket.
    CreateBucket,
}

/// Side of a mutation on which the hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The request is complete and verified, nothing is changed yet.
    Before,
    /// The request was decided: see [`MutationInfo::status`].
    After,
}

/// One mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MutationInfo {
    /// Number, in the order in which mutations were asked for, from 1.
    pub n: u64,
    /// Which call of the hook this is; the last one made, in [`S3Double::mutations`].
    ///
    /// [`S3Double::mutations`]: super::S3Double::mutations
    pub phase: Phase,
    /// What is asked for.
    pub kind: MutationKind,
    /// Bucket of the target.
    pub bucket: String,
    /// Key of the target.
    pub key: String,
    /// Bytes of the object or part, decoded; 0 where there is no body.
    pub bytes: u64,
    /// Status that the decision gave, 200 or 204 when it was applied; `None` before it.
    pub status: Option<u16>,
}

impl MutationInfo {
    /// Whether the server's state was changed by this mutation.
    pub fn applied(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// What the double does next, in either phase of a mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// As if there were no hook.
    Continue,
    /// Answer this status and S3 error code. Before: the change is not made. After: it stays
    /// made, so that the client is told of a failure that did not happen.
    Refuse(u16, &'static str),
    /// Make the change, close the connection without an answer.
    DropReply,
    /// Close the connection without an answer; before: the change is not made.
    DropRequest,
    /// Never answer; before: the change is not made.
    Hang,
    /// Freeze the whole server: this request and all later ones get no answer and change
    /// nothing until [`resume`](super::S3Double::resume). The moment to kill a client.
    Stop,
}

/// A request that only reads, as the hook of reads sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadInfo {
    /// Number among GET and HEAD requests, from 1.
    pub n: u64,
    /// HTTP method.
    pub method: String,
    /// Bucket.
    pub bucket: String,
    /// Key; empty for a listing.
    pub key: String,
    /// Query as it came over the wire.
    pub query: String,
    /// Status that the client would get.
    pub status: u16,
    /// Bytes of body that the client would get.
    pub bytes: u64,
}

/// What the double does with the answer to a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadAction {
    /// As if there were no hook.
    Continue,
    /// Answer this status and S3 error code instead.
    Refuse(u16, &'static str),
    /// Close the connection without an answer.
    DropReply,
    /// Never answer.
    Hang,
    /// Send the whole head and this many bytes of the body, then close the connection.
    CutAfter(u64),
    /// Send the whole head and this many bytes of the body, then nothing more.
    StallAfter(u64),
    /// Invert the lowest bit of the byte at this offset of the body; no effect beyond its end.
    FlipBit(u64),
}
