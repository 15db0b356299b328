//! Checks of damage: uploads that break, checksums that are wrong.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use table_sync_core::BoxError;

use super::{Bench, Finding, Trouble, fail};
use crate::body::{Body, Precondition};
use crate::error::WriteError;

/// Size of the damaged objects, in bytes: more than one socket buffer takes at once.
const SIZE_BYTES: u64 = 131_072;
/// How long a broken upload is watched: some servers commit when they notice the broken
/// connection.
const WATCH: (usize, Duration) = (5, Duration::from_millis(200));

#[derive(Debug, thiserror::Error)]
#[error("the probe breaks this upload")]
struct Planned;

/// `good_bytes`, then a failure that cuts the connection.
fn breaking(good_bytes: u64) -> Body {
    let good = Bytes::from(vec![7; usize::try_from(good_bytes).unwrap_or_default()]);
    let failure = stream::once(async {
        // The bytes before go out on their own.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err::<Bytes, BoxError>(Planned.into())
    });
    stream::iter([Ok(good)]).chain(failure).boxed()
}

/// Size of what appears under a key although its upload broke.
async fn appears(bench: &Bench<'_>, key: &str) -> Result<Option<u64>, Trouble> {
    for _ in 0..WATCH.0 {
        if let Some(facts) = bench.store.head(key).await? {
            return Ok(Some(facts.identity.size_bytes));
        }
        tokio::time::sleep(WATCH.1).await;
    }
    Ok(None)
}

pub(super) async fn cut_upload(bench: &Bench<'_>) -> Finding {
    for good_bytes in [50_000, SIZE_BYTES] {
        let key = bench.key(&format!("cut-{good_bytes}"));
        let body = breaking(good_bytes);
        match bench.store.upload(&key, SIZE_BYTES, body, Precondition::Absent).await {
            Ok(_) => return fail("an upload whose body broke was acknowledged"),
            Err(WriteError::Body { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(bytes) = appears(bench, &key).await? {
            return fail(format!(
                "an upload cut after {good_bytes} of {SIZE_BYTES} bytes became an object of {bytes}"
            ));
        }
    }
    Ok("an upload that is cut leaves nothing".to_owned())
}

pub(super) async fn wrong_checksum(bench: &Bench<'_>) -> Finding {
    let Some(s3) = bench.store.s3() else {
        let detail = "the store verifies no checksum of ours".to_owned();
        return Err(Trouble::NotApplicable(detail));
    };
    let key = bench.key("wrong-checksum");
    let bytes = Bytes::from(vec![7; 1000]);
    let status = s3.put_with_wrong_checksum(&key, bytes).await?;
    let there = appears(bench, &key).await?;
    match (status, there) {
        (200..=299, _) | (_, Some(_)) => fail("bytes with a wrong checksum were accepted"),
        (400..=499, None) => Ok(format!("bytes with a wrong checksum were refused ({status})")),
        (status, None) => {
            Err(Trouble::Inconclusive(format!("the answer to a wrong checksum was {status}")))
        }
    }
}

/// What the store does with uploads as we never send them: for information.
pub(super) async fn unsigned_cut_upload(bench: &Bench<'_>) -> Finding {
    let Some(s3) = bench.store.s3() else {
        return Err(Trouble::NotApplicable("there are no such uploads here".to_owned()));
    };
    let key = bench.key("unsigned-cut");
    let good_bytes = 50_000;
    s3.put_unsigned(&key, SIZE_BYTES, breaking(good_bytes)).await;
    match appears(bench, &key).await? {
        None => Ok("a cut upload without a checksum leaves nothing".to_owned()),
        Some(bytes) => fail(format!(
            "a cut upload without a checksum became an object of {bytes} of {SIZE_BYTES} bytes; \
             ours carry checksums, those of other tools may not"
        )),
    }
}

pub(super) async fn hard_links(bench: &Bench<'_>) -> Finding {
    let Some(folder) = bench.store.folder() else {
        return Err(Trouble::NotApplicable("not a folder".to_owned()));
    };
    match folder.has_links(bench.scratch).await {
        Ok(true) => Ok("the file system has hard links".to_owned()),
        Ok(false) => fail(
            "the file system has no hard links: creates take a lock file instead, so let only \
             one machine write here",
        ),
        Err(error) => Err(Trouble::Inconclusive(error.to_string())),
    }
}
