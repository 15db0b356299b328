//! Writing to a folder: the bytes first, then one link or rename that makes them the object.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::StreamExt as _;
use table_sync_core::ObjectIdentity;

use super::path::confined;
use super::read::stat;
use super::{CHUNK_BYTES, Folder, LOCK, TEMPORARY, blocking, identity, modified_ms};
use crate::body::{Body, Facts, Precondition, Tally, Uploaded};
use crate::error::WriteError;
use crate::objects::{body_error, contradicts};

/// Temporary files older than this belong to nobody: no write takes so long.
const SWEEP_AGE: Duration = Duration::from_secs(24 * 3600);

/// A body on its way; the file goes when this is dropped.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Once linked or renamed this name is not needed, and may be gone.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Folder {
    pub(crate) async fn upload(
        &self,
        key: &str,
        size_bytes: u64,
        mut body: Body,
        on: Precondition,
    ) -> Result<Uploaded, WriteError> {
        let lost = |error| WriteError::refused(key, error);
        let folder = self.clone();
        let (owned, condition) = (key.to_owned(), on.clone());
        let mut temporary = blocking(move || folder.start(&owned, &condition), lost).await?;
        let mut tally = Tally::new(size_bytes);
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        loop {
            let chunk = body.next().await.transpose();
            let chunk = chunk.map_err(|source| WriteError::Body { source })?;
            let ended = chunk.is_none();
            if let Some(chunk) = chunk {
                tally.take(&chunk).map_err(body_error)?;
                batch_bytes += chunk.len();
                batch.push(chunk);
            }
            if batch_bytes >= CHUNK_BYTES || (ended && batch_bytes > 0) {
                let (owned, chunks) = (key.to_owned(), std::mem::take(&mut batch));
                batch_bytes = 0;
                temporary =
                    blocking(move || write_chunks(temporary, &chunks, &owned), lost).await?;
            }
            if ended {
                break;
            }
        }
        let crc32c = tally.finish().map_err(body_error)?;
        let (folder, owned) = (self.clone(), key.to_owned());
        let finish = move || folder.finish(&temporary, &owned, &on);
        let facts = blocking(finish, |error| WriteError::unknown(key, error)).await?;
        Ok(Uploaded { identity: facts.identity, crc32c, size_bytes })
    }

    pub(crate) async fn copy(
        &self,
        from: &Self,
        from_key: &str,
        to_key: &str,
        pin: &ObjectIdentity,
    ) -> Result<Facts, WriteError> {
        let (target, source) = (self.clone(), from.clone());
        let (from_key, to, pin) = (from_key.to_owned(), to_key.to_owned(), pin.clone());
        let copy = move || {
            let refused = |error| denied_or_refused(&to, error);
            let pinned = || {
                let there = stat(&source.root, &from_key).map_err(refused)?;
                match there {
                    Some(facts) if !contradicts(&pin, &facts.identity) => Ok(()),
                    _ => Err(WriteError::changed(&from_key)),
                }
            };
            pinned()?;
            let temporary = target.start(&to, &Precondition::Any)?;
            let path = confined(&source.root, &from_key).map_err(refused)?;
            let mut input = File::open(path).map_err(refused)?;
            let mut output = &temporary.file;
            io::copy(&mut input, &mut output).map_err(refused)?;
            pinned()?;
            target.finish(&temporary, &to, &Precondition::Any)
        };
        blocking(copy, |error| WriteError::unknown(to_key, error)).await
    }

    pub(crate) async fn delete(
        &self,
        key: &str,
        expect: Option<&ObjectIdentity>,
    ) -> Result<(), WriteError> {
        let (folder, owned, expect) = (self.clone(), key.to_owned(), expect.cloned());
        let delete = move || {
            let refused = |error| denied_or_refused(&owned, error);
            let path = confined(&folder.root, &owned).map_err(refused)?;
            let _lock = folder.lock().map_err(refused)?;
            match (stat(&folder.root, &owned).map_err(refused)?, expect) {
                (None, None) => return Ok(()),
                (Some(facts), Some(pin)) if contradicts(&pin, &facts.identity) => {
                    return Err(WriteError::changed(&owned));
                }
                (None, Some(_)) => return Err(WriteError::changed(&owned)),
                (Some(_), _) => {}
            }
            std::fs::remove_file(&path).map_err(refused)?;
            sync_folder(&path).map_err(|error| WriteError::unknown(&owned, error))
        };
        blocking(delete, |error| WriteError::unknown(key, error)).await
    }

    /// Opens a temporary file, unless the condition fails already.
    fn start(&self, key: &str, on: &Precondition) -> Result<Temporary, WriteError> {
        let refused = |error| denied_or_refused(key, error);
        check(on, stat(&self.root, key).map_err(refused)?, key)?;
        let folder = confined(&self.root, TEMPORARY).map_err(refused)?;
        std::fs::create_dir_all(&folder).map_err(refused)?;
        if !self.swept.swap(true, Ordering::Relaxed) {
            sweep(&folder);
        }
        let path = folder.join(uuid::Uuid::new_v4().to_string());
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(refused)?;
        Ok(Temporary { path, file })
    }

    /// Makes the temporary file the object. Until the link or rename nothing is visible.
    fn finish(
        &self,
        temporary: &Temporary,
        key: &str,
        on: &Precondition,
    ) -> Result<Facts, WriteError> {
        let refused = |error| denied_or_refused(key, error);
        let unknown = |error| WriteError::unknown(key, error);
        temporary.file.sync_all().map_err(refused)?;
        let path = confined(&self.root, key).map_err(refused)?;
        make_parents(&path).map_err(refused)?;
        // Its own new name cannot change what the file is: the identity is known before.
        let meta = temporary.file.metadata().map_err(refused)?;
        let linked = match on {
            Precondition::Absent => link(temporary, &path),
            Precondition::Match(_) | Precondition::Any => Err(io::ErrorKind::Unsupported.into()),
        };
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(if path.is_dir() { refused(error) } else { WriteError::exists(key) });
            }
            // Not asked for, or a file system without hard links: rename under the lock.
            Err(error) if has_no_links(&error) => {
                let _lock = self.lock().map_err(refused)?;
                check(on, stat(&self.root, key).map_err(refused)?, key)?;
                std::fs::rename(&temporary.path, &path).map_err(refused)?;
            }
            Err(error) => return Err(refused(error)),
        }
        sync_folder(&path).map_err(unknown)?;
        Ok(Facts { identity: identity(&meta), crc32c: None, modified_ms: modified_ms(&meta) })
    }

    /// Waits for the lock. The kernel releases it when the holder drops it or dies.
    fn lock(&self) -> io::Result<File> {
        let path = confined(&self.root, LOCK)?;
        make_parents(&path)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.lock()?;
        Ok(file)
    }
}

fn link(temporary: &Temporary, path: &Path) -> io::Result<()> {
    std::fs::hard_link(&temporary.path, path)
}

fn has_no_links(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), PermissionDenied | TooManyLinks | Unsupported)
}

fn check(on: &Precondition, there: Option<Facts>, key: &str) -> Result<(), WriteError> {
    match (on, there) {
        (Precondition::Absent, Some(_)) => Err(WriteError::exists(key)),
        (Precondition::Match(_), None) => Err(WriteError::changed(key)),
        (Precondition::Match(pin), Some(facts)) if contradicts(pin, &facts.identity) => {
            Err(WriteError::changed(key))
        }
        _ => Ok(()),
    }
}

fn write_chunks(
    temporary: Temporary,
    chunks: &[Bytes],
    key: &str,
) -> Result<Temporary, WriteError> {
    for chunk in chunks {
        let mut file = &temporary.file;
        file.write_all(chunk).map_err(|error| denied_or_refused(key, error))?;
    }
    Ok(temporary)
}

/// Makes the folders above `path`, each of them durable.
fn make_parents(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    if parent.is_dir() {
        return Ok(());
    }
    let missing: Vec<&Path> = parent.ancestors().take_while(|at| !at.exists()).collect();
    std::fs::create_dir_all(parent)?;
    for made in missing {
        sync_folder(made)?;
    }
    Ok(())
}

/// Makes the entry of `path` in its folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes what crashed writers left. Failing to is no failure.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let is_ours = entry.file_name().to_str().is_some_and(|n| uuid::Uuid::parse_str(n).is_ok());
        if is_ours && modified.is_ok_and(|at| crate::clock::is_older(at, SWEEP_AGE)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn denied_or_refused(key: &str, error: io::Error) -> WriteError {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            WriteError::Denied { key: key.to_owned(), source: error.into() }
        }
        _ => WriteError::refused(key, error),
    }
}
