//! One connection: calls come one after the other, and each is answered before the next is read.
//!
//! # Invariants
//! - An idle connection holds a small buffer and nothing else.
//! - What is no message closes this connection, and no other.
//! - A call that cannot be answered is told so, and the connection goes on: Spark takes a closed one
//!   for a broken metastore.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::SemaphorePermit;
use tokio::time::{sleep, timeout};

use crate::answer::{ApplicationError, Failure, Throws, reply};
use crate::message::{CALL, Message, ONEWAY, Receiving};
use crate::scan::Refused;
use crate::serve::Shared;

/// What an idle connection has room for: most calls whole.
const IDLE_BYTES: usize = 256;

/// What is read at once of a long message.
const READ_BYTES: usize = 16 * 1024;

/// Calls up to this length take no room from others.
const SMALL_CALL_BYTES: usize = 16 * 1024;

/// Answers up to this length take no room from others.
const SMALL_ANSWER_BYTES: usize = 64 * 1024;

/// Why a connection ended before its client closed it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// What was sent is no message.
    #[error("refuse a message")]
    Refused(#[from] Refused),
    /// The socket failed.
    #[error("use the socket")]
    Socket(#[from] std::io::Error),
    /// The client closed it in the middle of a message.
    #[error("read a message: the client closed the connection in the middle")]
    Half,
    /// A message or an answer took too long.
    #[error("wait for the client: it took too long")]
    Slow,
    /// Too many long messages arrive at once.
    #[error("take a long message: too many arrive at once")]
    Crowded,
    /// Nothing was asked for long, or others needed the place.
    #[error("wait for a call: the connection was idle")]
    Idle,
}

/// Answers calls until the client closes the connection, or it has to end.
pub(crate) async fn run<S>(mut stream: S, shared: &Shared) -> Result<(), Ended>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits = shared.limits;
    let mut buffer = Vec::with_capacity(IDLE_BYTES);
    loop {
        if buffer.is_empty() && !begin(&mut stream, &mut buffer, shared).await? {
            return Ok(());
        }
        let received = receive(&mut stream, &mut buffer, shared);
        let received = timeout(limits.message_time, received).await.map_err(|_| Ended::Slow)?;
        let (message, room_of_call) = received?;
        // On the heap, so that an idle connection holds nothing of it.
        let answer = Box::pin(answer(&message, &buffer, shared)).await;
        // What came behind it is the next call.
        buffer.drain(..message.bytes);
        buffer.shrink_to(IDLE_BYTES);
        drop(room_of_call);
        let Some((answer, room)) = answer else { continue };
        let written = async {
            stream.write_all(&answer).await?;
            stream.flush().await
        };
        timeout(limits.message_time, written).await.map_err(|_| Ended::Slow)??;
        drop(room);
    }
}

/// Waits for the beginning of a call. False where the connection ends here.
async fn begin<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    shared: &Shared,
) -> Result<bool, Ended> {
    let mut shutdown = shared.shutdown.clone();
    tokio::select! {
        read = stream.read_buf(buffer) => Ok(read? > 0),
        () = sleep(shared.limits.idle_time) => Err(Ended::Idle),
        // Whoever waits longest is told first.
        () = shared.make_room.notified() => Err(Ended::Idle),
        _ = shutdown.wait_for(|over| *over) => Ok(false),
    }
}

/// Reads until a whole message is there, and the room that it takes.
async fn receive<'a, S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    shared: &'a Shared,
) -> Result<(Message, Option<SemaphorePermit<'a>>), Ended> {
    let mut receiving = Receiving::default();
    let mut room = None;
    loop {
        if let Some(message) = receiving.look(buffer, shared.limits.message_bytes)? {
            return Ok((message, room));
        }
        if buffer.len() > SMALL_CALL_BYTES && room.is_none() {
            room = Some(shared.long_calls.try_acquire().map_err(|_| Ended::Crowded)?);
        }
        // Grows with what is there, and never by what is claimed. Little is read ahead of a
        // message, since it is moved to the front then.
        if buffer.capacity() == buffer.len() {
            buffer.reserve(READ_BYTES);
        }
        if (&mut *stream).take(READ_BYTES as u64).read_buf(buffer).await? == 0 {
            return Err(Ended::Half);
        }
    }
}

/// The answer to a message, and the room that it takes; `None` where none is expected.
async fn answer<'a>(
    message: &Message,
    buffer: &[u8],
    shared: &'a Shared,
) -> Option<(Vec<u8>, Option<SemaphorePermit<'a>>)> {
    let head = &message.head;
    match head.kind {
        CALL => {}
        ONEWAY => return None,
        _ => {
            let text = format!("a message of kind {} is no call", head.kind);
            let failure = Failure::Application(ApplicationError::MessageType, text);
            let none = Throws { meta: None, missing: None };
            return Some((reply(head, none, Err(failure)), None));
        }
    }
    let arguments = buffer.get(message.arguments.clone()).unwrap_or_default();
    // Nobody closes the semaphore.
    let working = shared.working.acquire().await.ok();
    let (throws, outcome) = shared.metastore.answer(&head.name, arguments).await;
    tracing::trace!(method = head.name, done = outcome.is_ok(), "answered");
    let answer = reply(head, throws, outcome);
    drop(working);
    if answer.len() <= SMALL_ANSWER_BYTES {
        return Some((answer, None));
    }
    // A client may take its time to read, and many may: their answers have only so much room.
    let kib = u32::try_from(answer.len() / 1024).unwrap_or(u32::MAX);
    match shared.answers_kib.try_acquire_many(kib) {
        Ok(room) => Some((answer, Some(room))),
        Err(_) => {
            let text = "too many long answers wait for their clients; try again".to_owned();
            Some((reply(head, throws, Err(Failure::Meta(text))), None))
        }
    }
}
