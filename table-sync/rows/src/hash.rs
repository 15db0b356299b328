//! The hash of a table's rows, equal for equal sets of rows whatever their order.
//!
//! Every row is encoded as text-like bytes, hashed alone, and the hashes are added up. So the
//! hash does not depend on files, row groups, batches or threads, needs no sort, and streams in
//! constant memory. The generator of the test tables computes the same hash in Spark.
//!
//! # Encoding of a value
//! | value | bytes |
//! |---|---|
//! | null | `~` |
//! | boolean | `T` or `F` |
//! | byte, short, int, long | decimal digits, `-42` |
//! | float, double | `f` and 16 hex digits: the bits as f64; every NaN is `7ff8000000000000` |
//! | decimal | `d` and plain decimal text without trailing zeros: `d12.5`, `d-3`, `d0` |
//! | string | `s`, the length in UTF-8 bytes, `:`, the bytes |
//! | binary | `x` and hex |
//! | date | `D` and days since 1970-01-01 |
//! | timestamp | `t` and microseconds since the epoch, UTC |
//! | timestamp without zone | `n` and microseconds since 1970-01-01T00:00 |
//! | array | `[`, elements joined by `,`, `]` |
//! | map | `{`, `key=value` sorted by the key's bytes, joined by `,`, `}` |
//! | struct | `(`, `name:value` in schema order, joined by `,`, `)`; the name as a string |
//!
//! A row is its columns sorted by name, each `name=value`, joined by a line feed. A row's hash
//! is the first 16 bytes of its SHA-256, a big-endian number; the table's hash is the sum of
//! the rows' hashes modulo 2^128.
//!
//! # Invariants
//! - Equal values encode equally whatever Arrow type carries them (int or long, plain,
//!   view or dictionary), since readers choose those freely.
//! - A type outside the table is an error, never skipped: a judge must not pass what it
//!   has not read.

use std::fmt;
use std::io::Write as _;

use deltalake::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, MapArray, OffsetSizeTrait,
    RecordBatch, TimestampMicrosecondArray,
};
use deltalake::arrow::buffer::NullBuffer;
use deltalake::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType,
};
use sha2::{Digest as _, Sha256};

/// Bits of the one NaN that all NaNs encode to.
const NAN_BITS: u64 = 0x7ff8_0000_0000_0000;

/// A column whose Arrow type has no encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("encode a column of type {data_type}: the row hash does not define it")]
pub struct UnknownType {
    /// The Arrow type, as Arrow prints it.
    pub data_type: String,
}

/// Hash of a multiset of rows; starts empty, grows by batches in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowHash {
    sum: u128,
}

impl RowHash {
    /// Adds every row of `batch`.
    ///
    /// # Errors
    /// [`UnknownType`] if a column, or a value nested in one, has no encoding. No row of the
    /// batch has been added then.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), UnknownType> {
        let columns = RowEncoder::try_new(batch)?;
        let mut row_bytes = Vec::new();
        for row in 0..batch.num_rows() {
            row_bytes.clear();
            columns.encode(row, &mut row_bytes);
            self.sum = self.sum.wrapping_add(row_sum(&row_bytes));
        }
        Ok(())
    }

    /// Adds the rows that `other` holds.
    pub fn merge(&mut self, other: Self) {
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

impl fmt::Display for RowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.sum)
    }
}

/// One encoded row's contribution to the sum.
fn row_sum(row_bytes: &[u8]) -> u128 {
    let digest = Sha256::digest(row_bytes);
    digest.iter().take(16).fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}

/// The columns of one batch, sorted by name and ready to encode any row.
struct RowEncoder {
    columns: Vec<(Vec<u8>, Column)>,
}

impl RowEncoder {
    fn try_new(batch: &RecordBatch) -> Result<Self, UnknownType> {
        let schema = batch.schema();
        let mut fields: Vec<_> = schema.fields().iter().zip(batch.columns()).collect();
        fields.sort_by(|(a, _), (b, _)| a.name().as_bytes().cmp(b.name().as_bytes()));
        let columns = fields
            .into_iter()
            .map(|(field, array)| Ok((name_bytes(field.name()), Column::try_new(array)?)))
            .collect::<Result<_, _>>()?;
        Ok(Self { columns })
    }

    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        let columns = self.columns.iter();
        join(columns, b'\n', out, |(name, column), out| {
            out.extend_from_slice(name);
            out.push(b'=');
            column.encode(row, out);
        });
    }
}

/// One array with its type resolved, so that encoding a value cannot fail.
struct Column {
    nulls: Option<NullBuffer>,
    values: Values,
}

/// A nested array: where each row's elements lie in `elements`.
struct Lists<C> {
    ends: Vec<(usize, usize)>,
    elements: C,
}

enum Values {
    Null,
    Boolean(BooleanArray),
    Int8(Int8Array),
    Int16(Int16Array),
    Int32(Int32Array),
    Int64(Int64Array),
    Float32(Float32Array),
    Float64(Float64Array),
    Decimal(Decimal128Array, i8),
    /// Utf8, LargeUtf8 or Utf8View.
    Text(ArrayRef),
    /// Binary, LargeBinary, BinaryView or FixedSizeBinary.
    Binary(ArrayRef),
    Date(Date32Array),
    Timestamp(TimestampMicrosecondArray, u8),
    List(Box<Lists<Column>>),
    Map(Box<Lists<(Column, Column)>>),
    Struct(Vec<(Vec<u8>, Column)>),
    /// The row of each key in the dictionary's values.
    Dictionary(Vec<usize>, Box<Column>),
}

impl Column {
    fn try_new(array: &ArrayRef) -> Result<Self, UnknownType> {
        let unknown = || UnknownType { data_type: array.data_type().to_string() };
        let values = match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Values::Text(array.clone())
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Values::Binary(array.clone()),
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::Map(..)
            | DataType::Struct(_)
            | DataType::Dictionary(..) => nested(array)?.ok_or_else(unknown)?,
            _ => primitive(array).ok_or_else(unknown)?,
        };
        Ok(Self { nulls: array.nulls().cloned(), values })
    }

    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return out.push(b'~');
        }
        match &self.values {
            Values::Null => out.push(b'~'),
            Values::Boolean(a) => out.push(if a.value(row) { b'T' } else { b'F' }),
            Values::Int8(a) => text(out, format_args!("{}", a.value(row))),
            Values::Int16(a) => text(out, format_args!("{}", a.value(row))),
            Values::Int32(a) => text(out, format_args!("{}", a.value(row))),
            Values::Int64(a) => text(out, format_args!("{}", a.value(row))),
            Values::Float32(a) => float(f64::from(a.value(row)), out),
            Values::Float64(a) => float(a.value(row), out),
            Values::Decimal(a, scale) => decimal(a.value(row), *scale, out),
            Values::Text(a) => string(text_value(a, row), out),
            Values::Binary(a) => hex(binary_value(a, row), out),
            Values::Date(a) => text(out, format_args!("D{}", a.value(row))),
            Values::Timestamp(a, tag) => {
                text(out, format_args!("{}{}", char::from(*tag), a.value(row)));
            }
            Values::List(lists) => list(lists, row, out),
            Values::Map(maps) => map(maps, row, out),
            Values::Struct(fields) => structure(fields, row, out),
            Values::Dictionary(keys, values) => match keys.get(row) {
                Some(key) => values.encode(*key, out),
                None => out.push(b'~'),
            },
        }
    }
}

/// Columns without children, strings apart; `None` for a type without an encoding.
fn primitive(array: &ArrayRef) -> Option<Values> {
    let values = match array.data_type() {
        DataType::Null => Values::Null,
        DataType::Boolean => Values::Boolean(array.as_boolean_opt()?.clone()),
        DataType::Int8 => Values::Int8(array.as_primitive_opt::<Int8Type>()?.clone()),
        DataType::Int16 => Values::Int16(array.as_primitive_opt::<Int16Type>()?.clone()),
        DataType::Int32 => Values::Int32(array.as_primitive_opt::<Int32Type>()?.clone()),
        DataType::Int64 => Values::Int64(array.as_primitive_opt::<Int64Type>()?.clone()),
        DataType::Float32 => Values::Float32(array.as_primitive_opt::<Float32Type>()?.clone()),
        DataType::Float64 => Values::Float64(array.as_primitive_opt::<Float64Type>()?.clone()),
        DataType::Decimal128(_, scale) => {
            Values::Decimal(array.as_primitive_opt::<Decimal128Type>()?.clone(), *scale)
        }
        DataType::Date32 => Values::Date(array.as_primitive_opt::<Date32Type>()?.clone()),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => Values::Timestamp(
            array.as_primitive_opt::<TimestampMicrosecondType>()?.clone(),
            if zone.is_some() { b't' } else { b'n' },
        ),
        _ => return None,
    };
    Some(values)
}

/// Columns with children; `None` if the array is not of the type that it says.
fn nested(array: &ArrayRef) -> Result<Option<Values>, UnknownType> {
    Ok(match array.data_type() {
        DataType::List(_) => lists::<i32>(array)?,
        DataType::LargeList(_) => lists::<i64>(array)?,
        DataType::Map(..) => array.as_map_opt().map(maps).transpose()?,
        DataType::Struct(fields) => match array.as_struct_opt() {
            Some(array) => {
                let fields = fields
                    .iter()
                    .zip(array.columns())
                    .map(|(field, child)| Ok((name_bytes(field.name()), Column::try_new(child)?)));
                Some(Values::Struct(fields.collect::<Result<_, _>>()?))
            }
            None => None,
        },
        _ => match array.as_any_dictionary_opt() {
            // Without values there is no key to normalise: every row is null.
            Some(array) if array.values().is_empty() => Some(Values::Null),
            Some(array) => {
                let values = Column::try_new(array.values())?;
                Some(Values::Dictionary(array.normalized_keys(), Box::new(values)))
            }
            None => None,
        },
    })
}

fn lists<O: OffsetSizeTrait>(array: &ArrayRef) -> Result<Option<Values>, UnknownType> {
    let Some(array) = array.as_list_opt::<O>() else { return Ok(None) };
    let ends = ends(array.value_offsets());
    let elements = Column::try_new(array.values())?;
    Ok(Some(Values::List(Box::new(Lists { ends, elements }))))
}

fn maps(array: &MapArray) -> Result<Values, UnknownType> {
    let ends = ends(array.value_offsets());
    let elements = (Column::try_new(array.keys())?, Column::try_new(array.values())?);
    Ok(Values::Map(Box::new(Lists { ends, elements })))
}

/// Start and end of each row's elements.
fn ends<O: OffsetSizeTrait>(offsets: &[O]) -> Vec<(usize, usize)> {
    let starts = offsets.iter().map(|o| o.as_usize());
    starts.clone().zip(starts.skip(1)).collect()
}

fn list(lists: &Lists<Column>, row: usize, out: &mut Vec<u8>) {
    let (start, end) = lists.ends.get(row).copied().unwrap_or_default();
    out.push(b'[');
    join(start..end, b',', out, |element, out| lists.elements.encode(element, out));
    out.push(b']');
}

fn map(maps: &Lists<(Column, Column)>, row: usize, out: &mut Vec<u8>) {
    let (start, end) = maps.ends.get(row).copied().unwrap_or_default();
    let (keys, values) = &maps.elements;
    let mut entries: Vec<_> = (start..end)
        .map(|entry| {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            keys.encode(entry, &mut key);
            values.encode(entry, &mut value);
            (key, value)
        })
        .collect();
    entries.sort();
    out.push(b'{');
    join(entries, b',', out, |(key, value), out| {
        out.extend_from_slice(&key);
        out.push(b'=');
        out.extend_from_slice(&value);
    });
    out.push(b'}');
}

fn structure(fields: &[(Vec<u8>, Column)], row: usize, out: &mut Vec<u8>) {
    out.push(b'(');
    join(fields, b',', out, |(name, column), out| {
        out.extend_from_slice(name);
        out.push(b':');
        column.encode(row, out);
    });
    out.push(b')');
}

/// Encodes `items` one after the other with `separator` between them.
fn join<T>(
    items: impl IntoIterator<Item = T>,
    separator: u8,
    out: &mut Vec<u8>,
    mut encode: impl FnMut(T, &mut Vec<u8>),
) {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(separator);
        }
        encode(item, out);
    }
}

fn float(value: f64, out: &mut Vec<u8>) {
    let bits = if value.is_nan() { NAN_BITS } else { value.to_bits() };
    text(out, format_args!("f{bits:016x}"));
}

fn decimal(unscaled: i128, scale: i8, out: &mut Vec<u8>) {
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = unscaled.unsigned_abs().to_string();
    let Ok(places) = usize::try_from(scale) else {
        let zeros = if unscaled == 0 { 0 } else { usize::from(scale.unsigned_abs()) };
        return text(out, format_args!("d{sign}{digits}{:0<zeros$}", ""));
    };
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    match fraction.trim_end_matches('0') {
        "" => text(out, format_args!("d{sign}{whole}")),
        fraction => text(out, format_args!("d{sign}{whole}.{fraction}")),
    }
}

fn text_value(array: &ArrayRef, row: usize) -> &str {
    match array.data_type() {
        DataType::Utf8View => array.as_string_view().value(row),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row),
        _ => array.as_string::<i32>().value(row),
    }
}

fn binary_value(array: &ArrayRef, row: usize) -> &[u8] {
    match array.data_type() {
        DataType::BinaryView => array.as_binary_view().value(row),
        DataType::LargeBinary => array.as_binary::<i64>().value(row),
        DataType::FixedSizeBinary(_) => array.as_fixed_size_binary().value(row),
        _ => array.as_binary::<i32>().value(row),
    }
}

fn string(value: &str, out: &mut Vec<u8>) {
    text(out, format_args!("s{}:{value}", value.len()));
}

fn name_bytes(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    string(name, &mut bytes);
    bytes
}

fn hex(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'x');
    for byte in value {
        text(out, format_args!("{byte:02x}"));
    }
}

fn text(out: &mut Vec<u8>, args: fmt::Arguments<'_>) {
    // A Vec never refuses bytes, so there is no error to report.
    let _ = out.write_fmt(args);
}

#[cfg(test)]
mod tests;
