//! Where a message of the binary protocol ends, found before anything is decoded.
//!
//! A message without a frame does not say how long it is: its values have to be walked. The walk
//! goes on where it stopped when more bytes are there, so that a message that arrives byte by byte
//! costs as much as one that arrives at once.
//!
//! # Invariants
//! - Nothing is allocated for what is only claimed: a length above the limit ends the walk.
//! - Depth and number of values are bounded, whatever the bytes say.
//!
//! Source: Apache Thrift, `thrift-binary-protocol.md`.

/// How deep values may be nested. Requests of readers have three levels.
const DEPTH_MAX: usize = 32;

/// Values in one message. A request that names 100,000 partitions has that many.
const VALUES_MAX: u32 = 1 << 20;

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// A message, or what it claims to hold, is longer than the limit.
    #[error("a message longer than {limit} bytes")]
    Long {
        /// The limit, bytes.
        limit: usize,
    },
    /// Nested too deep.
    #[error("values nested deeper than {DEPTH_MAX}")]
    Deep,
    /// Too many values.
    #[error("more than {VALUES_MAX} values in one message")]
    Many,
    /// A length below zero.
    #[error("a length below zero")]
    Negative,
    /// A type that the protocol does not have.
    #[error("a value of the type {0}, which is unknown")]
    Type(u8),
    /// No message begins so.
    #[error("no message of the binary protocol")]
    Head,
    /// A frame that ends before or after its message.
    #[error("a frame that does not end with its message")]
    Frame,
}

/// A walk over one struct, and how far it came.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Bytes that are walked over.
    at: usize,
    limit: usize,
    values: u32,
    open: Vec<Open>,
}

/// A value that is not walked over wholly.
#[derive(Debug, Clone, Copy)]
enum Open {
    /// A struct: a field, or its end, comes next.
    Fields,
    /// A list, a set, or a map: so many values come, of the two kinds in turn.
    Values { kinds: [u8; 2], left: usize },
}

const STOP: u8 = 0;
const STRING: u8 = 11;
const STRUCT: u8 = 12;
const MAP: u8 = 13;
const SET: u8 = 14;
const LIST: u8 = 15;

/// Bytes that a value of a kind has at least: as many as are read, for kinds of one size.
fn size(kind: u8) -> Result<usize, Refused> {
    match kind {
        2 | 3 => Ok(1),
        6 => Ok(2),
        8 => Ok(4),
        4 | 10 => Ok(8),
        16 => Ok(16),
        STRING => Ok(4),
        STRUCT => Ok(1),
        MAP => Ok(6),
        SET | LIST => Ok(5),
        other => Err(Refused::Type(other)),
    }
}

impl Scan {
    /// A walk over the struct that begins at `at` in a message of at most `limit` bytes.
    pub(crate) fn new(at: usize, limit: usize) -> Self {
        Self { at, limit, values: 0, open: vec![Open::Fields] }
    }

    /// Goes on, with all bytes of the message that are there. The end of the struct, or `None`
    /// while it is not there yet.
    ///
    /// # Errors
    /// [`Refused`]: nothing that comes can make a message of it.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refused> {
        while let Some(open) = self.open.pop() {
            let rest = bytes.get(self.at..).unwrap_or_default();
            let next = match open {
                Open::Values { left: 0, .. } => continue,
                Open::Values { kinds: [kind, _], .. } => self.value(kind, rest)?,
                Open::Fields => match rest {
                    [STOP, ..] => {
                        self.skip(1)?;
                        continue;
                    }
                    [kind, _, _, value @ ..] => {
                        let next = self.value(*kind, value)?;
                        next.map(|(bytes, open)| (3 + bytes, open))
                    }
                    _ => None,
                },
            };
            let Some((walked, inner)) = next else {
                self.open.push(open);
                return Ok(None);
            };
            self.skip(walked)?;
            self.open.push(match open {
                Open::Values { kinds: [now, then], left } => {
                    Open::Values { kinds: [then, now], left: left - 1 }
                }
                Open::Fields => Open::Fields,
            });
            self.open.extend(inner);
            self.values += 1;
            if self.values > VALUES_MAX {
                return Err(Refused::Many);
            }
            if self.open.len() > DEPTH_MAX {
                return Err(Refused::Deep);
            }
        }
        Ok((self.at <= bytes.len()).then_some(self.at))
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Refused> {
        self.at = self.at.saturating_add(bytes);
        match self.at > self.limit {
            true => Err(Refused::Long { limit: self.limit }),
            false => Ok(()),
        }
    }

    /// What a value is: how many bytes to walk over, and what is open then. `None` while too
    /// little of it is there.
    fn value(&self, kind: u8, rest: &[u8]) -> Result<Option<(usize, Option<Open>)>, Refused> {
        let bytes = size(kind)?;
        let Some(head) = rest.get(..bytes) else {
            // A struct has no head, and a number's bytes need not be looked at.
            return Ok(None);
        };
        Ok(Some(match (kind, head) {
            (STRUCT, _) => (0, Some(Open::Fields)),
            (STRING, [a, b, c, d]) => (bytes + length([*a, *b, *c, *d])?, None),
            (LIST | SET, [of, a, b, c, d]) => {
                let left = length([*a, *b, *c, *d])?;
                (bytes, self.values_of([*of, *of], left, left)?)
            }
            (MAP, [key, value, a, b, c, d]) => {
                let pairs = length([*a, *b, *c, *d])?;
                (bytes, self.values_of([*key, *value], pairs, pairs.saturating_mul(2))?)
            }
            _ => (bytes, None),
        }))
    }

    /// The values of a list or a map, unless there are more than can follow.
    fn values_of(&self, kinds: [u8; 2], each: usize, left: usize) -> Result<Option<Open>, Refused> {
        if left == 0 {
            return Ok(None);
        }
        let [first, second] = kinds;
        let least = if each == left { size(first)? } else { size(first)? + size(second)? };
        if each.saturating_mul(least) > self.limit {
            return Err(Refused::Long { limit: self.limit });
        }
        Ok(Some(Open::Values { kinds, left }))
    }
}

fn length(bytes: [u8; 4]) -> Result<usize, Refused> {
    usize::try_from(i32::from_be_bytes(bytes)).map_err(|_| Refused::Negative)
}
