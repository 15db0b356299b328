//! One message: with or without a frame, its head, and where its arguments lie.
//!
//! Hive's clients send messages without frames; some proxies frame them. Both begin with four
//! bytes that tell them apart with the fifth.

use crate::scan::{Refused, Scan};

/// Longest name of a method.
const NAME_BYTES_MAX: usize = 256;

/// How a message is written. An answer is written as its call was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// Its length stands in front of it.
    pub(crate) framed: bool,
    /// Its head begins with the protocol's version.
    pub(crate) strict: bool,
}

/// Kinds of messages.
pub(crate) const CALL: u8 = 1;
pub(crate) const REPLY: u8 = 2;
pub(crate) const EXCEPTION: u8 = 3;
pub(crate) const ONEWAY: u8 = 4;

/// The head of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) style: Style,
    pub(crate) kind: u8,
    pub(crate) name: String,
    pub(crate) sequence: i32,
}

/// A whole message at the beginning of what was received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) head: Head,
    /// Where its arguments, a struct, lie.
    pub(crate) arguments: std::ops::Range<usize>,
    /// Its bytes, frame included.
    pub(crate) bytes: usize,
}

/// The message that is being received.
#[derive(Debug, Default)]
pub(crate) struct Receiving {
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    head: Head,
    arguments: usize,
    /// Where the frame ends.
    frame: Option<usize>,
    scan: Scan,
}

impl Receiving {
    /// Looks whether a message of at most `limit` bytes is whole; `bytes` is all that was received
    /// of it. Called again with more bytes after `None`; after a message, with those behind it.
    ///
    /// # Errors
    /// [`Refused`]: nothing that comes can make a message of it.
    pub(crate) fn look(&mut self, bytes: &[u8], limit: usize) -> Result<Option<Message>, Refused> {
        if self.begun.is_none() {
            self.begun = begin(bytes, limit)?;
        }
        let Some(begun) = &mut self.begun else { return Ok(None) };
        if begun.frame.is_some_and(|end| bytes.len() < end) {
            return Ok(None);
        }
        let here = begun.frame.and_then(|end| bytes.get(..end)).unwrap_or(bytes);
        let end = match (begun.scan.advance(here)?, begun.frame) {
            (Some(end), None) => end,
            (Some(end), Some(frame)) if end == frame => end,
            (_, Some(_)) => return Err(Refused::Frame),
            (None, None) => return Ok(None),
        };
        let whole = self.begun.take();
        Ok(whole.map(|Begun { head, arguments, .. }| Message {
            head,
            arguments: arguments..end,
            bytes: end,
        }))
    }
}

/// Reads the head, once it is there.
fn begin(bytes: &[u8], limit: usize) -> Result<Option<Begun>, Refused> {
    let Some((first, rest)) = bytes.split_first_chunk::<4>() else {
        return match bytes {
            [] | [0..=0x7f, ..] | [0x80] | [0x80, 0x01, ..] => Ok(None),
            _ => Err(Refused::Head),
        };
    };
    if let [0x80, 0x01, ..] = first {
        return head(bytes, 0, limit, Style { framed: false, strict: true }, None);
    }
    let length = usize::try_from(i32::from_be_bytes(*first)).map_err(|_| Refused::Head)?;
    if length > limit {
        return Err(Refused::Long { limit });
    }
    let style = match rest.first() {
        None => return Ok(None),
        Some(0x80) => Style { framed: true, strict: true },
        // The length of a name, behind that of a frame.
        Some(0) => Style { framed: true, strict: false },
        Some(b'!'..=b'~') => Style { framed: false, strict: false },
        Some(_) => return Err(Refused::Head),
    };
    match style.framed {
        true => head(bytes, 4, limit, style, Some(4 + length)),
        false => head(bytes, 0, limit, style, None),
    }
}

fn head(
    bytes: &[u8],
    start: usize,
    limit: usize,
    style: Style,
    frame: Option<usize>,
) -> Result<Option<Begun>, Refused> {
    let rest = bytes.get(start..).unwrap_or_default();
    let (kind, rest) = match (style.strict, rest) {
        (true, [0x80, 0x01, _, kind, rest @ ..]) => (Some(*kind), rest),
        (true, [_, _, _, _, ..]) => return Err(Refused::Head),
        (true, _) => return Ok(None),
        (false, rest) => (None, rest),
    };
    let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| Refused::Head)?;
    if length == 0 || length > NAME_BYTES_MAX {
        return Err(Refused::Head);
    }
    let Some((name, rest)) = rest.split_at_checked(length) else { return Ok(None) };
    let name = std::str::from_utf8(name).map_err(|_| Refused::Head)?;
    let (kind, rest) = match (kind, rest) {
        (Some(kind), rest) => (kind, rest),
        (None, [kind, rest @ ..]) => (*kind, rest),
        (None, []) => return Ok(None),
    };
    let Some((sequence, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let arguments = bytes.len() - rest.len();
    let head = Head { style, kind, name: name.to_owned(), sequence: i32::from_be_bytes(*sequence) };
    let scan = Scan::new(arguments, frame.unwrap_or(limit));
    Ok(Some(Begun { head, arguments, frame, scan }))
}
