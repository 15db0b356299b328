//! Late objects: checksums, checkpoints, compacted files and the hint, which come after their
//! commits.
//!
//! # Invariants
//! - An object is attached only after the commits that it derives from are published here.
//! - Each was read and judged first; what is held back is said once a pass, with the reason.
//! - The hint comes last, moves forward only, and never names what is not whole here.
//!
//! The replica must have been observed after the last publication: what its view does not show
//! is taken as not published.

use table_sync_core::limits::SMALL_OBJECT_BYTES_MAX;
use table_sync_core::{
    Body, Expect, Kind, Late, LogObject, Op, Position, Publication, RelPath, ReplicaView,
    Sha256Digest, SourceError, SourceView, Step,
};

use crate::action::Add;
use crate::checkpoint::Checkpoint;
use crate::commit::LogBytes;
use crate::files::{LiveFile, Origin};
use crate::jump::{checkpoint_steps, hint_body};
use crate::last_checkpoint::LastCheckpoint;
use crate::listing::{CheckpointSet, Listing};
use crate::log::{DeltaLog, LogReader, key_error};
use crate::name::{LOG_PREFIX, last_checkpoint_key};
use crate::verify::{self, Verdict};

/// One look for late objects.
struct Look<'a> {
    log: &'a DeltaLog,
    view: &'a SourceView,
    replica: &'a ReplicaView,
    source: Listing,
    target: Listing,
    /// Versions that are looked at.
    versions: std::ops::RangeInclusive<u64>,
    late: Late,
}

/// Finds what the source has, the replica lacks, and may be attached now.
pub(crate) async fn late(
    log: &DeltaLog,
    view: &SourceView,
    replica: &ReplicaView,
    through: u64,
) -> Result<Late, SourceError> {
    let number = |position: Option<Position>| match position {
        Some(Position::Version(version)) => version,
        _ => 0,
    };
    let listed = number(view.listed_from).max(number(replica.listed_from));
    let first = listed.max(number(replica.earliest_readable));
    let mut look = Look {
        log,
        view,
        replica,
        source: Listing::of(&view.objects),
        target: Listing::of(&replica.objects),
        versions: first..=through,
        late: Late::default(),
    };
    look.checksums().await?;
    look.compacted(number(replica.earliest_readable)).await?;
    look.checkpoints().await?;
    look.late.publications.sort_by_key(|publication| publication.position);
    look.hint().await?;
    Ok(look.late)
}

impl Look<'_> {
    fn reader(&self) -> &LogReader {
        &self.log.reader
    }

    /// Whether a version is looked at and its commit is published here.
    fn published(&self, version: u64) -> bool {
        self.versions.contains(&version) && self.target.commits.contains(&version)
    }

    fn attach(&mut self, version: u64, steps: Vec<Step>) {
        let position = Position::Version(version);
        self.late.publications.push(Publication::of(position, Kind::Attach, steps));
    }

    fn known(&self, key: &RelPath, object: &LogObject) -> Option<Verdict> {
        let verdicts = self.log.verdicts.lock().ok()?;
        verdicts.get(key, object).cloned()
    }

    /// Remembers a verdict, and whether the object may go.
    fn judge(&mut self, key: &RelPath, object: &LogObject, verdict: Verdict) -> bool {
        if let Ok(mut verdicts) = self.log.verdicts.lock() {
            verdicts.put(key, object, verdict.clone());
        }
        match verdict {
            Verdict::Fit => true,
            Verdict::Held(why) => {
                self.late.warnings.push(why);
                false
            }
        }
    }

    /// An object of the log by its name, where the source has it and the replica does not.
    fn lacking(&self, name: &str) -> Option<(RelPath, LogObject)> {
        let key = RelPath::parse(&format!("{LOG_PREFIX}{name}")).ok()?;
        if self.replica.objects.contains_key(&key) {
            return None;
        }
        let object = self.view.objects.get(&key)?.clone();
        Some((key, object))
    }

    async fn checksums(&mut self) -> Result<(), SourceError> {
        let versions: Vec<u64> = self.source.crcs.range(self.versions.clone()).copied().collect();
        for version in versions {
            let Some((key, object)) = self.lacking(&format!("{version:020}.crc")) else { continue };
            if !self.published(version) {
                continue;
            }
            if let Some(Verdict::Held(why)) = self.known(&key, &object) {
                self.late.warnings.push(why);
                continue;
            }
            let identity = Some(&object.identity);
            let read = self.reader().read(&key, identity, SMALL_OBJECT_BYTES_MAX).await;
            let judged = read.and_then(|read| {
                let read = read.ok_or_else(|| SourceError::Missing { path: key.clone() })?;
                let bytes = small(read.bytes);
                check_checksum(&bytes, self.reader(), version, &key)?;
                Ok(bytes)
            });
            let (verdict, bytes) = match judged {
                Ok(bytes) => (Verdict::Fit, bytes),
                Err(error) => (verify::held(&key, error)?, bytes::Bytes::new()),
            };
            if self.judge(&key, &object, verdict) {
                let body = Body::Bytes(bytes);
                self.attach(version, vec![Step { key, body, op: Op::CreateOrKeep, reveals: None }]);
            }
        }
        Ok(())
    }

    async fn compacted(&mut self, earliest: u64) -> Result<(), SourceError> {
        for (first, last) in self.source.compacted.clone() {
            // A reader would apply the file to a base; below the first base there is none.
            let above = first > earliest || earliest == 0;
            if !above || !(first..=last).all(|version| self.published(version)) {
                continue;
            }
            let name = format!("{first:020}.{last:020}.compacted.json");
            let Some((key, object)) = self.lacking(&name) else { continue };
            let verdict = match self.known(&key, &object) {
                Some(verdict) => verdict,
                None => verify::compacted(self.reader(), &key, &object, first..=last).await?,
            };
            if self.judge(&key, &object, verdict) {
                let body = Body::Copy(object.identity);
                self.attach(last, vec![Step { key, body, op: Op::CreateOrKeep, reveals: None }]);
            }
        }
        Ok(())
    }

    async fn checkpoints(&mut self) -> Result<(), SourceError> {
        let sets = self.source.checkpoints.clone();
        for set in sets {
            let here = |key: &RelPath| self.replica.objects.contains_key(key);
            if !self.published(set.version) || set.objects.iter().all(|(key, _)| here(key)) {
                continue;
            }
            if self.is_named_already(set.version) {
                continue;
            }
            let Some((key, object)) = set.objects.last().cloned() else { continue };
            let verdict = match self.known(&key, &object) {
                Some(verdict) => verdict,
                None => self.judge_checkpoint(&set).await?,
            };
            if self.judge(&key, &object, verdict) {
                let checkpoint = match Checkpoint::open(self.reader(), &set).await {
                    Ok(checkpoint) => checkpoint,
                    // Gone since it was judged: the next pass sees what there is then.
                    Err(SourceError::Missing { .. }) => continue,
                    Err(error) => return Err(error),
                };
                self.attach(set.version, attach_steps(&checkpoint));
            }
        }
        Ok(())
    }

    /// Whether the replica's hint names a checkpoint of this version that is here. Kernel readers
    /// count the parts of the checkpoint that they prefer by the hint, so a second one of the
    /// same version could make them fail until the hint was written again.
    fn is_named_already(&self, version: u64) -> bool {
        let named = self.replica.pointer.map(|pointer| pointer.position);
        named == Some(Position::Version(version))
            && self.target.checkpoints_of(version).next().is_some()
    }

    async fn judge_checkpoint(&self, set: &CheckpointSet) -> Result<Verdict, SourceError> {
        let reader = self.reader();
        if self.view.listed_from.is_none() {
            return verify::checkpoint(reader, &self.source, set).await;
        }
        // What the checkpoint is compared with may lie below what this pass listed.
        let whole = Listing::of(&reader.list(None).await?);
        verify::checkpoint(reader, &whole, set).await
    }

    /// Moves the hint forward, where there is a checkpoint here that it may name.
    async fn hint(&mut self) -> Result<(), SourceError> {
        let key = last_checkpoint_key().map_err(key_error)?;
        let current = self.replica.objects.get(&key).cloned();
        let wanted = match self.source_hint(&key).await? {
            SourceHint::Same => return Ok(()),
            SourceHint::Usable(version, body) => Some((version, body)),
            SourceHint::None if self.needs_bridge() => self.composed_hint().await?,
            SourceHint::None => None,
        };
        let Some((version, body)) = wanted else { return Ok(()) };
        if !self.moves_forward(version, &body) {
            return Ok(());
        }
        let expect = match current {
            Some(object) => Expect::Identity(object.identity),
            None => Expect::Absent,
        };
        let (body, op) = (Body::Bytes(body), Op::Replace { expect });
        self.attach(version, vec![Step { key, body, op, reveals: None }]);
        Ok(())
    }

    async fn source_hint(&self, key: &RelPath) -> Result<SourceHint, SourceError> {
        let Some(object) = self.view.objects.get(key) else { return Ok(SourceHint::None) };
        let Some((body, _)) = self.log.hint(key, object).await? else {
            return Ok(SourceHint::None);
        };
        let Some(hint) = LastCheckpoint::parse(&body) else { return Ok(SourceHint::None) };
        if !self.moves_forward(hint.version, &body) {
            return Ok(SourceHint::Same);
        }
        let checkpoints = self.whole_here(hint.version).await?;
        Ok(match hint_body(Some(&body), &checkpoints, self.reader())? {
            Some(body) => SourceHint::Usable(hint.version, body),
            None => SourceHint::None,
        })
    }

    fn moves_forward(&self, version: u64, body: &[u8]) -> bool {
        let position = Position::Version(version);
        self.replica.pointer.is_none_or(|pointer| {
            position > pointer.position
                || position == pointer.position && Sha256Digest::of(body) != pointer.sha256
        })
    }

    /// Whether a reader that follows the hint blindly cannot reach the newest commit from it.
    fn needs_bridge(&self) -> bool {
        let Some(head) = self.target.commits.last() else { return false };
        let listed = match self.replica.listed_from {
            Some(Position::Version(version)) => version,
            _ => 0,
        };
        let first = match self.replica.pointer.map(|pointer| pointer.position) {
            Some(Position::Version(version)) => version.saturating_add(1),
            _ if self.replica.earliest_readable > Some(Position::Version(0)) => return true,
            _ => 0,
        };
        (first.max(listed)..=*head).any(|version| !self.target.commits.contains(&version))
    }

    /// A hint for the newest checkpoint that is whole here.
    async fn composed_hint(&self) -> Result<Option<(u64, bytes::Bytes)>, SourceError> {
        let versions = self.source.checkpoints.iter().rev().map(|set| set.version);
        for version in versions.filter(|version| self.versions.contains(version)) {
            let checkpoints = self.whole_here(version).await?;
            if let Some(body) = hint_body(None, &checkpoints, self.reader())? {
                return Ok(Some((version, body)));
            }
        }
        Ok(None)
    }

    /// The checkpoints of a version that are at the replica, or attached by this pass.
    async fn whole_here(&self, version: u64) -> Result<Vec<Checkpoint>, SourceError> {
        let attached = |key: &RelPath| {
            let mut steps = self.late.publications.iter().flat_map(|p| &p.steps);
            steps.any(|step| step.key == *key)
        };
        let here = |key: &RelPath| self.replica.objects.contains_key(key) || attached(key);
        let mut checkpoints = Vec::new();
        for set in self.source.checkpoints_of(version) {
            if !set.objects.iter().all(|(key, _)| here(key)) {
                continue;
            }
            match Checkpoint::open(self.reader(), set).await {
                Ok(checkpoint) => checkpoints.push(checkpoint),
                Err(SourceError::Missing { .. } | SourceError::Blocked(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(checkpoints)
    }
}

/// What the source's hint is worth at this replica.
enum SourceHint {
    /// The replica's is the same, or newer.
    Same,
    /// The version that it names, and the body to write.
    Usable(u64, bytes::Bytes),
    /// There is none, or it names what is not whole here.
    None,
}

/// Writes of a late checkpoint. What no reader follows yet is overwritten by what belongs to this
/// checkpoint; the object that completes it is kept once it is there.
fn attach_steps(checkpoint: &Checkpoint) -> Vec<Step> {
    let mut steps = checkpoint_steps(checkpoint, &Op::CreateOrReplace);
    if let Some(last) = steps.last_mut() {
        last.op = Op::CreateOrKeep;
        last.reveals = None;
    }
    steps
}

fn small(bytes: LogBytes) -> bytes::Bytes {
    match bytes {
        LogBytes::Memory(bytes) => bytes,
        // Never spooled: the limit on small objects lies below that of memory.
        LogBytes::Spool(_) => bytes::Bytes::new(),
    }
}

/// A checksum may repeat every file of the table, which readers then trust.
#[derive(serde::Deserialize)]
struct Checksum<'a> {
    #[serde(borrow, default, rename = "allFiles")]
    all_files: Option<Vec<Add<'a>>>,
}

fn check_checksum(
    bytes: &[u8],
    reader: &LogReader,
    version: u64,
    key: &RelPath,
) -> Result<(), SourceError> {
    let origin = Origin::Derived { version, key: key.clone() };
    let checksum: Checksum<'_> = serde_json::from_slice(bytes)
        .map_err(|_| origin.unreadable(key, "not a version checksum"))?;
    for add in checksum.all_files.iter().flatten() {
        LiveFile::of(add, reader.reference(), &origin)?;
    }
    Ok(())
}
