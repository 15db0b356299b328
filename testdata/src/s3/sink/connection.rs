//! One connection: heads in, bodies through one reused buffer, answers out.

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::answer::{Answer, Body, Received, Sink};
use super::pattern_piece;
use super::request::Head;

const HEAD_BYTES_MAX: usize = 32 << 10;
/// Buffer of bodies: one read of this size costs far less than its copy in the kernel.
const BODY_BUFFER_BYTES: usize = 512 << 10;
/// Most bytes of a body that is kept.
const KEPT_BYTES_MAX: u64 = 256 << 20;
/// End of a framed body that holds its trailer.
const TAIL_BYTES: usize = 256;

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were read and not used.
    filled: usize,
}

/// Serves requests until the client closes the connection.
pub(super) async fn serve(stream: TcpStream, sink: &Sink) -> io::Result<()> {
    let mut connection = Connection { stream, buffer: vec![0; HEAD_BYTES_MAX], filled: 0 };
    while let Some(head) = connection.head().await? {
        let keeps_alive = head.keeps_alive();
        let Some(length) = body_length(&head) else {
            connection.send(&head, Answer::error(411, "MissingContentLength"), false).await?;
            return Ok(());
        };
        if head.header("expect").is_some() && length > 0 {
            connection.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let received = connection.body(length, sink.keeps(&head)).await?;
        let answer = sink.answer(&head, received);
        sink.requests.fetch_add(1, Relaxed);
        sink.bytes_in.fetch_add(length, Relaxed);
        let sent = connection.send(&head, answer, keeps_alive).await?;
        sink.bytes_out.fetch_add(sent, Relaxed);
        if !keeps_alive {
            return Ok(());
        }
    }
    Ok(())
}

/// Bytes of body that follow; `None` where only chunked transfer coding says so, which S3 does
/// not take.
fn body_length(head: &Head) -> Option<u64> {
    if head.header("transfer-encoding").is_some() {
        return None;
    }
    match head.header("content-length") {
        Some(length) => length.parse().ok(),
        None if head.method() == "PUT" => head.header("x-amz-copy-source").map(|_| 0),
        None => Some(0),
    }
}

impl Connection {
    /// Next request head; `None` at the end of the connection.
    async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            let read = &self.buffer[..self.filled];
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = Head::parse(&read[..end]);
                self.consume(end + 4);
                return head.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into());
            }
            if self.filled >= HEAD_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let room = &mut self.buffer[self.filled..];
            let count = self.stream.read(room).await?;
            if count == 0 {
                return Ok(None);
            }
            self.filled += count;
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.buffer.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
    }

    /// Reads a whole body and gives what `keep` asks for.
    async fn body(&mut self, length: u64, mut keep: Received) -> io::Result<Received> {
        if matches!(keep, Received::Whole(_)) && length > KEPT_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let early = usize::try_from(length).unwrap_or(usize::MAX).min(self.filled);
        keep.take(&self.buffer[..early], TAIL_BYTES);
        self.consume(early);
        let mut left = length - early as u64;
        if left > self.buffer.len() as u64 {
            self.buffer.resize(BODY_BUFFER_BYTES, 0);
        }
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let count = self.stream.read(&mut self.buffer[..room]).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            keep.take(&self.buffer[..count], TAIL_BYTES);
            left -= count as u64;
        }
        Ok(keep)
    }

    /// Writes an answer; the bytes of its body.
    async fn send(&mut self, head: &Head, answer: Answer, keeps_alive: bool) -> io::Result<u64> {
        let length = answer.body.bytes();
        let mut text = format!("HTTP/1.1 {} -\r\nserver: sink\r\n", answer.status);
        if answer.status != 204 && answer.status != 304 {
            text.push_str(&format!("content-length: {length}\r\n"));
        }
        text.push_str(&answer.headers);
        text.push_str(if keeps_alive { "\r\n" } else { "connection: close\r\n\r\n" });
        let text = Bytes::from(text);
        let has_body = head.method() != "HEAD" && answer.status != 204 && answer.status != 304;
        match answer.body {
            _ if !has_body => {
                self.stream.write_all(&text).await?;
                return Ok(0);
            }
            Body::Bytes(body) => {
                self.stream.write_all_buf(&mut text.chain(body)).await?;
            }
            Body::Generated { offset, bytes } => {
                let first = pattern_piece(offset, bytes);
                self.stream.write_all_buf(&mut text.chain(first)).await?;
                let mut sent = first.len() as u64;
                while sent < bytes {
                    let piece = pattern_piece(offset + sent, bytes - sent);
                    self.stream.write_all(piece).await?;
                    sent += piece.len() as u64;
                }
            }
        }
        Ok(length)
    }
}
