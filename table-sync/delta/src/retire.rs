//! What may go: files that only versions below a promised one need.
//!
//! # Invariants
//! - A file goes only when a commit took it out and neither the promised version nor any later
//!   commit names it, as data or as deletion vector.
//! - A file of another table never goes, whatever this log says of it.
//! - Memory: one entry for each file that commits of the range took out.
//!
//! Source: Delta protocol, "Add File and Remove File", tombstones; "Add CDC File".

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use table_sync_core::{FileKey, FileRef, FileStream, Place, Role, SourceError};

use crate::action::Action;
use crate::describe::read_commit;
use crate::files::{self, CHUNK_FILES, Origin, Visit, stream_actions};
use crate::listing::Listing;
use crate::live::LiveStream;
use crate::log::{LogReader, key_error};
use crate::name::commit_key;

/// Streams what may go, from what commits in `range` took out.
///
/// - `live`: the live files at the end of the range, the promised version.
/// - `later`: the commits above it.
pub(crate) async fn retirable(
    reader: &LogReader,
    listing: &Listing,
    range: RangeInclusive<u64>,
    mut live: LiveStream,
    later: RangeInclusive<u64>,
) -> Result<FileStream, SourceError> {
    let promised = *range.end();
    let mut candidates = BTreeMap::new();
    for version in range.filter(|version| listing.commits.contains(version)) {
        let own = |(key, _): &(FileKey, Role)| key.place == Place::Table;
        candidates.extend(taken_out(reader, version, promised).await?.into_iter().filter(own));
    }
    while let Some(chunk) = live.try_next().await? {
        for file in chunk {
            let mut needed = Vec::new();
            file.push_refs(&mut needed);
            for file in needed {
                candidates.remove(&file.key());
            }
        }
    }
    for version in later {
        for key in named(reader, version).await? {
            candidates.remove(&key);
        }
    }
    let files = candidates.into_iter();
    let files: Vec<FileRef> = files.map(|(key, role)| files::file_ref(key, None, role)).collect();
    let chunks: Vec<_> = files.chunks(CHUNK_FILES).map(|chunk| Ok(chunk.to_vec())).collect();
    Ok(stream::iter(chunks).boxed())
}

/// Files that a commit took out of the table. Its change data goes too, unless it is the promised
/// version's own.
async fn taken_out(
    reader: &LogReader,
    version: u64,
    promised: u64,
) -> Result<Vec<(FileKey, Role)>, SourceError> {
    let reference = reader.reference().clone();
    let visit: Visit<(FileKey, Role)> = Arc::new(move |action, out| {
        match action {
            Action::Remove(remove) => {
                if let Ok(key) = reference.resolve(&remove.path) {
                    out.push((key, Role::Data));
                }
                let vector = files::vector(remove.deletion_vector.as_ref(), &reference);
                if let Some(file) = vector.ok().flatten().and_then(|vector| vector.file) {
                    out.push((file, Role::DeletionVector));
                }
            }
            Action::Cdc(cdc) if version < promised => {
                if let Ok(key) = reference.resolve(&cdc.path) {
                    out.push((key, Role::ChangeData));
                }
            }
            _ => {}
        }
        Ok(())
    });
    collect(reader, version, visit).await
}

/// Files that a commit names as its own.
async fn named(reader: &LogReader, version: u64) -> Result<Vec<FileKey>, SourceError> {
    let reference = reader.reference().clone();
    let visit: Visit<FileKey> = Arc::new(move |action, out| {
        match action {
            Action::Add(add) => {
                out.extend(reference.resolve(&add.path));
                let vector = files::vector(add.deletion_vector.as_ref(), &reference);
                out.extend(vector.ok().flatten().and_then(|vector| vector.file));
            }
            Action::Cdc(cdc) => out.extend(reference.resolve(&cdc.path)),
            _ => {}
        }
        Ok(())
    });
    collect(reader, version, visit).await
}

async fn collect<T: Send + 'static>(
    reader: &LogReader,
    version: u64,
    visit: Visit<T>,
) -> Result<Vec<T>, SourceError> {
    let path = commit_key(version).map_err(key_error)?;
    let read = read_commit(reader, version).await?.ok_or(SourceError::Missing { path })?;
    let origin = Origin::Commit { version, modified_ms: read.object.modified_ms };
    stream_actions(read.bytes, origin, visit).try_concat().await
}
