//! Checks of writes: conditions, races, parts, deletes.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::StreamExt as _;
use tokio::sync::Barrier;
use tokio::time::timeout;

use super::{Bench, Finding, Trouble, fail, gated};
use crate::body::{Precondition, of_bytes};
use crate::error::WriteError;
use crate::store::{Store, StoreKind};

/// How often, and with how many writers, one key is raced for.
const ROUNDS: usize = 4;
const WRITERS: usize = 16;
const WRITERS_S3: usize = 50;
/// Longest wait for writers that the store lets in only one after the other.
const GATE: Duration = Duration::from_secs(10);
/// Smallest part that S3 takes, in bytes: an object of two parts is a little larger.
const PART_BYTES: u64 = 5 << 20;

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

pub(super) async fn create_if_absent(bench: &Bench<'_>) -> Finding {
    let key = bench.key("create");
    bench.store.create(&key, text("first")).await?;
    match bench.store.create(&key, text("other")).await {
        Ok(_) => return fail("a second create of one key was accepted"),
        Err(WriteError::Exists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    match bench.content(&key).await? {
        Some(bytes) if bytes == text("first") => Ok("the second create was refused".to_owned()),
        _ => fail("the second create was refused, but changed the object"),
    }
}

pub(super) async fn create_race(bench: &Bench<'_>) -> Finding {
    let writers = if bench.store.kind() == StoreKind::S3 { WRITERS_S3 } else { WRITERS };
    for round in 0..ROUNDS {
        one_race(bench.store, &bench.key(&format!("race/{round}")), writers).await?;
    }
    Ok(format!("{writers} writers at one key, {ROUNDS} times: one won each time"))
}

/// All writers hold back their last byte, then send it together. The race that finds stores which
/// look first and write later.
async fn one_race(store: &Store, key: &str, writers: usize) -> Result<(), Trouble> {
    let barrier = Arc::new(Barrier::new(writers));
    let bytes_of = |writer: usize| Bytes::from(format!("{writer:04}").repeat(256));
    let races = (0..writers).map(|writer| {
        let (bytes, barrier) = (bytes_of(writer), Arc::clone(&barrier));
        let gate = async move {
            let _ = timeout(GATE, barrier.wait()).await;
        };
        let size_bytes = bytes.len() as u64;
        store.upload(key, size_bytes, gated(bytes, gate), Precondition::Absent)
    });
    let outcomes = futures::future::join_all(races).await;
    let mut won = Vec::new();
    let mut open = None;
    for (writer, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(_) => won.push(writer),
            Err(WriteError::Exists { .. } | WriteError::Refused { .. }) => {}
            Err(error) => open = Some(Trouble::from(error)),
        }
    }
    let there = store.get(key, 1 << 20).await?.map(|(bytes, _)| bytes);
    match (won.as_slice(), open) {
        ([], Some(trouble)) | ([_], Some(trouble)) => Err(trouble),
        ([], None) => Err(Trouble::Inconclusive("no writer of a free key won".to_owned())),
        ([winner], None) if there == Some(bytes_of(*winner)) => Ok(()),
        ([_], None) => fail("the object holds other bytes than those of the writer that won"),
        (winners, _) => fail(format!("{} of {writers} writers won one key", winners.len())),
    }
}

pub(super) async fn replace_if_match(bench: &Bench<'_>) -> Finding {
    let key = bench.key("replace");
    let first = bench.store.create(&key, text("first")).await?.identity;
    let second = match bench.store.replace(&key, text("second"), Some(&first)).await {
        Ok(facts) => facts.identity,
        Err(WriteError::Changed { .. }) => return fail("a replace of what is there was refused"),
        Err(error) => return Err(error.into()),
    };
    match bench.store.replace(&key, text("third"), Some(&first)).await {
        Ok(_) => return fail("a replace of what is no longer there was accepted"),
        Err(WriteError::Changed { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let absent = bench.key("replace-absent");
    match bench.store.replace(&absent, text("x"), Some(&second)).await {
        Ok(_) => return fail("a replace of an object that never was created one"),
        Err(WriteError::Changed { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    match bench.content(&key).await? {
        Some(bytes) if bytes == text("second") => Ok("only what was observed is replaced".into()),
        _ => fail("a refused replace changed the object"),
    }
}

pub(super) async fn overwrite(bench: &Bench<'_>) -> Finding {
    let key = bench.key("overwrite");
    for content in ["first", "second"] {
        let bytes = text(content);
        let size_bytes = bytes.len() as u64;
        bench.store.upload(&key, size_bytes, of_bytes(bytes), Precondition::Any).await?;
    }
    match bench.content(&key).await? {
        Some(bytes) if bytes == text("second") => Ok("an object can be overwritten".to_owned()),
        _ => fail("an overwrite was accepted, but the old bytes are read"),
    }
}

/// A store that cuts uploads at the smallest part, where the store cuts at all.
fn in_small_parts(bench: &Bench<'_>) -> Result<Store, Trouble> {
    match bench.store.kind() {
        StoreKind::S3 => Ok(bench.store.with_part_bytes(PART_BYTES)),
        _ => Err(Trouble::NotApplicable("large bodies need no parts of ours here".to_owned())),
    }
}

fn two_parts() -> Bytes {
    // A little more than one part, and different at both ends.
    (0..PART_BYTES + 1000).map(|at| (at % 251) as u8).collect()
}

pub(super) async fn multipart(bench: &Bench<'_>) -> Finding {
    let store = in_small_parts(bench)?;
    let key = bench.key("multipart");
    let bytes = two_parts();
    let size_bytes = bytes.len() as u64;
    store.upload(&key, size_bytes, of_bytes(bytes.clone()), Precondition::Absent).await?;
    match bench.content(&key).await? {
        Some(there) if there == bytes => Ok("an upload in parts reads back whole".to_owned()),
        _ => fail("an upload in parts reads back with other bytes"),
    }
}

pub(super) async fn multipart_condition(bench: &Bench<'_>) -> Finding {
    let store = in_small_parts(bench)?;
    let key = bench.key("multipart-condition");
    store.create(&key, text("first")).await?;
    let bytes = two_parts();
    let size_bytes = bytes.len() as u64;
    match store.upload(&key, size_bytes, of_bytes(bytes), Precondition::Absent).await {
        Ok(_) => fail("a completion that should create overwrote an object"),
        Err(WriteError::Exists { .. }) => Ok("completions keep the condition".to_owned()),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn delete(bench: &Bench<'_>) -> Finding {
    let key = bench.key("delete");
    bench.store.create(&key, text("x")).await?;
    match bench.store.delete(&key, None).await {
        Ok(()) => {}
        Err(WriteError::Denied { .. }) => {
            let detail = "these credentials may not delete; only --retire needs that";
            return Err(Trouble::NotApplicable(detail.to_owned()));
        }
        Err(error) => return Err(error.into()),
    }
    match bench.store.head(&key).await? {
        None => Ok("an object can be deleted".to_owned()),
        Some(_) => fail("a deleted object is still there"),
    }
}

pub(super) async fn delete_if_match(bench: &Bench<'_>) -> Finding {
    let key = bench.key("delete-if-match");
    let first = bench.store.create(&key, text("first")).await?.identity;
    bench.store.replace(&key, text("second"), Some(&first)).await?;
    let conditional = match bench.store.s3() {
        Some(s3) => s3.delete_on_condition(&key, &first).await,
        None => bench.store.delete(&key, Some(&first)).await,
    };
    let aware = bench.store.kind() == StoreKind::S3 || bench.store.kind() == StoreKind::File;
    match conditional {
        Ok(()) => fail("the condition of a delete is ignored: it deletes whatever is there"),
        Err(WriteError::Changed { .. }) if aware => Ok("deletes keep their condition".to_owned()),
        Err(WriteError::Changed { .. }) => {
            Err(Trouble::NotApplicable("deletes look first; they know no condition".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes the scratch folder.
pub(super) async fn clean_up(bench: &Bench<'_>) -> Finding {
    let mut keys = Vec::new();
    let each = |listed: crate::body::Listed| {
        keys.push(listed.key);
        ControlFlow::Continue(())
    };
    bench.store.list(bench.scratch, None, each).await?;
    let count = keys.len();
    let deletes = futures::stream::iter(keys)
        .map(|key| async move { bench.store.delete(&key, None).await })
        .buffer_unordered(8);
    let failed: Vec<WriteError> =
        deletes.filter_map(|outcome| async move { outcome.err() }).collect().await;
    bench.store.remove_folders(bench.scratch).await;
    match failed.into_iter().next() {
        None => Ok(format!("{count} scratch objects were removed")),
        Some(error) => {
            let scratch = bench.scratch;
            let cause = super::chain(&error);
            let detail = format!("{scratch} could not be removed, delete it yourself: {cause}");
            Err(Trouble::Inconclusive(detail))
        }
    }
}
