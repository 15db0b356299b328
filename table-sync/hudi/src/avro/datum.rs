//! One Avro value as a `serde` source, driven by the writer's schema.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{Name, RecordField};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::AvroError;

/// Deepest nesting that is followed. Hudi's deepest is 12.
const DEPTH_MAX: u32 = 64;

/// Values that a record may hold beyond what its bytes pay for: those of types without bytes.
const FREE_VALUES: u64 = 4096;

/// Values that each byte pays for.
const VALUES_PER_BYTE: u64 = 16;

/// Longest variable-length number, in bytes.
const LONG_BYTES_MAX: u32 = 10;

/// Bytes that are left, and values that they may still become.
pub(super) struct Input<'de> {
    rest: &'de [u8],
    values_left: u64,
}

/// Head of one block of an array or a map.
pub(super) struct BlockCount {
    /// Items of the block; the last block has none.
    pub(super) items: usize,
    /// Size of the block in bytes, where the writer states it.
    bytes: Option<usize>,
}

impl<'de> Input<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        let values_left = (bytes.len() as u64).saturating_mul(VALUES_PER_BYTE);
        Self { rest: bytes, values_left: values_left.saturating_add(FREE_VALUES) }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'de [u8], AvroError> {
        let cut_short = || AvroError::new("bytes are cut short");
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], AvroError> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| AvroError::new("bytes are cut short"))
    }

    pub(super) fn long(&mut self) -> Result<i64, AvroError> {
        let mut value = 0u64;
        for index in 0..LONG_BYTES_MAX {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * index;
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(AvroError::new("number is too long"))
    }

    pub(super) fn length(&mut self) -> Result<usize, AvroError> {
        usize::try_from(self.long()?).map_err(|_| AvroError::new("length is negative"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'de [u8], AvroError> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'de str, AvroError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| AvroError::new("string is not UTF-8"))
    }

    pub(super) fn block_count(&mut self) -> Result<BlockCount, AvroError> {
        let count = self.long()?;
        let bytes = if count < 0 { Some(self.length()?) } else { None };
        let items = usize::try_from(count.unsigned_abs());
        let items = items.map_err(|_| AvroError::new("block has too many items"))?;
        Ok(BlockCount { items, bytes })
    }

    /// Counts one value, so that types without bytes cannot keep a reader busy.
    fn spend(&mut self) -> Result<(), AvroError> {
        let left = self.values_left.checked_sub(1);
        self.values_left = left.ok_or_else(|| AvroError::new("record holds too many values"))?;
        Ok(())
    }
}

/// One value that is about to be read.
pub(super) struct Datum<'i, 'de, 's> {
    input: &'i mut Input<'de>,
    schema: &'s Schema,
    names: &'s HashMap<Name, &'s Schema>,
    depth: u32,
}

impl<'i, 'de, 's> Datum<'i, 'de, 's> {
    pub(super) fn new(
        input: &'i mut Input<'de>,
        schema: &'s Schema,
        names: &'s HashMap<Name, &'s Schema>,
    ) -> Self {
        Self { input, schema, names, depth: 0 }
    }

    /// A value inside this one.
    fn inner<'a>(&'a mut self, schema: &'s Schema) -> Datum<'a, 'de, 's> {
        Datum { input: self.input, schema, names: self.names, depth: self.depth + 1 }
    }

    /// Counts the value, and follows names and unions to a type of its own.
    fn enter(&mut self) -> Result<&'s Schema, AvroError> {
        loop {
            self.input.spend()?;
            if self.depth > DEPTH_MAX {
                return Err(AvroError::new("record is nested too deep"));
            }
            self.schema = match self.schema {
                Schema::Ref { name } => {
                    let unknown = || AvroError::new(format!("type {name:?} is not defined"));
                    self.names.get(name).copied().ok_or_else(unknown)?
                }
                Schema::Union(union) => {
                    let branch = self.input.length()?;
                    let outside = || AvroError::new("union branch is out of bounds");
                    union.variants().get(branch).ok_or_else(outside)?
                }
                own => return Ok(own),
            };
            self.depth += 1;
        }
    }

    fn skip(mut self) -> Result<(), AvroError> {
        match self.enter()? {
            Schema::Array(array) => self.skip_blocks(&array.items, false),
            Schema::Map(map) => self.skip_blocks(&map.types, true),
            Schema::Record(record) => {
                record.fields.iter().try_for_each(|field| self.inner(&field.schema).skip())
            }
            scalar => skip_scalar(self.input, scalar),
        }
    }

    fn skip_blocks(&mut self, item: &'s Schema, keyed: bool) -> Result<(), AvroError> {
        loop {
            let block = self.input.block_count()?;
            if block.items == 0 {
                return Ok(());
            }
            if let Some(bytes) = block.bytes {
                self.input.take(bytes)?;
                continue;
            }
            for _ in 0..block.items {
                if keyed {
                    self.input.bytes()?;
                }
                self.inner(item).skip()?;
            }
        }
    }
}

fn skip_scalar(input: &mut Input<'_>, schema: &Schema) -> Result<(), AvroError> {
    match schema {
        Schema::Null => Ok(()),
        Schema::Boolean => input.take(1).map(drop),
        Schema::Float => input.take(4).map(drop),
        Schema::Double => input.take(8).map(drop),
        Schema::Int | Schema::Long | Schema::Enum(_) => input.long().map(drop),
        Schema::Bytes | Schema::String => input.bytes().map(drop),
        Schema::Fixed(fixed) => input.take(fixed.size).map(drop),
        _ => Err(AvroError::new("logical types do not occur in timelines")),
    }
}

impl<'de> Deserializer<'de> for Datum<'_, 'de, '_> {
    type Error = AvroError;

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, AvroError> {
        match self.enter()? {
            Schema::Null => visitor.visit_unit(),
            Schema::Boolean => match self.input.array()? {
                [0] => visitor.visit_bool(false),
                [1] => visitor.visit_bool(true),
                _ => Err(AvroError::new("boolean is neither 0 nor 1")),
            },
            Schema::Int | Schema::Long => visitor.visit_i64(self.input.long()?),
            Schema::Float => visitor.visit_f32(f32::from_le_bytes(self.input.array()?)),
            Schema::Double => visitor.visit_f64(f64::from_le_bytes(self.input.array()?)),
            Schema::Bytes => visitor.visit_borrowed_bytes(self.input.bytes()?),
            Schema::String => visitor.visit_borrowed_str(self.input.text()?),
            Schema::Fixed(fixed) => visitor.visit_borrowed_bytes(self.input.take(fixed.size)?),
            Schema::Enum(symbols) => {
                let outside = || AvroError::new("enum symbol is out of bounds");
                let symbol = self.input.length()?;
                visitor.visit_str(symbols.symbols.get(symbol).ok_or_else(outside)?)
            }
            Schema::Array(array) => visitor.visit_seq(Items::new(self, &array.items)),
            Schema::Map(map) => visitor.visit_map(Items::new(self, &map.types)),
            Schema::Record(record) => visitor.visit_map(Fields::new(self, &record.fields)),
            _ => Err(AvroError::new("logical types do not occur in timelines")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, AvroError> {
        match self.enter()? {
            Schema::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, AvroError> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, AvroError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier
    }
}

/// Items of an array, or entries of a map.
struct Items<'i, 'de, 's> {
    datum: Datum<'i, 'de, 's>,
    item: &'s Schema,
    left_in_block: usize,
    done: bool,
}

impl<'i, 'de, 's> Items<'i, 'de, 's> {
    fn new(datum: Datum<'i, 'de, 's>, item: &'s Schema) -> Self {
        Self { datum, item, left_in_block: 0, done: false }
    }

    /// Whether there is another item, which is then counted as taken.
    fn advance(&mut self) -> Result<bool, AvroError> {
        if self.left_in_block == 0 && !self.done {
            self.left_in_block = self.datum.input.block_count()?.items;
            self.done = self.left_in_block == 0;
        }
        if self.done {
            return Ok(false);
        }
        self.left_in_block -= 1;
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de, '_> {
    type Error = AvroError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, AvroError> {
        if !self.advance()? {
            return Ok(None);
        }
        let item = self.item;
        seed.deserialize(self.datum.inner(item)).map(Some)
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de, '_> {
    type Error = AvroError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, AvroError> {
        if !self.advance()? {
            return Ok(None);
        }
        let key = self.datum.input.text()?;
        seed.deserialize(serde::de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, AvroError> {
        let item = self.item;
        seed.deserialize(self.datum.inner(item))
    }
}

/// Fields of a record.
struct Fields<'i, 'de, 's> {
    datum: Datum<'i, 'de, 's>,
    fields: std::slice::Iter<'s, RecordField>,
    next: Option<&'s RecordField>,
}

impl<'i, 'de, 's> Fields<'i, 'de, 's> {
    fn new(datum: Datum<'i, 'de, 's>, fields: &'s [RecordField]) -> Self {
        Self { datum, fields: fields.iter(), next: None }
    }
}

impl<'de> MapAccess<'de> for Fields<'_, 'de, '_> {
    type Error = AvroError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, AvroError> {
        self.next = self.fields.next();
        let Some(field) = self.next else {
            return Ok(None);
        };
        let name = serde::de::value::StrDeserializer::new(&field.name);
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, AvroError> {
        let field = self.next.ok_or_else(|| AvroError::new("value without a key"))?;
        seed.deserialize(self.datum.inner(&field.schema))
    }
}
