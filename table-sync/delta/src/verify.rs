//! Verification of derived objects: none is handed on unread.
//!
//! A checkpoint must hold the state that the commits say, rebuilt from an earlier base; a
//! compacted file must say what its commits say. What does not is held back with a warning, and
//! commits go on.
//!
//! # Invariants
//! - A verdict belongs to identities: other bytes are judged anew, the same bytes are not.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;
use table_sync_core::limits::COMMIT_BYTES_MAX;
use table_sync_core::{LogObject, ObjectIdentity, RelPath, SetDigest, SourceError};

use crate::checkpoint::Checkpoint;
use crate::files::{Origin, check_bytes};
use crate::listing::{CheckpointSet, Listing};
use crate::live::{self, Mention, Replay, mentions, mentions_of};
use crate::log::{LogReader, ObjectRead};
use crate::reference::Reference;

/// Verdicts that are remembered.
const VERDICTS_MAX: usize = 4096;

/// What is known about derived objects.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    known: HashMap<(RelPath, ObjectIdentity), Verdict>,
    /// The hint as it was last read.
    hint: Option<(ObjectIdentity, ObjectRead)>,
}

/// Whether a derived object may be handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fit,
    /// Not, and why: for people.
    Held(String),
}

impl Verdicts {
    pub(crate) fn get(&self, key: &RelPath, object: &LogObject) -> Option<&Verdict> {
        self.known.get(&(key.clone(), object.identity.clone()))
    }

    /// The hint, if it is still the one that was read.
    pub(crate) fn hint(&self, object: &LogObject) -> Option<&ObjectRead> {
        let (identity, read) = self.hint.as_ref()?;
        (identity.e_tag.is_some() && *identity == object.identity).then_some(read)
    }

    pub(crate) fn put_hint(&mut self, object: &LogObject, read: ObjectRead) {
        self.hint = Some((object.identity.clone(), read));
    }

    pub(crate) fn put(&mut self, key: &RelPath, object: &LogObject, verdict: Verdict) {
        if self.known.len() >= VERDICTS_MAX {
            self.known.clear();
        }
        self.known.insert((key.clone(), object.identity.clone()), verdict);
    }
}

/// Errors that say something about the object itself rather than about the store.
pub(crate) fn held(key: &RelPath, error: SourceError) -> Result<Verdict, SourceError> {
    match error {
        SourceError::Blocked(blocked) => {
            Ok(Verdict::Held(format!("{key} is held back: {blocked}")))
        }
        SourceError::Missing { path } => {
            Ok(Verdict::Held(format!("{key} is held back: {path} is missing or does not parse")))
        }
        SourceError::Damaged { message, .. } => {
            Ok(Verdict::Held(format!("{key} is held back: {message}")))
        }
        other => Err(other),
    }
}

/// Judges one checkpoint against the state that earlier objects give.
pub(crate) async fn checkpoint(
    reader: &LogReader,
    listing: &Listing,
    set: &CheckpointSet,
) -> Result<Verdict, SourceError> {
    let Some(key) = set.last_key() else { return Ok(Verdict::Fit) };
    let digest = match checkpoint_digest(reader, set).await {
        Ok(digest) => digest,
        Err(error) => return held(key, error),
    };
    for replay in Replay::candidates(listing, set.version, true) {
        match live::digest(reader, replay.files(reader)).await {
            Ok(expect) if expect == digest => return Ok(Verdict::Fit),
            Ok(expect) => {
                let (found, wanted) = (digest.count(), expect.count());
                return Ok(Verdict::Held(format!(
                    "{key} is held back: it holds {found} files ({digest}), the commits say \
                     {wanted} ({expect}); write a new checkpoint at the source"
                )));
            }
            // The earlier state is what does not parse: compare with one before it.
            Err(SourceError::Missing { .. } | SourceError::Blocked(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Verdict::Fit)
}

async fn checkpoint_digest(
    reader: &LogReader,
    set: &CheckpointSet,
) -> Result<SetDigest, SourceError> {
    let checkpoint = Checkpoint::open(reader, set).await?;
    live::digest(reader, checkpoint.files(reader)).await
}

/// Judges a compacted file against its commits.
pub(crate) async fn compacted(
    reader: &LogReader,
    key: &RelPath,
    object: &LogObject,
    versions: std::ops::RangeInclusive<u64>,
) -> Result<Verdict, SourceError> {
    match compacted_mismatch(reader, key, object, versions).await {
        Ok(false) => Ok(Verdict::Fit),
        Ok(true) => {
            Ok(Verdict::Held(format!("{key} is held back: it does not say what its commits say")))
        }
        Err(error) => held(key, error),
    }
}

async fn compacted_mismatch(
    reader: &LogReader,
    key: &RelPath,
    object: &LogObject,
    versions: std::ops::RangeInclusive<u64>,
) -> Result<bool, SourceError> {
    let read = reader.read(key, Some(&object.identity), COMMIT_BYTES_MAX).await?;
    let read: ObjectRead = read.ok_or_else(|| SourceError::Missing { path: key.clone() })?;
    let origin = Origin::Derived { version: *versions.end(), key: key.clone() };
    check_bytes(&read.bytes, &origin, reader.reference()).await?;
    let mut found = MentionDigest::default();
    let mut own = mentions_of(reader, read.bytes, origin);
    while let Some(chunk) = own.try_next().await? {
        chunk.iter().for_each(|mention| found.add(mention, reader.reference()));
    }
    let mut expect = MentionDigest::default();
    for version in versions.rev() {
        let mut commit = mentions(reader.clone(), version).await?;
        while let Some(chunk) = commit.try_next().await? {
            chunk.iter().for_each(|mention| expect.add(mention, reader.reference()));
        }
    }
    Ok(found.digest != expect.digest)
}

/// Digest of the first mention of each file.
#[derive(Default)]
struct MentionDigest {
    seen: HashSet<u128>,
    digest: SetDigest,
}

impl MentionDigest {
    fn add(&mut self, mention: &Mention, reference: &Reference) {
        let (key, id) = mention.key();
        let name = reference.name(key);
        if self.seen.insert(SetDigest::entry(&name, id)) {
            let sign = match mention {
                Mention::Added(_) => '+',
                Mention::Removed { .. } => '-',
            };
            self.digest.insert(&format!("{sign}{name}"), id);
        }
    }
}
