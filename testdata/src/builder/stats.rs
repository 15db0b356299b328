//! Statistics of data files: JSON text of any width, as the log keeps it.
//!
//! Source: Delta protocol, "Per-file Statistics".

use std::fmt::Write as _;

use fastrand::Rng;

/// The kinds of columns that statistics are made of, in turn.
const KINDS: usize = 4;

/// Type of column `index` in a schema of [`columns`], as the log's schema string names it.
fn column_type(index: usize) -> &'static str {
    match index % KINDS {
        0 => "long",
        1 => "string",
        2 => "double",
        _ => "timestamp",
    }
}

/// Names and types of the first `count` columns: `c0 long`, `c1 string`, `c2 double`, ...
pub(crate) fn columns(count: usize) -> Vec<(String, &'static str)> {
    (0..count).map(|index| (format!("c{index}"), column_type(index))).collect()
}

/// Appends the statistics of one file over `count` columns to `out`.
///
/// `records` is the number of rows. Values are random; a maximum is never below its minimum.
/// With 11 columns the text is about 700 bytes.
pub(crate) fn write_stats(out: &mut String, rng: &mut Rng, count: usize, records: u64) {
    let mut min = String::new();
    let mut max = String::new();
    let mut nulls = String::new();
    for index in 0..count {
        let comma = if index == 0 { "" } else { "," };
        let (low, high) = bounds(rng, index);
        // Writing to a string does not fail.
        let _ = write!(min, "{comma}\"c{index}\":{low}");
        let _ = write!(max, "{comma}\"c{index}\":{high}");
        let _ = write!(nulls, "{comma}\"c{index}\":{}", rng.u64(0..=records / 10));
    }
    let _ = write!(
        out,
        "{{\"numRecords\":{records},\"minValues\":{{{min}}},\"maxValues\":{{{max}}},\
         \"nullCount\":{{{nulls}}}}}"
    );
}

/// JSON texts of a minimum and a maximum for column `index`.
fn bounds(rng: &mut Rng, index: usize) -> (String, String) {
    match column_type(index) {
        "long" => {
            let low = rng.u32(..);
            (low.to_string(), (u64::from(low) + rng.u64(0..1_000_000)).to_string())
        }
        "string" => {
            let text: String = (0..12).map(|_| rng.lowercase()).collect();
            (format!("\"a{text}\""), format!("\"z{text}\""))
        }
        "double" => {
            let low = rng.u32(0..1_000_000);
            (format!("{low}.25"), format!("{}.75", low + rng.u32(0..1_000)))
        }
        _ => {
            let (hour, minute) = (rng.u8(0..12), rng.u8(0..60));
            let day = rng.u8(1..=28);
            (
                format!("\"2024-03-{day:02}T{hour:02}:{minute:02}:00.000Z\""),
                format!("\"2024-03-{day:02}T{:02}:{minute:02}:59.999Z\"", hour + 12),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_are_json_of_the_asked_width() {
        for width in [0, 1, 11, 200] {
            let mut text = String::new();
            write_stats(&mut text, &mut Rng::with_seed(7), width, 1_000);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["numRecords"], 1_000);
            for part in ["minValues", "maxValues", "nullCount"] {
                assert_eq!(value[part].as_object().unwrap().len(), width, "{part}");
            }
        }
    }
}
