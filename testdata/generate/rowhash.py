"""Row hash: an order-independent fingerprint of a table's rows.

`encode_row` turns one row into bytes that do not depend on the reader; a table's hash is the sum
of its rows' hashes modulo 2^128, so neither row order nor the split into files shows. The Rust
side computes the same from Arrow; `testdata/README.md` has the rules and shared vectors.

Run as a script to check the vectors below.
"""

import datetime
import hashlib
import math
import struct
from decimal import Decimal

from pyspark.sql import types as t

EPOCH = datetime.datetime(1970, 1, 1)
MICROSECOND = datetime.timedelta(microseconds=1)
NAN_BITS = "7ff8000000000000"
INTEGERS = (t.ByteType, t.ShortType, t.IntegerType, t.LongType)


def encode_value(value, data_type):
    """Bytes of one value, as collected by PySpark under TZ=UTC, of the given Spark type."""
    if value is None:
        return b"~"
    if isinstance(data_type, t.BooleanType):
        return b"T" if value else b"F"
    if isinstance(data_type, INTEGERS):
        return b"%d" % value
    if isinstance(data_type, (t.FloatType, t.DoubleType)):
        return _float(value)
    if isinstance(data_type, t.DecimalType):
        return _decimal(value)
    if isinstance(data_type, t.StringType):
        return _string(value)
    if isinstance(data_type, t.BinaryType):
        return b"x" + bytes(value).hex().encode()
    if isinstance(data_type, t.DateType):
        return b"D%d" % (value - EPOCH.date()).days
    if isinstance(data_type, t.TimestampType):
        return b"t%d" % ((value - EPOCH) // MICROSECOND)
    if isinstance(data_type, t.TimestampNTZType):
        return b"n%d" % ((value - EPOCH) // MICROSECOND)
    return _nested(value, data_type)


def encode_row(row, schema):
    """Bytes of one row: columns by name in UTF-8 byte order, `name=value`, joined by newlines."""
    columns = sorted(zip(schema.fields, row), key=lambda column: column[0].name.encode())
    return b"\n".join(
        _string(field.name) + b"=" + encode_value(value, field.dataType)
        for field, value in columns
    )


def row_hash(encoded):
    """First 16 bytes of SHA-256 of an encoded row, as an unsigned big-endian integer."""
    return int.from_bytes(hashlib.sha256(encoded).digest()[:16], "big")


def table_hash(rows, schema):
    """Sum of the rows' hashes modulo 2^128, as 32 lower hex digits."""
    total = sum(row_hash(encode_row(row, schema)) for row in rows)
    return f"{total % (1 << 128):032x}"


def _float(value):
    bits = NAN_BITS if math.isnan(value) else struct.pack(">d", value).hex()
    return b"f" + bits.encode()


def _decimal(value):
    # Python's `normalize` rounds to the context's 28 digits; text does not.
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return b"d" + (b"0" if text == "-0" else text.encode())


def _string(value):
    data = value.encode()
    return b"s%d:%s" % (len(data), data)


def _nested(value, data_type):
    if isinstance(data_type, t.ArrayType):
        items = (encode_value(item, data_type.elementType) for item in value)
        return b"[" + b",".join(items) + b"]"
    if isinstance(data_type, t.MapType):
        entries = sorted(
            (encode_value(key, data_type.keyType), encode_value(item, data_type.valueType))
            for key, item in value.items()
        )
        return b"{" + b",".join(key + b"=" + item for key, item in entries) + b"}"
    if isinstance(data_type, t.StructType):
        fields = (
            _string(field.name) + b":" + encode_value(item, field.dataType)
            for field, item in zip(data_type.fields, value)
        )
        return b"(" + b",".join(fields) + b")"
    raise TypeError(f"encode a value of type {data_type}: no encoding is defined for it")


# (schema, row, encoding, hash); the same vectors stand in testdata/README.md.
VECTORS = [
    (
        t.StructType([t.StructField("id", t.LongType()), t.StructField("a", t.StringType())]),
        (1, "é"),
        "s1:a=s2:é\ns2:id=1",
        "ca07d01cd23c6335472188559cff6965",
    ),
    (
        t.StructType(
            [
                t.StructField("b", t.BooleanType()),
                t.StructField("d", t.DoubleType()),
                t.StructField("f", t.FloatType()),
                t.StructField("n", t.DoubleType()),
                t.StructField("z", t.IntegerType()),
            ]
        ),
        (False, -0.0, 0.10000000149011612, float("nan"), None),
        "s1:b=F\ns1:d=f8000000000000000\ns1:f=f3fb99999a0000000\n"
        "s1:n=f7ff8000000000000\ns1:z=~",
        "fd477f90f67f15359d194d808689ac3a",
    ),
    (
        t.StructType(
            [
                t.StructField("p", t.DecimalType(12, 4)),
                t.StructField("q", t.DecimalType(38, 0)),
                t.StructField("r", t.DecimalType(5, 2)),
                t.StructField("x", t.BinaryType()),
            ]
        ),
        (
            Decimal("12.5000"),
            Decimal("-12345678901234567890123456789012345000"),
            Decimal("-0.00"),
            bytearray(b"\x00\xff"),
        ),
        "s1:p=d12.5\ns1:q=d-12345678901234567890123456789012345000\ns1:r=d0\ns1:x=x00ff",
        "93e1e5d8098728d1f8b875748c8abbea",
    ),
    (
        t.StructType(
            [
                t.StructField("day", t.DateType()),
                t.StructField("at", t.TimestampType()),
                t.StructField("local", t.TimestampNTZType()),
            ]
        ),
        (
            datetime.date(1969, 12, 31),
            datetime.datetime(1969, 12, 31, 23, 59, 59, 999999),
            datetime.datetime(2024, 2, 29, 12, 0, 0, 1),
        ),
        "s2:at=t-1\ns3:day=D-1\ns5:local=n1709208000000001",
        "08046c084fdf72db1757469c940dbb85",
    ),
    (
        t.StructType(
            [
                t.StructField("l", t.ArrayType(t.LongType())),
                t.StructField("m", t.MapType(t.StringType(), t.LongType())),
                t.StructField(
                    "s",
                    t.StructType(
                        [t.StructField("y", t.StringType()), t.StructField("x", t.ByteType())]
                    ),
                ),
            ]
        ),
        ([1, None, -3], {"b": 2, "aa": None, "a": 1}, ("", -7)),
        "s1:l=[1,~,-3]\ns1:m={s1:a=1,s1:b=2,s2:aa=~}\ns1:s=(s1:y:s0:,s1:x:-7)",
        "fb187b4212c2de88ad998230cdc180b4",
    ),
]


def self_check():
    """Compares every vector with what this module computes; the sum covers `table_hash`."""
    for schema, row, encoding, expected in VECTORS:
        encoded = encode_row(row, schema)
        assert encoded == encoding.encode(), (encoded, encoding)
        assert f"{row_hash(encoded):032x}" == expected, f"{encoding!r} -> {row_hash(encoded):032x}"
    schema, row, _, expected = VECTORS[0]
    twice = f"{2 * int(expected, 16) % (1 << 128):032x}"
    assert table_hash([row, row], schema) == twice
    assert table_hash([], schema) == "0" * 32


if __name__ == "__main__":
    self_check()
    print(f"{len(VECTORS)} vectors agree")
