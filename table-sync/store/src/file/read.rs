//! Reading a folder: objects, their facts, listings in key order.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::stream::StreamExt as _;
use table_sync_core::ObjectIdentity;
use tokio::sync::mpsc;

use super::path::confined;
use super::{CHUNK_BYTES, Folder, blocking, identity, modified_ms};
use crate::body::{Body, Facts, Listed, Reading};
use crate::error::{LengthError, ReadError};
use crate::objects::{check_pin, contradicts};

/// Entries of a listing that wait for their reader.
const LISTED_AHEAD: usize = 256;

impl Folder {
    pub(crate) async fn head(&self, key: &str) -> Result<Option<Facts>, ReadError> {
        let (root, owned) = (self.root.clone(), key.to_owned());
        let stat = move || stat(&root, &owned).map_err(|error| read_error(&owned, error));
        blocking(stat, |error| ReadError::io(key, error)).await
    }

    pub(crate) async fn read(
        &self,
        key: &str,
        range: Option<Range<u64>>,
        pin: Option<&ObjectIdentity>,
    ) -> Result<Reading, ReadError> {
        let (root, owned) = (self.root.clone(), key.to_owned());
        let open = move || open(&root, &owned, range).map_err(|error| read_error(&owned, error));
        let (file, meta, left) = blocking(open, |error| ReadError::io(key, error)).await?;
        let identity = identity(&meta);
        check_pin(key, &identity, pin)?;
        let (owned, expect) = (key.to_owned(), identity.clone());
        let body = chunks(file, left).map(move |chunk| match chunk {
            Ok(Chunk::Bytes(bytes)) => Ok(bytes),
            // Nobody else writes in place, but a foreign writer may: then the bytes are mixed.
            Ok(Chunk::End(meta)) if contradicts(&expect, &super::identity(&meta)) => {
                Err(ReadError::changed(&owned))
            }
            Ok(Chunk::End(_)) => Ok(Bytes::new()),
            Err(error) => Err(ReadError::io(&owned, error)),
        });
        let modified_ms = modified_ms(&meta);
        let (object_bytes, body) = (meta.len(), body.boxed());
        Ok(Reading { identity, object_bytes, crc32c: None, modified_ms, body })
    }

    pub(crate) async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        mut each: impl FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let mut listed = self.walk(prefix, start_after);
        while let Some(entry) = listed.recv().await {
            if each(entry?).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// All files below a folder in key order. An error is the last entry.
    pub(super) fn walk(
        &self,
        prefix: &str,
        start_after: Option<&str>,
    ) -> mpsc::Receiver<Result<Listed, ReadError>> {
        let (sender, listed) = mpsc::channel(LISTED_AHEAD);
        let walk = Walk {
            root: self.root.as_ref().clone(),
            start_after: start_after.map(str::to_owned),
            sender,
        };
        let folder = prefix.trim_end_matches('/').to_owned();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = walk.folder(&folder) {
                let _ = walk.sender.blocking_send(Err(read_error(&folder, error)));
            }
        });
        listed
    }

    /// Files and folders directly in a folder, in key order.
    pub(super) async fn level(&self, prefix: &str) -> Result<Level, ReadError> {
        let (root, folder) = (self.root.clone(), prefix.trim_end_matches('/').to_owned());
        let read = move || {
            let mut level = Level::default();
            let entries = entries(&root, &folder).map_err(|error| read_error(&folder, error))?;
            for (key, is_folder) in entries {
                if is_folder {
                    level.folders.push(key.trim_end_matches('/').to_owned());
                } else if let Some(facts) =
                    stat(&root, &key).map_err(|error| read_error(&key, error))?
                {
                    level.files.push((key, facts));
                }
            }
            Ok(level)
        };
        blocking(read, |error| ReadError::io(prefix, error)).await
    }
}

/// One level of a folder.
#[derive(Debug, Default)]
pub(super) struct Level {
    pub(super) folders: Vec<String>,
    pub(super) files: Vec<(String, Facts)>,
}

/// Keys in a folder, in order; those of folders end with `/`, and sort as their files do.
fn entries(root: &Path, folder: &str) -> io::Result<Vec<(String, bool)>> {
    let at = if folder.is_empty() { Ok(root.to_owned()) } else { confined(root, folder) };
    let entries = match at.and_then(std::fs::read_dir) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found: Vec<(String, bool)> = Vec::new();
    for entry in entries {
        let entry = entry?;
        // A name that is not UTF-8 is no key.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let key = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let mut kind = entry.file_type()?;
        if kind.is_symlink() {
            // A link that leads out of the root, or nowhere, is not ours to show.
            match confined(root, &key).and_then(|path| path.metadata()) {
                Ok(meta) => kind = meta.file_type(),
                Err(_) => continue,
            }
        }
        if kind.is_dir() {
            found.push((format!("{key}/"), true));
        } else if kind.is_file() {
            found.push((key, false));
        }
    }
    found.sort_unstable();
    Ok(found)
}

struct Walk {
    root: PathBuf,
    start_after: Option<String>,
    sender: mpsc::Sender<Result<Listed, ReadError>>,
}

impl Walk {
    /// Sends all files below a folder in key order.
    fn folder(&self, folder: &str) -> io::Result<()> {
        for (key, is_folder) in entries(&self.root, folder)? {
            if self.is_before_start(&key, is_folder) {
                continue;
            }
            if is_folder {
                self.folder(key.trim_end_matches('/'))?;
            } else if let Some(facts) = stat(&self.root, &key)? {
                let Facts { identity, modified_ms, .. } = facts;
                let listed = Listed { key, identity, modified_ms };
                if self.sender.blocking_send(Ok(listed)).is_err() {
                    return Ok(());
                }
            }
            if self.sender.is_closed() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn is_before_start(&self, key: &str, is_folder: bool) -> bool {
        self.start_after.as_deref().is_some_and(|start| {
            let inside = is_folder && start.starts_with(key);
            key <= start && !inside
        })
    }
}

/// Facts of a file; `None` when there is no regular file.
pub(super) fn stat(root: &Path, key: &str) -> io::Result<Option<Facts>> {
    match confined(root, key)?.metadata() {
        Ok(meta) if meta.is_file() => Ok(Some(Facts {
            identity: identity(&meta),
            crc32c: None,
            modified_ms: modified_ms(&meta),
        })),
        Ok(_) => Ok(None),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

type Opened = (File, std::fs::Metadata, u64);

fn open(root: &Path, key: &str, range: Option<Range<u64>>) -> io::Result<Opened> {
    let mut file = File::open(confined(root, key)?)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    let range = range.unwrap_or(0..meta.len());
    let end = range.end.min(meta.len());
    let start = range.start.min(end);
    file.seek(SeekFrom::Start(start))?;
    Ok((file, meta, end - start))
}

fn read_error(key: &str, error: io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            ReadError::Denied { key: key.to_owned(), source: error.into() }
        }
        io::ErrorKind::InvalidInput => {
            ReadError::BadKey { key: key.to_owned(), source: error.into() }
        }
        _ if is_absent(&error) => ReadError::not_found(key),
        _ => ReadError::io(key, error),
    }
}

enum Chunk {
    Bytes(Bytes),
    /// After the last byte: the file's facts as they are now.
    End(std::fs::Metadata),
}

/// Reads `left` bytes from where the file stands. Memory: one chunk.
fn chunks(file: File, left: u64) -> impl futures::Stream<Item = io::Result<Chunk>> + Send {
    futures::stream::unfold(Some((file, left)), move |state| async move {
        let (file, left) = state?;
        let next = move || next_chunk(file, left);
        match blocking(next, |error| error).await {
            Ok((chunk @ Chunk::End(_), _)) => Some((Ok(chunk), None)),
            Ok((chunk, rest)) => Some((Ok(chunk), Some(rest))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

fn next_chunk(mut file: File, left: u64) -> io::Result<(Chunk, (File, u64))> {
    if left == 0 {
        return Ok((Chunk::End(file.metadata()?), (file, 0)));
    }
    let wanted = CHUNK_BYTES.min(usize::try_from(left).unwrap_or(CHUNK_BYTES));
    let mut bytes = vec![0; wanted];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => {
                let short = LengthError::Short { found: filled as u64, expected: left };
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, short));
            }
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((Chunk::Bytes(bytes.into()), (file, left - wanted as u64)))
}

/// The bytes of a local file outside any store, as a body.
pub(crate) fn local_file(path: &Path) -> Body {
    let path = path.to_owned();
    let open = move || {
        let file = File::open(path)?;
        let size_bytes = file.metadata()?.len();
        Ok::<_, io::Error>((file, size_bytes))
    };
    futures::stream::once(async move {
        match blocking(open, |error| error).await {
            Ok((file, size_bytes)) => chunks(file, size_bytes)
                .map(|chunk| match chunk? {
                    Chunk::Bytes(bytes) => Ok(bytes),
                    Chunk::End(_) => Ok(Bytes::new()),
                })
                .boxed(),
            Err(error) => futures::stream::iter([Err(error.into())]).boxed(),
        }
    })
    .flatten()
    .boxed()
}
