//! The body of an upload: frames of the source, framed and summed as they pass.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::StreamExt as _;
use http_body::{Frame, SizeHint};
use table_sync_core::BoxError;
use tokio::time::Instant;

use super::framing::{CHUNK_END, Framing, end};
use crate::body::{Body, Crc32c};
use crate::error::LengthError;

/// A body that one request, or the parts of a multipart upload one after the other, are fed from.
///
/// It outlives the request: what became of it decides what a failed request means.
#[derive(Clone)]
pub(crate) struct Feed(Arc<Mutex<State>>);

struct State {
    stream: Option<Body>,
    /// Bytes of the last frame beyond the part that it was cut for.
    pending: Bytes,
    /// Of all parts that were finished.
    whole: Crc32c,
    taken: u64,
    /// Of the last part that was finished.
    part: u32,
    /// Why the body failed, until somebody takes it.
    failure: Option<BoxError>,
    /// The current request was given its last byte.
    finished: bool,
    /// The current request asked for bytes, or got some, last at this time.
    moved: Instant,
    /// The request waits for the source, not the other way round.
    starved: bool,
    /// Number of the current request body: an earlier one, on a connection that was given up,
    /// gets nothing any more.
    turn: u64,
}

/// What became of a feed during one request.
pub(crate) struct Fate {
    /// The last byte was handed over: the server may act on the request.
    pub(crate) finished: bool,
    /// The body failed, and the request for that reason.
    pub(crate) failure: Option<BoxError>,
}

impl Feed {
    pub(crate) fn new(stream: Body) -> Self {
        Self(Arc::new(Mutex::new(State {
            stream: Some(stream),
            pending: Bytes::new(),
            whole: Crc32c::new(),
            taken: 0,
            part: 0,
            failure: None,
            finished: false,
            moved: Instant::now(),
            starved: false,
            turn: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next `framing.size_bytes` as a request body. The last one takes the source's end
    /// before it gives its own.
    pub(crate) fn part(&self, framing: Framing, is_last: bool) -> PartBody {
        let mut state = self.state();
        state.finished = false;
        state.starved = false;
        state.moved = Instant::now();
        state.turn += 1;
        PartBody {
            feed: self.clone(),
            turn: state.turn,
            framing,
            is_last,
            taken: 0,
            in_chunk: 0,
            crc: Crc32c::new(),
            at: At::Head,
        }
    }

    /// Ends the request's use of the source: its connection is closed if it still wants bytes.
    pub(crate) fn stop(&self) {
        self.state().stream = None;
    }

    pub(crate) fn fate(&self) -> Fate {
        let mut state = self.state();
        Fate { finished: state.finished, failure: state.failure.take() }
    }

    /// CRC-32C of all parts that were finished.
    pub(crate) fn crc32c(&self) -> u32 {
        self.state().whole.value()
    }

    /// CRC-32C of the last part that was finished.
    pub(crate) fn part_crc32c(&self) -> u32 {
        self.state().part
    }

    /// Bytes that went into requests so far.
    pub(crate) fn taken(&self) -> u64 {
        self.state().taken
    }

    /// Nothing more can come out: the source ended, failed or was stopped.
    pub(crate) fn has_ended(&self) -> bool {
        let state = self.state();
        state.finished || state.failure.is_some() || state.stream.is_none()
    }

    /// Since when the server has taken nothing; `None` while the source has nothing to give.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        if state.starved { None } else { Some(state.moved) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Head,
    Data,
    ChunkEnd,
    SourceEnd,
    End,
    Done,
}

/// One request body out of a [`Feed`].
pub(crate) struct PartBody {
    feed: Feed,
    turn: u64,
    framing: Framing,
    is_last: bool,
    taken: u64,
    /// Bytes that the current chunk still lacks.
    in_chunk: u64,
    crc: Crc32c,
    at: At,
}

/// The connection went on after the upload was given up.
#[derive(Debug, thiserror::Error)]
#[error("the upload was given up")]
struct GivenUp;

impl PartBody {
    /// The next frame of the source, cut to what the chunk lacks.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, BoxError>> {
        let feed = self.feed.clone();
        let mut state = feed.state();
        while state.pending.is_empty() {
            match state.poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(chunk))) => state.pending = chunk,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(state.fail(error))),
                Poll::Ready(None) => {
                    let (found, expected) = (self.taken, self.framing.size_bytes);
                    let short = LengthError::Short { found, expected };
                    return Poll::Ready(Err(state.fail(short.into())));
                }
            }
        }
        let wanted = usize::try_from(self.in_chunk).unwrap_or(usize::MAX);
        let cut = state.pending.len().min(wanted);
        let bytes = state.pending.split_to(cut);
        self.crc.update(&bytes);
        self.taken += bytes.len() as u64;
        state.taken += bytes.len() as u64;
        self.in_chunk -= bytes.len() as u64;
        Poll::Ready(Ok(bytes))
    }

    /// Waits until the source ends. Only then is it known that it did not fail.
    fn poll_source_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let feed = self.feed.clone();
        let mut state = feed.state();
        loop {
            if !state.pending.is_empty() {
                let long = LengthError::Long { expected: self.framing.size_bytes };
                return Poll::Ready(Err(state.fail(long.into())));
            }
            match state.poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(chunk))) => state.pending = chunk,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(state.fail(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        if self.feed.state().turn != self.turn {
            return Poll::Ready(Some(Err(GivenUp.into())));
        }
        loop {
            match self.at {
                At::Head if self.taken == self.framing.size_bytes => self.at = At::SourceEnd,
                At::Head => {
                    let (head, bytes) = self.framing.chunk_head(self.taken);
                    self.in_chunk = bytes;
                    self.at = At::Data;
                    return Poll::Ready(Some(Ok(head.into())));
                }
                At::Data if self.in_chunk == 0 => self.at = At::ChunkEnd,
                At::Data => match self.poll_data(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(data) => return Poll::Ready(Some(data)),
                },
                At::ChunkEnd => {
                    self.at = At::Head;
                    return Poll::Ready(Some(Ok(CHUNK_END.into())));
                }
                At::SourceEnd => {
                    if self.is_last {
                        match self.poll_source_end(context) {
                            Poll::Pending => return Poll::Pending,
                            Poll::Ready(Ok(())) => {}
                            Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                        }
                    }
                    self.at = At::End;
                }
                At::End => {
                    self.at = At::Done;
                    let crc32c = self.crc.value();
                    let mut state = self.feed.state();
                    state.finished = true;
                    state.part = crc32c;
                    state.whole.append(&self.crc);
                    return Poll::Ready(Some(Ok(end(crc32c).into())));
                }
                At::Done => return Poll::Ready(None),
            }
        }
    }
}

impl State {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Some(Err(GivenUp.into())));
        };
        let polled = stream.poll_next_unpin(context);
        self.starved = polled.is_pending();
        self.moved = Instant::now();
        polled
    }

    /// Keeps the failure for the caller of the upload, and gives the connection a short one.
    fn fail(&mut self, error: BoxError) -> BoxError {
        if !error.is::<GivenUp>() {
            self.failure = Some(error);
        }
        self.stream = None;
        GivenUp.into()
    }
}

impl http_body::Body for PartBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.poll_next(context).map(|next| next.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.at == At::Done
    }

    fn size_hint(&self) -> SizeHint {
        // Asked before the first frame: hyper takes it as the request's Content-Length.
        SizeHint::with_exact(self.framing.framed_bytes())
    }
}
