//! Framing: a log object as a sequence of JSON objects.
//!
//! Most writers put one object on a line, and that is the fast path. Some pretty-print, some put
//! several objects on a line, some Databricks releases leave a stray `x` after each object. All
//! of these are read; anything else between objects is damage.
//!
//! # Invariants
//! - Memory is bounded by the longest object, and that by [`LINE_BYTES_MAX`].
//! - No nesting deeper than [`JSON_DEPTH_MAX`] is accepted, whether or not it is looked into.

use std::io::{BufRead, Read};

use table_sync_core::limits::{JSON_DEPTH_MAX, LINE_BYTES_MAX};

/// How much is read at a time, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// Why a log object does not parse. Texts never repeat the object's content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// The bytes are not a sequence of JSON objects of the expected form.
    #[error("byte {offset}: {what}")]
    Damaged {
        /// Where the object that does not parse begins, in bytes.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A limit of this program.
    #[error("byte {offset}: {what}")]
    Limit {
        /// Where the object begins, in bytes.
        offset: u64,
        /// Which limit.
        what: &'static str,
    },
    /// The bytes could not be read.
    #[error("read spooled log object")]
    Io(#[source] std::io::Error),
}

/// What the attempt to parse one object came to.
pub(crate) enum Attempt<T> {
    Done(T),
    /// The extent may be wrong: cut short, or followed by something else.
    Extent,
    /// The object is whole but not of the expected form.
    Form,
}

/// Cuts bytes into JSON objects.
pub(crate) struct Objects<R> {
    source: R,
    buffer: Vec<u8>,
    /// Unread bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    at_end: bool,
    /// Offset of `buffer[start]` in the source.
    offset: u64,
}

impl<R: Read> Objects<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), start: 0, end: 0, at_end: false, offset: 0 }
    }

    /// Parses the next object; `None` at the end. `parse` may be called twice for one object.
    pub(crate) fn next<T>(
        &mut self,
        parse: &mut dyn FnMut(&[u8]) -> Attempt<T>,
    ) -> Result<Option<T>, FramingError> {
        if !self.skip_blank()? {
            return Ok(None);
        }
        let offset = self.offset;
        if self.unread().first() != Some(&b'{') {
            return Err(FramingError::Damaged { offset, what: "not a JSON object" });
        }
        let line_bytes = self.line()?;
        let line = self.unread().get(..line_bytes).unwrap_or_default().trim_ascii_end();
        let object = match line {
            [rest @ .., b'x'] => rest.trim_ascii_end(),
            whole => whole,
        };
        if object.last() == Some(&b'}') {
            check_depth(object, offset)?;
            match parse(object) {
                Attempt::Done(done) => {
                    self.advance(line_bytes);
                    return Ok(Some(done));
                }
                Attempt::Form => return Err(form(offset)),
                Attempt::Extent => {}
            }
        }
        self.next_by_scan(offset, parse)
    }

    /// The slow path: finds the object's end by its braces.
    fn next_by_scan<T>(
        &mut self,
        offset: u64,
        parse: &mut dyn FnMut(&[u8]) -> Attempt<T>,
    ) -> Result<Option<T>, FramingError> {
        let mut scan = Scan::default();
        let object_bytes = loop {
            let unread = self.unread();
            match scan.find_end(unread) {
                Ok(Some(object_bytes)) => break object_bytes,
                Ok(None) => {}
                Err(TooDeep) => return Err(too_deep(offset)),
            }
            if unread.len() > LINE_BYTES_MAX {
                return Err(too_long(offset));
            }
            if !self.fill()? {
                return Err(FramingError::Damaged { offset, what: "cut short" });
            }
        };
        let object = self.unread().get(..object_bytes).unwrap_or_default();
        match parse(object) {
            Attempt::Done(done) => {
                self.advance(object_bytes);
                self.skip_stray()?;
                Ok(Some(done))
            }
            Attempt::Extent | Attempt::Form => Err(form(offset)),
        }
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn advance(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Skips white space; `false` at the end of the source.
    fn skip_blank(&mut self) -> Result<bool, FramingError> {
        loop {
            let unread = self.unread();
            let blank = unread.len() - unread.trim_ascii_start().len();
            let more = blank < unread.len();
            self.advance(blank);
            if more {
                return Ok(true);
            }
            if !self.fill()? {
                return Ok(false);
            }
        }
    }

    /// Skips the `x` that some writers leave after an object.
    fn skip_stray(&mut self) -> Result<(), FramingError> {
        if self.unread().is_empty() {
            self.fill()?;
        }
        if self.unread().first() == Some(&b'x') {
            self.advance(1);
        }
        Ok(())
    }

    /// Length of the line at the start, its newline included. The last line may lack one.
    fn line(&mut self) -> Result<usize, FramingError> {
        let mut seen = 0;
        loop {
            let mut rest = self.unread().get(seen..).unwrap_or_default();
            // The only search for a byte in the standard library that uses wide instructions.
            let taken = rest.skip_until(b'\n').map_err(FramingError::Io)?;
            let line_bytes = seen + taken;
            let whole = line_bytes > 0 && self.unread().get(line_bytes - 1) == Some(&b'\n');
            if line_bytes > LINE_BYTES_MAX {
                return Err(too_long(self.offset));
            }
            if whole {
                return Ok(line_bytes);
            }
            seen = line_bytes;
            if !self.fill()? {
                return Ok(seen);
            }
        }
    }

    /// Reads more; `false` when the source has no more.
    fn fill(&mut self) -> Result<bool, FramingError> {
        if self.at_end {
            return Ok(false);
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        // Doubling keeps the cost of a long object linear.
        let wanted = CHUNK_BYTES.max(self.end.saturating_mul(2));
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        let taken = loop {
            match self.source.read(free) {
                Ok(taken) => break taken,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FramingError::Io(error)),
            }
        };
        self.end += taken;
        self.at_end = taken == 0;
        Ok(taken > 0)
    }
}

fn form(offset: u64) -> FramingError {
    FramingError::Damaged { offset, what: "not of the form that the protocol gives" }
}

fn too_long(offset: u64) -> FramingError {
    FramingError::Limit { offset, what: "an action is longer than 64 MiB" }
}

fn too_deep(offset: u64) -> FramingError {
    FramingError::Limit { offset, what: "an action is nested deeper than 128 levels" }
}

/// Refuses deep nesting. Counting openers is cheap, so the exact look is rare.
fn check_depth(object: &[u8], offset: u64) -> Result<(), FramingError> {
    let openers = object.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if openers > JSON_DEPTH_MAX && matches!(Scan::default().find_end(object), Err(TooDeep)) {
        return Err(too_deep(offset));
    }
    Ok(())
}

struct TooDeep;

/// Finds the end of a JSON object; goes on where it stopped when given more bytes.
#[derive(Default)]
struct Scan {
    seen: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, TooDeep> {
        for byte in bytes.get(self.seen..).unwrap_or_default() {
            self.seen += 1;
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth > JSON_DEPTH_MAX {
                        return Err(TooDeep);
                    }
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Ok(Some(self.seen));
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }
}
