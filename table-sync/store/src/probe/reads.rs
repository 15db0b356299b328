//! Checks of reads: fresh, pinned, in order, under the names that were written.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Bench, Finding, Trouble, fail};
use crate::body::Listed;
use crate::error::{ReadError, WriteError};

/// How often a write is followed at once by a read or a listing.
const ROUNDS: usize = 10;

async fn keys(
    bench: &Bench<'_>,
    prefix: &str,
    start_after: Option<&str>,
) -> Result<Vec<String>, ReadError> {
    let mut keys = Vec::new();
    let each = |listed: Listed| {
        keys.push(listed.key);
        ControlFlow::Continue(())
    };
    bench.store.list(prefix, start_after, each).await?;
    Ok(keys)
}

pub(super) async fn read_after_write(bench: &Bench<'_>) -> Finding {
    let key = bench.key("fresh");
    let mut last = None;
    for round in 0..ROUNDS {
        let bytes = Bytes::from(format!("round {round}"));
        let put = bench.store.replace(&key, bytes.clone(), last.as_ref()).await?;
        if bench.content(&key).await? != Some(bytes) {
            return fail("a read right after a write gave something older");
        }
        last = Some(put.identity);
    }
    bench.store.head(&bench.key("fresh-absent")).await?;
    // A store that remembers "not there" would show it here.
    bench.store.create(&bench.key("fresh-absent"), Bytes::from_static(b"x")).await?;
    match bench.store.head(&bench.key("fresh-absent")).await? {
        Some(_) => Ok(format!("{ROUNDS} writes were read at once")),
        None => fail("an object that was looked for before it was created stays invisible"),
    }
}

pub(super) async fn pinned_read(bench: &Bench<'_>) -> Finding {
    let key = bench.key("pinned");
    let first = bench.store.create(&key, Bytes::from_static(b"0123456789")).await?.identity;
    let reading = bench.store.read(&key, Some(2..5), Some(&first)).await?;
    let bytes: Vec<Bytes> = futures::TryStreamExt::try_collect(reading.body).await?;
    if bytes.concat() != b"234" {
        return fail("a range read gave other bytes");
    }
    bench.store.replace(&key, Bytes::from_static(b"9876543210"), Some(&first)).await?;
    match bench.store.read(&key, Some(2..5), Some(&first)).await {
        Ok(_) => fail("a read pinned to a replaced object was answered"),
        Err(ReadError::Changed { .. }) => Ok("reads keep their condition".to_owned()),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn list_after_write(bench: &Bench<'_>) -> Finding {
    let folder = bench.key("listed");
    let mut expect = Vec::new();
    for round in 0..ROUNDS {
        let key = format!("{folder}/{round:020}.json");
        bench.store.create(&key, Bytes::from_static(b"x")).await?;
        expect.push(key);
        if keys(bench, &folder, None).await? != expect {
            return fail("a listing right after a create does not show it");
        }
    }
    Ok(format!("{ROUNDS} creates were listed at once"))
}

pub(super) async fn list_order(bench: &Bench<'_>) -> Finding {
    let folder = bench.key("order");
    // Byte order puts `.` before `/` before digits; a walk of folders would not.
    let names = ["a.b", "a/b", "a0", "b"];
    for name in names.iter().rev() {
        bench.store.create(&format!("{folder}/{name}"), Bytes::from_static(b"x")).await?;
    }
    let expect: Vec<String> = names.iter().map(|name| format!("{folder}/{name}")).collect();
    let all = keys(bench, &folder, None).await?;
    if all != expect {
        let mut sorted = all;
        sorted.sort();
        return match sorted == expect {
            true => fail("listings are not in the byte order of keys"),
            false => fail("a listing does not show what was written"),
        };
    }
    for (at, key) in expect.iter().enumerate() {
        let rest = keys(bench, &folder, Some(key)).await?;
        if Some(rest.as_slice()) != expect.get(at + 1..) {
            return fail("a listing that starts behind a key shows other keys");
        }
    }
    Ok("listings are in order and can start behind a key".to_owned())
}

pub(super) async fn key_names(bench: &Bench<'_>) -> Finding {
    let folder = bench.key("names");
    let names = [
        "p=1/a b",
        "a%20b",
        "a%2Fb",
        "%25",
        "\u{e9}",
        "\u{1F600}",
        "x+y&z",
        "t:0",
        "#x",
        "[x]",
        "~t",
        "'q'",
        "a,b;c",
        "(1)!",
        "@",
        "$x",
        "{y}",
    ];
    for name in names {
        let key = format!("{folder}/{name}");
        let bytes = Bytes::copy_from_slice(name.as_bytes());
        match bench.store.create(&key, bytes.clone()).await {
            Ok(_) => {}
            Err(WriteError::Exists { .. }) => {
                return fail(format!("the name {name:?} stands for another one as well"));
            }
            Err(error) => return Err(error.into()),
        }
        if bench.content(&key).await? != Some(bytes) {
            return fail(format!("an object named {name:?} does not read back"));
        }
    }
    let mut expect: Vec<String> = names.iter().map(|name| format!("{folder}/{name}")).collect();
    expect.sort();
    match keys(bench, &folder, None).await? == expect {
        true => Ok(format!("{} awkward names read back and list unchanged", names.len())),
        false => fail("a listing spells awkward names differently"),
    }
}

/// Names that some file systems take for one.
pub(super) async fn distinct_names(bench: &Bench<'_>) -> Finding {
    let twins = [
        ("part-A", "part-a", "upper and lower case"),
        ("\u{e9}x", "e\u{301}x", "composed and decomposed characters"),
        ("x", "x.", "a trailing dot"),
        ("y", "y ", "a trailing space"),
    ];
    for (one, other, what) in twins {
        let (one, other) =
            (bench.key(&format!("twins/{one}")), bench.key(&format!("twins/{other}")));
        bench.store.create(&one, Bytes::from_static(b"one")).await?;
        match bench.store.create(&other, Bytes::from_static(b"other")).await {
            Ok(_) => {}
            Err(WriteError::Exists { .. }) => {
                return fail(format!("names that differ only in {what} are one"));
            }
            Err(error) => return Err(error.into()),
        }
        if bench.content(&one).await?.as_deref() != Some(b"one".as_slice()) {
            return fail(format!("names that differ only in {what} overwrite each other"));
        }
    }
    Ok("names are told apart byte by byte".to_owned())
}

pub(super) async fn checksum_kept(bench: &Bench<'_>) -> Finding {
    let key = bench.key("checksum");
    let put = bench.store.create(&key, Bytes::from_static(b"123456789")).await?;
    match (bench.store.head(&key).await?.and_then(|facts| facts.crc32c), put.crc32c) {
        (Some(kept), Some(sent)) if kept == sent => Ok("CRC-32C can be asked for".to_owned()),
        (Some(_), Some(_)) => fail("the store reports a wrong CRC-32C"),
        _ => Err(Trouble::NotApplicable("the store keeps no CRC-32C".to_owned())),
    }
}
