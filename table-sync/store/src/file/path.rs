//! From key to path, without leaving the root.

use std::io;
use std::path::{Path, PathBuf};

use crate::key::checked;

#[derive(Debug, thiserror::Error)]
#[error("a symbolic link at {at} leads out of the store root; remove it or move the root")]
pub(crate) struct Outside {
    at: PathBuf,
}

/// The path of a key. Segments that are links are resolved, and must stay below the root.
pub(crate) fn confined(root: &Path, key: &str) -> io::Result<PathBuf> {
    checked(key).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    // The root itself may be a link: its owner chose that.
    let real_root = match root.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(root.join(key)),
        Err(error) => return Err(error),
    };
    let mut at = real_root.clone();
    for segment in key.split('/') {
        at.push(segment);
        let is_link = at.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
        if !is_link {
            continue;
        }
        match at.canonicalize() {
            Ok(real) if real.starts_with(&real_root) => at = real,
            Ok(_) => {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, Outside { at }));
            }
            // A dangling link: whatever is done with it fails by itself.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, Outside { at }));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(at)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_literal_paths() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().canonicalize().unwrap();
        for key in ["a%20b/c", "p=1/x y", "\u{e9}/\u{1F600}", "..a/b..", "a:b"] {
            assert_eq!(confined(root.path(), key).unwrap(), real.join(key));
        }
    }

    #[test]
    fn links_out_of_the_root_are_refused() {
        let outside = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("out")).unwrap();
        std::os::unix::fs::symlink("/no/such", root.path().join("dangling")).unwrap();
        std::fs::create_dir(root.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", root.path().join("in")).unwrap();
        for key in ["out/x", "out", "dangling", "dangling/x"] {
            let error = confined(root.path(), key).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{key}");
        }
        assert!(confined(root.path(), "in/x").unwrap().ends_with("real/x"));
        for key in ["../x", "/etc/passwd", "a//b", "", "a/\0"] {
            assert_eq!(confined(root.path(), key).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
