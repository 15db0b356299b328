//! Verification: holds a replica against its source, at the replica's head.
//!
//! Four depths, each including the ones before it but rows, which are read by another program:
//! the log (every commit byte-equal), the files (live set digest and presence), the bytes
//! (checksums, reading both sides where a store keeps none).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use table_sync_core::{ChainHash, FileRef, Position, SourceError, SourceLog, SourceView};
use table_sync_store::{ReadError, Store};

use crate::lane::{source_read_failure, target_read_failure};
use crate::report::{Failure, FailureCode};
use crate::{Event, Progress, Source, Target};

/// Requests in flight while files are compared.
const LOOK_AHEAD: usize = 32;

/// Differences that are listed; the rest are only counted.
const LISTED_MAX: usize = 100;

/// How deep a verification goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every commit of the replica is byte-equal to the source's.
    Log,
    /// And the live file sets are equal, and every file is there with its size.
    Files,
    /// And every file has the same checksum.
    Bytes,
}

/// One way in which a replica is not its source.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Key below the table root; a file of another table with where it lies.
    pub key: String,
    /// What differs.
    pub message: String,
}

/// What a verification found.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// The position that was verified; `None` when nothing is published.
    pub position: Option<Position>,
    /// Commits compared.
    pub commits: u64,
    /// Commits of the replica that the source no longer holds.
    pub commits_gone: u64,
    /// Running hash over the compared commits; equal at every site with the same commits.
    pub chain: ChainHash,
    /// Digest of the live file set, the same at both sides.
    pub live_digest: Option<String>,
    /// Files looked at.
    pub files: u64,
    /// Bytes whose checksum was compared.
    pub bytes: u64,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// How many there are in all.
    pub difference_count: u64,
}

impl VerifyReport {
    /// Whether the replica is what the source says.
    pub fn is_equal(&self) -> bool {
        self.difference_count == 0
    }
}

/// Verifies one target at its head, or at `at`.
///
/// # Errors
/// [`Failure`] when a side could not be read; differences are no error.
pub async fn verify(
    source: &Source,
    target: &Target,
    level: Level,
    at: Option<Position>,
    progress: &dyn Progress,
) -> Result<VerifyReport, Failure> {
    let here = target.reader.observe(None).await.map_err(|error| side(&error, Side::Target))?;
    let there = source.log.observe(None).await.map_err(|error| side(&error, Side::Source))?;
    // A replica's own order may be that of the copy: its head is what the source completed last.
    let position = at.or_else(|| there.newest_of(&here));
    let mut report = VerifyReport { position, ..VerifyReport::default() };
    let Some(position) = position else { return Ok(report) };
    let ours = at.map(|at| here.same(at)).or(here.head()).unwrap_or(position);
    compare_commits(source, target, &here, ours, &mut report).await?;
    if level >= Level::Files {
        compare_sets(source, target, (&there, &here), (position, ours), &mut report).await?;
        compare_files(source, target, &here, (ours, level), &mut report, progress).await?;
    }
    Ok(report)
}

#[derive(Clone, Copy)]
enum Side {
    Source,
    Target,
}

fn side(error: &SourceError, side: Side) -> Failure {
    let code = match side {
        Side::Source => FailureCode::SourceUnavailable,
        Side::Target => FailureCode::TargetUnavailable,
    };
    Failure::new(code, error)
}

fn differ(report: &mut VerifyReport, key: impl Into<String>, message: impl Into<String>) {
    report.difference_count += 1;
    if report.differences.len() < LISTED_MAX {
        report.differences.push(Difference { key: key.into(), message: message.into() });
    }
}

async fn compare_commits(
    source: &Source,
    target: &Target,
    here: &SourceView,
    until: Position,
    report: &mut VerifyReport,
) -> Result<(), Failure> {
    let positions = here.commits.iter().map(|commit| commit.position);
    let positions: Vec<_> = positions.filter(|at| *at <= until).collect();
    let mut pairs = stream::iter(positions)
        .map(|at| async move {
            let (here, there) =
                futures::join!(commit(&*target.reader, at), commit(&*source.log, at));
            let here = here.map_err(|error| side(&error, Side::Target))?;
            let there = there.map_err(|error| side(&error, Side::Source))?;
            Ok((at, here, there))
        })
        .buffered(LOOK_AHEAD);
    while let Some((at, here, there)) = pairs.try_next().await? {
        match (here, there) {
            (Some(here), Some(there)) if here.sha256 == there.sha256 => {
                report.commits += 1;
                report.chain = report.chain.then(here.sha256);
            }
            (Some(_), Some(_)) => {
                differ(report, format!("commit {at}"), "holds other bytes than at the source");
            }
            (Some(here), None) => {
                report.commits_gone += 1;
                report.chain = report.chain.then(here.sha256);
            }
            (None, _) => differ(report, format!("commit {at}"), "vanished at the target"),
        }
    }
    Ok(())
}

async fn commit(
    log: &dyn SourceLog,
    at: Position,
) -> Result<Option<table_sync_core::SeenCommit>, SourceError> {
    log.commit(at).await
}

async fn compare_sets(
    source: &Source,
    target: &Target,
    (there, here): (&SourceView, &SourceView),
    (at, here_at): (Position, Position),
    report: &mut VerifyReport,
) -> Result<(), Failure> {
    let ours = target.reader.live_digest(here, here_at).await;
    let ours = ours.map_err(|error| side(&error, Side::Target))?;
    report.live_digest = Some(ours.to_string());
    match source.log.live_digest(there, there.same(at)).await {
        Ok(theirs) if theirs == ours => {}
        Ok(theirs) => {
            let message = format!(
                "the live file sets differ: {} files at the source, {} at the target",
                theirs.count(),
                ours.count()
            );
            differ(report, format!("version {at}"), message);
        }
        // The source no longer holds the log of that version: nothing to compare with.
        Err(SourceError::Missing { .. }) => {}
        Err(error) => return Err(side(&error, Side::Source)),
    }
    Ok(())
}

async fn compare_files(
    source: &Source,
    target: &Target,
    here: &SourceView,
    (at, level): (Position, Level),
    report: &mut VerifyReport,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let files = target.reader.live_files(here, at).await;
    let files = files.map_err(|error| side(&error, Side::Target))?;
    let bytes = Arc::new(AtomicU64::new(0));
    let mut compared = files
        .map_err(|error| side(&error, Side::Target))
        .map_ok(|chunk| stream::iter(chunk.into_iter().map(Ok)))
        .try_flatten()
        .map(|file| {
            let bytes = Arc::clone(&bytes);
            async move {
                let file = file?;
                let message = compare_file(source, target, level, &file, &bytes, progress).await?;
                Ok::<_, Failure>((file, message))
            }
        })
        .buffer_unordered(LOOK_AHEAD);
    while let Some((file, message)) = compared.try_next().await? {
        report.files += 1;
        if let Some(message) = message {
            differ(report, source.name_of(&file), message);
        }
    }
    drop(compared);
    report.bytes = bytes.load(Ordering::Relaxed);
    Ok(())
}

/// `None` when the file is as it should be.
async fn compare_file(
    source: &Source,
    target: &Target,
    level: Level,
    file: &FileRef,
    bytes: &AtomicU64,
    progress: &dyn Progress,
) -> Result<Option<String>, Failure> {
    let opened = |error| Failure::new(FailureCode::Internal, &error);
    let (here_store, here_key) = target.object(file).map_err(opened)?;
    let (there_store, there_key) = source.object(file).map_err(opened)?;
    let here = here_store.head(&here_key).await;
    let Some(here) = here.map_err(|error| target_read_failure(&error))? else {
        return Ok(Some("is missing at the target".to_owned()));
    };
    let size = here.identity.size_bytes;
    if let Some(expected) = file.size_bytes
        && expected != size
    {
        return Ok(Some(format!("holds {size} bytes, but the log says {expected}")));
    }
    if level < Level::Bytes {
        return Ok(None);
    }
    let there = there_store.head(&there_key).await;
    let Some(there) = there.map_err(|error| source_read_failure(&error))? else {
        return Ok(Some("is missing at the source".to_owned()));
    };
    if there.identity.size_bytes != size {
        let expected = there.identity.size_bytes;
        return Ok(Some(format!("holds {size} bytes, the source {expected}")));
    }
    // Both bodies are read: a checksum that a store remembers says what arrived, not what is
    // there now.
    let ours = crc32c(here_store, &here_key, progress).await;
    let ours = ours.map_err(|error| target_read_failure(&error))?;
    let theirs = crc32c(there_store, &there_key, progress).await;
    let theirs = theirs.map_err(|error| source_read_failure(&error))?;
    bytes.fetch_add(size, Ordering::Relaxed);
    if ours == theirs {
        return Ok(None);
    }
    Ok(Some(format!("has crc32c {ours:08x}, the source {theirs:08x}")))
}

async fn crc32c(store: &Store, key: &str, progress: &dyn Progress) -> Result<u32, ReadError> {
    let reading = store.read(key, None, None).await?;
    let mut body: BoxStream<'static, Result<Bytes, ReadError>> = reading.body;
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    while let Some(chunk) = body.try_next().await? {
        progress.event(Event::Read { bytes: chunk.len() as u64 });
        digest.update(&chunk);
    }
    Ok(u32::try_from(digest.finalize()).unwrap_or_default())
}
