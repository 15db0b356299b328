//! Inspection: what a table is, whether it can be replicated, and who can read the copy.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use table_sync_core::{BlockCode, Blocked, SourceError, SourceView};

use crate::action::{Action, Metadata, Protocol};
use crate::checkpoint::Checkpoint;
use crate::describe::{checked_commit, read_commit};
use crate::listing::{Listing, SetKind};
use crate::live::Replay;
use crate::log::{DeltaLog, LogReader, io_error};
use crate::{commit, feature};

/// How many keys of a folder are looked at to tell another format.
const FOREIGN_KEYS_MAX: usize = 100;

/// What a look at a whole table found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// The newest version.
    pub head: Option<u64>,
    /// The lowest version that readers can open.
    pub earliest_readable: Option<u64>,
    /// Lowest reader version, as the newest protocol states it.
    pub reader_version: Option<i64>,
    /// Lowest writer version.
    pub writer_version: Option<i64>,
    /// Features of the newest protocol.
    pub features: BTreeSet<String>,
    /// The table's own id.
    pub table_id: Option<String>,
    /// The table's name.
    pub name: Option<String>,
    /// Columns by which the table is partitioned.
    pub partition_columns: Vec<String>,
    /// Live data files.
    pub files: u64,
    /// Their size in bytes, as the log states it.
    pub bytes: u64,
    /// Live files that have a deletion vector.
    pub deletion_vectors: u64,
    /// Complete checkpoints by version, with how they are named.
    pub checkpoints: BTreeMap<u64, Vec<&'static str>>,
    /// Digest of the live file set.
    pub digest: Option<String>,
    /// Other table formats in the same folder.
    pub other_formats: BTreeSet<&'static str>,
    /// Why the table cannot be replicated, where it cannot: code and text.
    pub refusal: Option<Refused>,
    /// Who may fail to read a copy, and what else to know.
    pub warnings: Vec<String>,
}

/// Why a table cannot be replicated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Refused {
    /// Stable code.
    pub code: BlockCode,
    /// For people.
    pub message: String,
}

impl From<Blocked> for Refused {
    fn from(blocked: Blocked) -> Self {
        Self { code: blocked.code, message: blocked.message }
    }
}

impl Inspection {
    /// Whether nothing that was found stands against replication.
    pub fn is_replicable(&self) -> bool {
        self.refusal.is_none()
    }
}

impl DeltaLog {
    /// Inspects the table of which `view` is a whole listing.
    ///
    /// # Errors
    /// [`SourceError`] when the store fails; what is wrong with the table is part of the answer.
    pub async fn support(&self, view: &SourceView) -> Result<Inspection, SourceError> {
        let listing = Listing::of(&view.objects);
        let mut found = Inspection {
            checkpoints: checkpoints(&listing),
            other_formats: other_formats(&self.reader).await?,
            ..Inspection::default()
        };
        let whole = listing.commits.last().and_then(|head| {
            let head = *head;
            Replay::to(&listing, head).map(|replay| (head, replay))
        });
        let Some((head, replay)) = whole else {
            found.refusal = Some(not_whole(&listing).into());
            return Ok(found);
        };
        found.head = Some(head);
        found.earliest_readable = earliest_readable(&listing, head);
        match self.fill(&mut found, &replay).await {
            Ok(()) => Ok(found),
            Err(SourceError::Blocked(blocked)) => {
                found.refusal = Some(blocked.into());
                self.note_leniently(&mut found, &replay).await;
                Ok(found)
            }
            Err(error @ (SourceError::Missing { .. } | SourceError::Damaged { .. })) => {
                let blocked = Blocked::table(BlockCode::SourceDamaged, error.to_string());
                found.refusal = Some(blocked.into());
                Ok(found)
            }
            Err(error) => Err(error),
        }
    }

    async fn fill(&self, found: &mut Inspection, replay: &Replay) -> Result<(), SourceError> {
        let (protocol, metadata) = self.state(replay, found).await?;
        let (Some(protocol), Some(metadata)) = (protocol, metadata) else {
            let message = "the log holds no protocol or no metadata, so no reader opens the table";
            return Err(Blocked::table(BlockCode::SourceDamaged, message).into());
        };
        found.warnings.extend(feature::reach(&protocol, &metadata));
        count(&self.reader, replay, found).await
    }

    /// The newest protocol and metadata; what is known of them is noted even when they block.
    async fn state(
        &self,
        replay: &Replay,
        found: &mut Inspection,
    ) -> Result<(Option<Protocol>, Option<Metadata>), SourceError> {
        let (mut protocol, mut metadata) = (None, None);
        if let Some(set) = replay.base.first() {
            let head = Checkpoint::open(&self.reader, set).await?.head;
            (protocol, metadata) = (head.protocol, head.metadata);
        }
        for version in replay.commits.clone() {
            let summary = checked_commit(&self.reader, version).await?.summary;
            protocol = summary.protocol.or(protocol);
            metadata = summary.metadata.or(metadata);
            if !summary.unknown.is_empty() {
                let names: Vec<_> = summary.unknown.into_keys().collect();
                found.warnings.push(format!(
                    "version {version} holds actions that the protocol does not name: {}",
                    names.join(", ")
                ));
            }
        }
        note(found, protocol.as_ref(), metadata.as_ref());
        Ok((protocol, metadata))
    }

    /// Notes the newest protocol and metadata of a table that is refused: a person wants to see
    /// what it is. Whatever does not read is passed over, since the refusal is known already.
    async fn note_leniently(&self, found: &mut Inspection, replay: &Replay) {
        let (mut protocol, mut metadata) = (None, None);
        for version in replay.commits.clone() {
            let Ok(Some(read)) = read_commit(&self.reader, version).await else { continue };
            let Ok(source) = read.bytes.open() else { continue };
            let visited = commit::for_each(source, &mut |action| {
                match action {
                    Action::Protocol(newer) => protocol = Some(newer),
                    Action::Metadata(newer) => metadata = Some(*newer),
                    _ => {}
                }
                Ok::<(), SourceError>(())
            });
            if visited.is_err() {
                break;
            }
        }
        note(found, protocol.as_ref(), metadata.as_ref());
    }
}

fn note(found: &mut Inspection, protocol: Option<&Protocol>, metadata: Option<&Metadata>) {
    if let Some(protocol) = protocol {
        found.reader_version = Some(protocol.reader);
        found.writer_version = Some(protocol.writer);
        found.features = feature::features(protocol).map(str::to_owned).collect();
    }
    if let Some(metadata) = metadata {
        found.table_id = Some(metadata.id.clone());
        found.name.clone_from(&metadata.name);
        found.partition_columns.clone_from(&metadata.partition_columns);
    }
}

async fn count(
    reader: &LogReader,
    replay: &Replay,
    found: &mut Inspection,
) -> Result<(), SourceError> {
    let mut files = replay.clone().files(reader);
    let mut digest = table_sync_core::SetDigest::default();
    while let Some(chunk) = files.try_next().await? {
        for file in chunk {
            found.files += 1;
            found.bytes = found.bytes.saturating_add(file.size_bytes.unwrap_or_default());
            found.deletion_vectors += u64::from(file.vector.is_some());
            digest.insert(&reader.reference().name(&file.key), file.qualifier());
        }
    }
    found.digest = Some(digest.to_string());
    Ok(())
}

fn checkpoints(listing: &Listing) -> BTreeMap<u64, Vec<&'static str>> {
    let mut checkpoints: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for set in &listing.checkpoints {
        checkpoints.entry(set.version).or_default().push(match set.kind {
            SetKind::UuidJson => "json manifest",
            SetKind::UuidParquet => "parquet manifest",
            SetKind::Parts(_) => "multi-part",
            SetKind::Classic => "classic",
        });
    }
    checkpoints
}

/// The lowest version from which the log reaches the head without a hole that no base covers.
fn earliest_readable(listing: &Listing, head: u64) -> Option<u64> {
    Replay::candidates(listing, head, false).last().map(|replay| {
        let base = replay.commits.start().checked_sub(1);
        let own = base.filter(|_| !replay.base.is_empty());
        own.map_or(*replay.commits.start(), |at| listing.base_position(at).unwrap_or(at))
    })
}

fn not_whole(listing: &Listing) -> Blocked {
    if listing.commits.is_empty() {
        let message = "the folder holds no commit of a Delta log; check the location";
        return Blocked::table(BlockCode::NotATable, message);
    }
    let message = "the newest commits follow neither version 0 nor a complete checkpoint without \
                   a hole; write a checkpoint at the source";
    Blocked::table(BlockCode::HistoryLost, message)
}

/// Formats whose metadata lies beside the Delta log.
async fn other_formats(reader: &LogReader) -> Result<BTreeSet<&'static str>, SourceError> {
    let mut formats = BTreeSet::new();
    for (folder, suffix, format) in
        [(".hoodie", "", "hudi"), ("metadata", ".metadata.json", "iceberg")]
    {
        let folder = reader.root().clone().join(folder);
        let mut keys = reader.store().list(Some(&folder)).take(FOREIGN_KEYS_MAX);
        while let Some(meta) = keys.next().await {
            match meta {
                Ok(meta) if meta.location.as_ref().ends_with(suffix) => {
                    formats.insert(format);
                    break;
                }
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(io_error(folder, error)),
            }
        }
    }
    Ok(formats)
}
