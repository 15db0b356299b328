"""Rows of engines other than Spark, as the row hash wants them.

The schema is Spark's, read from the same version: engines fold names and widen types, and the hash
of testdata/README.md is over Spark's names and types.
"""

import base64
import datetime
import decimal
import json
import math
import struct

import rowhash
from pyspark.sql import types as t

BOOKKEEPING = "_hoodie_"


def digest(columns, rows, schema):
    """Count and row hash of an answer, over the table's own columns.

    `columns` are the names as the engine gave them, in any case and order; `rows` are sequences of
    values from JSON or Arrow; `schema` is Spark's, as a StructType.
    """
    places = {name.lower(): n for n, name in enumerate(columns)}
    own = [field for field in schema.fields if not field.name.startswith(BOOKKEEPING)]
    missing = [field.name for field in own if field.name.lower() not in places]
    if missing:
        raise ValueError(f"the answer lacks columns {missing}")
    picked = [places[field.name.lower()] for field in own]
    types = [field.dataType for field in own]
    converted = [
        [value(row[n], kind) for n, kind in zip(picked, types, strict=True)] for row in rows
    ]
    return {"count": len(rows), "hash": rowhash.table_hash(converted, t.StructType(own))}


def schema_of(text):
    """A StructType from Spark's own JSON."""
    return t.StructType.fromJson(json.loads(text))


def value(found, kind):
    """What PySpark would have collected under TZ=UTC."""
    if found is None:
        return None
    convert = CONVERSIONS.get(type(kind))
    if convert:
        return convert(found)
    if isinstance(kind, t.ArrayType):
        return [value(item, kind.elementType) for item in found]
    if isinstance(kind, t.MapType):
        pairs = found.items() if isinstance(found, dict) else found
        return {_key(key, kind.keyType): value(item, kind.valueType) for key, item in pairs}
    if isinstance(kind, t.StructType):
        items = found.values() if isinstance(found, dict) else found
        return [value(item, f.dataType) for item, f in zip(items, kind.fields, strict=True)]
    return found


def _key(found, kind):
    """Keys of maps are texts in JSON."""
    if isinstance(kind, rowhash.INTEGERS):
        return int(found)
    return value(found, kind)


def _float(found):
    return float(found)


def _real(found):
    """The shortest text of a 32-bit value, as that value."""
    number = float(found)
    return number if math.isnan(number) else struct.unpack("f", struct.pack("f", number))[0]


def _bytes(found):
    return base64.b64decode(found) if isinstance(found, str) else bytes(found)


def _date(found):
    return datetime.date.fromisoformat(found) if isinstance(found, str) else found


def _timestamp(found):
    """A moment, as a clock in UTC shows it; with the zone where there is one."""
    if isinstance(found, str):
        found = datetime.datetime.fromisoformat(found.removesuffix(" UTC"))
    if found.tzinfo is not None:
        found = found.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return found


CONVERSIONS = {
    t.FloatType: _real,
    t.DoubleType: _float,
    t.BinaryType: _bytes,
    t.DateType: _date,
    t.TimestampType: _timestamp,
    t.TimestampNTZType: _timestamp,
    t.DecimalType: decimal.Decimal,
}
