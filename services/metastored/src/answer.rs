//! Answers: results, exceptions and what stands around them, as bytes.

use thrift::protocol::{
    TBinaryOutputProtocol, TFieldIdentifier, TListIdentifier, TMapIdentifier, TOutputProtocol,
    TSerializable, TType,
};

use crate::call::Wrap;
use crate::hive::{ApplicationException, Message};
use crate::message::{EXCEPTION, Head, REPLY};

/// Why a call has no result, and how its client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// `NoSuchObjectException`: what was asked for is not there. Clients do not ask again.
    Missing(String),
    /// `MetaException`: the text reaches the person who asked.
    Meta(String),
    /// `TApplicationException`, in place of a result.
    Application(ApplicationError, String),
}

/// Types of `TApplicationException`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApplicationError {
    /// Another name may be understood.
    UnknownMethod = 1,
    /// The message is no call.
    MessageType = 2,
    /// The call failed, and its result has no exception for that.
    Internal = 6,
    /// The arguments do not decode.
    Protocol = 7,
}

/// Where a method's result declares its exceptions; `None` = it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Throws {
    pub(crate) meta: Option<i16>,
    pub(crate) missing: Option<i16>,
}

/// Longest answer, bytes. Rows of some 200,000 partitions: whoever wants more asks in parts.
pub(crate) const ANSWER_BYTES_MAX: usize = 256 << 20;

/// The value of a result, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// The protocol's number of its type; 0 for no value.
    kind: u8,
    bytes: Vec<u8>,
}

const BOOL: u8 = 2;
const I32: u8 = 8;
const I64: u8 = 10;
const STRING: u8 = 11;
const STRUCT: u8 = 12;
const MAP: u8 = 13;
const LIST: u8 = 15;

impl Value {
    fn of(
        kind: u8,
        write: impl FnOnce(&mut dyn TOutputProtocol) -> thrift::Result<()>,
    ) -> thrift::Result<Self> {
        let mut bytes = Vec::new();
        write(&mut TBinaryOutputProtocol::new(&mut bytes, true))?;
        Ok(Self { kind, bytes })
    }

    /// A method without a result.
    pub(crate) fn nothing() -> Self {
        Self { kind: 0, bytes: Vec::new() }
    }

    pub(crate) fn structure(value: &impl TSerializable) -> thrift::Result<Self> {
        Self::of(STRUCT, |out| value.write_to_out_protocol(out))
    }

    pub(crate) fn structures<T: TSerializable>(values: &[T]) -> thrift::Result<Self> {
        Self::of(LIST, |out| {
            out.write_list_begin(&TListIdentifier::new(TType::Struct, count(values)?))?;
            values.iter().try_for_each(|value| value.write_to_out_protocol(out))
        })
    }

    /// Rows that are made one by one, as a list of their own or as the first field of a struct.
    pub(crate) fn rows<T: TSerializable>(
        wrap: Wrap,
        count: usize,
        rows: impl Iterator<Item = T>,
    ) -> thrift::Result<Self> {
        let list = |out: &mut dyn TOutputProtocol| {
            out.write_list_begin(&TListIdentifier::new(TType::Struct, count_of(count)?))?;
            rows.take(count).try_for_each(|row| row.write_to_out_protocol(out))
        };
        match wrap {
            Wrap::Bare => Self::of(LIST, list),
            Wrap::Struct => Self::of(STRUCT, |out| {
                out.write_field_begin(&TFieldIdentifier::new("", TType::List, 1))?;
                list(out)?;
                out.write_field_stop()
            }),
        }
    }

    /// A struct, with one more field at its end.
    pub(crate) fn and_flag(mut self, field: i16, flag: bool) -> Self {
        self.bytes.pop();
        self.bytes.push(BOOL);
        self.bytes.extend_from_slice(&field.to_be_bytes());
        self.bytes.extend_from_slice(&[u8::from(flag), 0]);
        self
    }

    pub(crate) fn texts(values: &[impl AsRef<str>]) -> thrift::Result<Self> {
        Self::of(LIST, |out| {
            out.write_list_begin(&TListIdentifier::new(TType::String, count(values)?))?;
            values.iter().try_for_each(|text| out.write_string(text.as_ref()))
        })
    }

    pub(crate) fn pairs(values: &[(String, String)]) -> thrift::Result<Self> {
        Self::of(MAP, |out| {
            let head = TMapIdentifier::new(TType::String, TType::String, count(values)?);
            out.write_map_begin(&head)?;
            values.iter().try_for_each(|(key, value)| {
                out.write_string(key)?;
                out.write_string(value)
            })
        })
    }

    pub(crate) fn text(value: &str) -> thrift::Result<Self> {
        Self::of(STRING, |out| out.write_string(value))
    }

    pub(crate) fn number(value: i32) -> thrift::Result<Self> {
        Self::of(I32, |out| out.write_i32(value))
    }

    pub(crate) fn long(value: i64) -> thrift::Result<Self> {
        Self::of(I64, |out| out.write_i64(value))
    }
}

fn count<T>(values: &[T]) -> thrift::Result<i32> {
    count_of(values.len())
}

fn count_of(values: usize) -> thrift::Result<i32> {
    i32::try_from(values).map_err(|_| thrift::Error::from("more values than a list takes"))
}

/// An answer to a call, as it goes over the wire.
pub(crate) fn reply(head: &Head, throws: Throws, outcome: Result<Value, Failure>) -> Vec<u8> {
    let outcome = match outcome {
        Ok(value) if value.bytes.len() > ANSWER_BYTES_MAX => {
            let text = format!("the answer has {} bytes; ask for less at once", value.bytes.len());
            Err(Failure::Meta(text))
        }
        outcome => outcome,
    };
    let declared = outcome.map(|value| (0, value)).or_else(|failure| declared(throws, failure));
    let (field, value) = match declared {
        Ok(declared) => declared,
        Err((kind, text)) => return exception(head, kind, text),
    };
    let mut out = begin(head, REPLY);
    if value.kind != 0 {
        out.push(value.kind);
        out.extend_from_slice(&field.to_be_bytes());
        out.extend_from_slice(&value.bytes);
    }
    out.push(0);
    end(head, out)
}

/// A failure as the field of the result that says so.
fn declared(throws: Throws, failure: Failure) -> Result<(i16, Value), (ApplicationError, String)> {
    let (field, text) = match failure {
        Failure::Application(kind, text) => return Err((kind, text)),
        // Whoever knows no better exception still shows the text.
        Failure::Missing(text) => (throws.missing.or(throws.meta), text),
        Failure::Meta(text) => (throws.meta, text),
    };
    let Some(field) = field else { return Err((ApplicationError::Internal, text)) };
    let value = Value::structure(&Message { message: Some(text) });
    let value = value.map_err(|error| (ApplicationError::Internal, error.to_string()))?;
    Ok((field, value))
}

/// An answer to a call that has no result.
fn exception(head: &Head, kind: ApplicationError, text: String) -> Vec<u8> {
    let mut out = begin(head, EXCEPTION);
    let value = ApplicationException { message: Some(text), type_: Some(kind as i32) };
    if let Ok(value) = Value::structure(&value) {
        out.extend_from_slice(&value.bytes);
    }
    end(head, out)
}

/// The head of an answer, with room for the length of its frame.
fn begin(head: &Head, kind: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + head.name.len());
    if head.style.framed {
        out.extend_from_slice(&[0; 4]);
    }
    if head.style.strict {
        out.extend_from_slice(&[0x80, 0x01, 0, kind]);
    }
    out.extend_from_slice(&length(head.name.len()));
    out.extend_from_slice(head.name.as_bytes());
    if !head.style.strict {
        out.push(kind);
    }
    out.extend_from_slice(&head.sequence.to_be_bytes());
    out
}

fn end(head: &Head, mut out: Vec<u8>) -> Vec<u8> {
    let bytes = length(out.len().saturating_sub(4));
    if head.style.framed
        && let Some(frame) = out.first_chunk_mut()
    {
        *frame = bytes;
    }
    out
}

/// A length as the protocol writes it. None is above [`ANSWER_BYTES_MAX`] and a little.
fn length(bytes: usize) -> [u8; 4] {
    i32::try_from(bytes).unwrap_or(i32::MAX).to_be_bytes()
}
