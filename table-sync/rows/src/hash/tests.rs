//! Vectors shared with the generator of the test tables, and equal values in unequal types.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use deltalake::arrow::array::Int64Builder;
use deltalake::arrow::array::{
    BinaryArray, BinaryViewArray, DictionaryArray, LargeListArray, LargeStringArray, ListArray,
    MapBuilder, NullArray, StringArray, StringBuilder, StringViewArray, StructArray,
    TimestampNanosecondArray, new_empty_array,
};
use deltalake::arrow::compute::concat_batches;
use deltalake::arrow::datatypes::{Field, Schema, UInt16Type};

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
        .unwrap()
}

/// Encodes the only row of `columns`.
#[track_caller]
fn encoded(columns: Vec<(&str, ArrayRef)>) -> String {
    let batch = batch(columns);
    assert_eq!(batch.num_rows(), 1);
    let mut out = Vec::new();
    RowEncoder::try_new(&batch).unwrap().encode(0, &mut out);
    String::from_utf8(out).unwrap()
}

/// Encoding and hash of the only row of `columns`.
#[track_caller]
fn check(columns: Vec<(&str, ArrayRef)>, expect: &str, expect_hash: &str) {
    let mut hash = RowHash::default();
    hash.add(&batch(columns.clone())).unwrap();
    assert_eq!(encoded(columns), expect);
    assert_eq!(hash.to_string(), expect_hash);
}

/// Encoding of one value in a column named `c`, without the name.
#[track_caller]
fn check_value(array: ArrayRef, expect: &str) {
    assert_eq!(encoded(vec![("c", array)]), format!("s1:c={expect}"));
}

fn int64(value: i64) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value]))
}

#[test]
fn columns_sort_by_name() {
    check(
        vec![("id", int64(1)), ("a", Arc::new(StringArray::from(vec!["é"])))],
        "s1:a=s2:é\ns2:id=1",
        "ca07d01cd23c6335472188559cff6965",
    );
}

#[test]
fn booleans_floats_and_null() {
    check(
        vec![
            ("b", Arc::new(BooleanArray::from(vec![false]))),
            ("d", Arc::new(Float64Array::from(vec![-0.0]))),
            ("f", Arc::new(Float32Array::from(vec![0.1]))),
            ("n", Arc::new(Float64Array::from(vec![-f64::NAN]))),
            ("z", Arc::new(Int32Array::from(vec![None]))),
        ],
        "s1:b=F\ns1:d=f8000000000000000\ns1:f=f3fb99999a0000000\n\
         s1:n=f7ff8000000000000\ns1:z=~",
        "fd477f90f67f15359d194d808689ac3a",
    );
}

fn decimal128(unscaled: i128, precision: u8, scale: i8) -> ArrayRef {
    let array = Decimal128Array::from(vec![unscaled]);
    Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
}

#[test]
fn decimals_and_binary() {
    check(
        vec![
            ("p", decimal128(125_000, 12, 4)),
            ("q", decimal128(-12_345_678_901_234_567_890_123_456_789_012_345_000, 38, 0)),
            ("r", decimal128(0, 5, 2)),
            ("x", Arc::new(BinaryArray::from_vec(vec![&[0x00, 0xff]]))),
        ],
        "s1:p=d12.5\ns1:q=d-12345678901234567890123456789012345000\ns1:r=d0\ns1:x=x00ff",
        "93e1e5d8098728d1f8b875748c8abbea",
    );
}

#[test]
fn decimals_keep_leading_zeros_of_the_fraction() {
    check_value(decimal128(5, 10, 3), "d0.005");
    check_value(decimal128(-5, 10, 3), "d-0.005");
    check_value(decimal128(1_000, 10, 3), "d1");
    check_value(decimal128(12, 10, -2), "d1200");
    check_value(decimal128(0, 10, -2), "d0");
}

#[test]
fn dates_and_timestamps() {
    let at = TimestampMicrosecondArray::from(vec![-1]).with_timezone("UTC");
    let local = TimestampMicrosecondArray::from(vec![1_709_208_000_000_001]);
    check(
        vec![
            ("day", Arc::new(Date32Array::from(vec![-1]))),
            ("at", Arc::new(at)),
            ("local", Arc::new(local)),
        ],
        "s2:at=t-1\ns3:day=D-1\ns5:local=n1709208000000001",
        "08046c084fdf72db1757469c940dbb85",
    );
}

#[test]
fn arrays_maps_and_structs() {
    let l = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1), None, Some(-3)])]);
    let mut m = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for (key, value) in [("b", Some(2)), ("aa", None), ("a", Some(1))] {
        m.keys().append_value(key);
        m.values().append_option(value);
    }
    m.append(true).unwrap();
    let s = StructArray::from(vec![
        (
            Arc::new(Field::new("y", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![""])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("x", DataType::Int8, true)),
            Arc::new(Int8Array::from(vec![-7])) as ArrayRef,
        ),
    ]);
    check(
        vec![("l", Arc::new(l)), ("m", Arc::new(m.finish())), ("s", Arc::new(s))],
        "s1:l=[1,~,-3]\ns1:m={s1:a=1,s1:b=2,s2:aa=~}\ns1:s=(s1:y:s0:,s1:x:-7)",
        "fb187b4212c2de88ad998230cdc180b4",
    );
}

#[test]
fn the_carrier_type_does_not_show() {
    check_value(Arc::new(Int8Array::from(vec![7])), "7");
    check_value(Arc::new(Int16Array::from(vec![7])), "7");
    check_value(Arc::new(Int32Array::from(vec![7])), "7");
    check_value(int64(7), "7");
    check_value(Arc::new(Float32Array::from(vec![0.5])), "f3fe0000000000000");
    check_value(Arc::new(Float64Array::from(vec![0.5])), "f3fe0000000000000");
    check_value(Arc::new(StringArray::from(vec!["ab"])), "s2:ab");
    check_value(Arc::new(LargeStringArray::from(vec!["ab"])), "s2:ab");
    check_value(Arc::new(StringViewArray::from(vec!["ab"])), "s2:ab");
    check_value(Arc::new(BinaryViewArray::from_iter_values([[1_u8]])), "x01");
    check_value(Arc::new(DictionaryArray::<UInt16Type>::from_iter([Some("ab")])), "s2:ab");
    let list = LargeListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)])]);
    check_value(Arc::new(list), "[1]");
}

#[test]
fn nulls_are_seen_at_every_depth() {
    check_value(Arc::new(NullArray::new(1)), "~");
    check_value(Arc::new(DictionaryArray::<UInt16Type>::from_iter([None::<&str>])), "~");
    let keys = deltalake::arrow::array::UInt16Array::from(vec![0]);
    let null_value = StringArray::from(vec![None::<&str>]);
    let dictionary = DictionaryArray::new(keys, Arc::new(null_value));
    check_value(Arc::new(dictionary), "~");
    let empty = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([None::<i64>; 0])]);
    check_value(Arc::new(empty), "[]");
    let null = ListArray::from_iter_primitive::<Int64Type, _, _>([None::<[Option<i64>; 0]>]);
    check_value(Arc::new(null), "~");
}

#[test]
fn rows_count_as_often_as_they_occur_in_any_order_and_split() {
    let rows = |values: &[i64]| batch(vec![("id", Arc::new(Int64Array::from(values.to_vec())))]);
    let hash = |batches: &[RecordBatch]| {
        let mut hash = RowHash::default();
        batches.iter().for_each(|batch| hash.add(batch).unwrap());
        hash
    };
    let whole = hash(&[rows(&[1, 2, 3])]);
    assert_eq!(whole, hash(&[rows(&[3]), rows(&[2, 1])]));
    let all = concat_batches(&rows(&[]).schema(), &[rows(&[3]), rows(&[1, 2])]).unwrap();
    assert_eq!(whole, hash(&[all.slice(0, 2), all.slice(2, 1)]));
    assert_ne!(whole, hash(&[rows(&[1, 2, 3, 3])]));
    assert_ne!(whole, hash(&[rows(&[1, 2, 4])]));
    assert_eq!(hash(&[rows(&[])]).to_string(), "0".repeat(32));
    let mut merged = hash(&[rows(&[1])]);
    merged.merge(hash(&[rows(&[2, 3])]));
    assert_eq!(whole, merged);
}

#[test]
fn a_type_without_an_encoding_is_an_error() {
    let nanoseconds: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1]));
    let error = RowHash::default().add(&batch(vec![("c", nanoseconds)])).unwrap_err();
    assert!(error.data_type.starts_with("Timestamp"), "{error}");
    // An empty batch is judged by its type all the same.
    let schema = Schema::new(vec![Field::new("c", DataType::UInt8, true)]);
    let empty = new_empty_array(&DataType::UInt8);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![empty]).unwrap();
    assert!(RowHash::default().add(&batch).is_err());
}
