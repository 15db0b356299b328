//! A folder as a store: keys are paths below it, segment by segment, literally.
//!
//! # Invariants
//! - An object appears whole: bytes are written to `_driftless/tmp/`, flushed, and then linked or
//!   renamed to their key. A crash leaves only files under `_driftless/tmp/`.
//! - Create-if-absent is a hard link, so exactly one of many writers wins. Replace and delete hold
//!   a lock file that the kernel releases when its holder dies.
//! - No symbolic link leads out of the root.

mod objects;
mod path;
mod read;
mod write;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use table_sync_core::ObjectIdentity;

pub(crate) use objects::FileObjects;
pub(crate) use read::local_file;

/// Bytes that are read or written with one call.
const CHUNK_BYTES: usize = 1 << 20;
/// Where bodies are written before they get their key.
const TEMPORARY: &str = "_driftless/tmp";
/// Held by who replaces or deletes.
const LOCK: &str = "_driftless/lock";

#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: Arc<PathBuf>,
    /// Old temporary files were looked for.
    swept: Arc<AtomicBool>,
}

impl Folder {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root: Arc::new(root), swept: Arc::new(AtomicBool::new(false)) }
    }

    /// Whether files can be linked, tried in a folder that exists.
    pub(crate) async fn has_links(&self, folder: &str) -> io::Result<bool> {
        let at = path::confined(&self.root, folder)?;
        let link = move || {
            let (file, link) = (at.join("link-from"), at.join("link-to"));
            std::fs::write(&file, "x")?;
            let linked = std::fs::hard_link(&file, &link);
            Ok(linked.is_ok())
        };
        blocking(link, |error| error).await
    }

    /// Removes a folder and the empty folders in it. Failing to is no failure.
    pub(crate) async fn remove_folders(&self, folder: &str) {
        fn remove(at: &std::path::Path) {
            let Ok(entries) = std::fs::read_dir(at) else { return };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    remove(&entry.path());
                }
            }
            // Refused by the system while something is in it.
            let _ = std::fs::remove_dir(at);
        }
        let Ok(at) = path::confined(&self.root, folder) else { return };
        let removed = move || {
            remove(&at);
            Ok::<_, io::Error>(())
        };
        let _ = blocking(removed, |error| error).await;
    }
}

/// Identity of a file: its inode, the time of its last change and its size.
fn identity(meta: &std::fs::Metadata) -> ObjectIdentity {
    use std::os::unix::fs::MetadataExt as _;
    let (seconds, nanos) = (meta.mtime(), meta.mtime_nsec());
    let e_tag = format!("\"{:x}-{seconds:x}.{nanos:x}-{:x}\"", meta.ino(), meta.len());
    ObjectIdentity { e_tag: Some(e_tag), version: None, size_bytes: meta.len() }
}

fn modified_ms(meta: &std::fs::Metadata) -> i64 {
    meta.modified().map(crate::clock::to_ms).unwrap_or_default()
}

/// Runs blocking file work off the runtime's threads.
async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
    lost: impl FnOnce(io::Error) -> E,
) -> Result<T, E>
where
    T: Send + 'static,
    E: Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(lost(io::Error::other(error))),
    }
}
