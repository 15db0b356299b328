//! References: from what a log writes to a key below the table root.
//!
//! # Invariants
//! - Whatever a log says, the result is a [`RelPath`], which cannot leave the table root.
//! - A reference is percent-decoded exactly once.
//! - Error texts never repeat a reference: it may carry credentials.
//!
//! Source: Delta protocol, "Add File and Remove File"; RFC 2396.

use table_sync_core::{BlockCode, Blocked, PathError, Position, RelPath};

/// What happens to absolute references.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AbsolutePaths {
    /// They block the table.
    #[default]
    Refuse,
    /// Those below the table's own root are taken as keys; all others block the table.
    Alias,
}

/// Why a reference is not a key below the table root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The path itself is refused.
    #[error(transparent)]
    Path(#[from] PathError),
    /// An absolute reference to another place than the table's own root.
    #[error("path is absolute and not below the table's own root")]
    Foreign,
    /// A deletion vector descriptor is of an unknown kind or does not decode.
    #[error("deletion vector descriptor does not decode")]
    DeletionVector,
    /// A sidecar is named by more than a file name.
    #[error("sidecar is not named by a bare file name")]
    Sidecar,
}

impl ReferenceError {
    /// The reason to block a table. `position` is the version that names the object.
    pub fn blocked(self, position: Position) -> Blocked {
        let advice = match self {
            Self::Path(PathError::Absolute) | Self::Foreign => {
                "; a shallow clone or moved table must be made a full copy before replication"
            }
            Self::Path(_) | Self::DeletionVector | Self::Sidecar => "; repair the source's log",
        };
        let message = format!("version {position} names an object that is refused: {self}{advice}");
        Blocked::at(BlockCode::ForeignPath, position, message)
    }
}

/// Resolves references of one table.
#[derive(Debug, Clone)]
pub struct Reference {
    root: Option<Absolute>,
}

/// An absolute location, taken apart. Empty scheme: a bare path of the local file system.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Absolute {
    scheme: String,
    authority: String,
    /// Decoded.
    path: String,
}

impl Reference {
    /// Every absolute reference is refused.
    pub fn refuse() -> Self {
        Self { root: None }
    }

    /// Applies a policy. `table_url` is where the table's root is, as its writers spell it.
    pub fn new(policy: AbsolutePaths, table_url: Option<&str>) -> Self {
        let root = match policy {
            AbsolutePaths::Refuse => None,
            AbsolutePaths::Alias => table_url.and_then(Absolute::parse).map(|root| {
                // Of the root alone: behind a key, a slash is part of the key.
                let path = root.path.trim_end_matches('/').to_owned();
                Absolute { path, ..root }
            }),
        };
        Self { root }
    }

    /// Resolves the `path` of an `add`, `remove` or `cdc` action, or an absolute DV path.
    ///
    /// # Errors
    /// [`ReferenceError`] when the result is not strictly below the root.
    pub fn resolve(&self, reference: &str) -> Result<RelPath, ReferenceError> {
        match RelPath::from_uri_reference(reference) {
            Err(PathError::Absolute) => self.alias(reference),
            other => other.map_err(ReferenceError::Path),
        }
    }

    /// Resolves the `path` of a `sidecar` action to a key below the table root.
    ///
    /// # Errors
    /// [`ReferenceError`] unless it is one file of the sidecar folder.
    pub fn sidecar(&self, reference: &str) -> Result<RelPath, ReferenceError> {
        let folder = crate::name::SIDECAR_PREFIX;
        match RelPath::from_uri_reference(reference) {
            Ok(name) if !name.as_str().contains('/') => {
                RelPath::parse(&format!("{folder}{name}")).map_err(ReferenceError::Path)
            }
            Ok(_) => Err(ReferenceError::Sidecar),
            Err(PathError::Absolute) => {
                let key = self.alias(reference)?;
                let name = key.as_str().strip_prefix(folder).map(str::to_owned);
                let bare = name.is_some_and(|name| !name.contains('/'));
                if bare { Ok(key) } else { Err(ReferenceError::Sidecar) }
            }
            Err(error) => Err(ReferenceError::Path(error)),
        }
    }

    fn alias(&self, reference: &str) -> Result<RelPath, ReferenceError> {
        let Some(root) = &self.root else {
            return Err(ReferenceError::Path(PathError::Absolute));
        };
        let absolute = Absolute::parse(reference).ok_or(ReferenceError::Foreign)?;
        let same = absolute.scheme == root.scheme && absolute.authority == root.authority;
        let below = absolute.path.strip_prefix(&root.path);
        match below.and_then(|rest| rest.strip_prefix('/')) {
            Some(rest) if same => RelPath::parse(rest).map_err(ReferenceError::Path),
            _ => Err(ReferenceError::Foreign),
        }
    }
}

impl Absolute {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if !scheme.contains('/') => (scheme.to_ascii_lowercase(), rest),
            _ => (String::new(), text),
        };
        let scheme = match scheme.as_str() {
            "s3a" | "s3n" => "s3".to_owned(),
            "" => "file".to_owned(),
            _ => scheme,
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        // A user name in a location is a credential; no writer of a table puts one there.
        if authority.contains('@') || path.contains(['?', '#']) || !path.starts_with('/') {
            return None;
        }
        // The decoder keeps what is no escape as it is; a relative reference refuses it.
        let escapes = path.split('%').skip(1);
        let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !escapes.map(|text| text.get(..2)).all(|digits| digits.is_some_and(hex)) {
            return None;
        }
        let path = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
        Some(Self { scheme, authority: authority.to_owned(), path: path.into_owned() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ROOT: &str = "s3://lake/sales/orders";

    #[track_caller]
    fn check(policy: AbsolutePaths, reference: &str, expect: Result<&str, ReferenceError>) {
        let found = Reference::new(policy, Some(ROOT)).resolve(reference);
        assert_eq!(found, expect.map(|key| RelPath::parse(key).unwrap()), "{reference}");
    }

    #[test]
    fn attacks_are_refused_before_any_read() {
        use PathError::{Absolute, Control, Segment};
        for (reference, error) in [
            ("../other/x", Segment),
            ("a/../../x", Segment),
            ("%2e%2e/x", Segment),
            ("a//b", Segment),
            (".", Segment),
            ("a/", Segment),
            ("gs://other/x", Absolute),
            ("http://169.254.169.254/latest", Absolute),
            ("file:///etc/passwd", Absolute),
            ("s3://user:pw@host/x", Absolute),
            ("//host/x", Absolute),
            ("/etc/passwd", Absolute),
            ("a%00", Control),
            ("a%0d%0ab", Control),
        ] {
            check(AbsolutePaths::Refuse, reference, Err(ReferenceError::Path(error)));
        }
    }

    #[test]
    fn references_are_decoded_once() {
        check(AbsolutePaths::Refuse, "p=50%2525/x", Ok("p=50%25/x"));
        check(AbsolutePaths::Refuse, "letter=%252F%252520%2525f/x", Ok("letter=%2F%2520%25f/x"));
        check(AbsolutePaths::Refuse, "\u{1f600}/x", Ok("\u{1f600}/x"));
    }

    #[test]
    fn alias_takes_only_the_own_root() {
        let alias = AbsolutePaths::Alias;
        check(alias, "s3://lake/sales/orders/p=1/x", Ok("p=1/x"));
        check(alias, "s3a://lake/sales/orders/p%3D1/x", Ok("p=1/x"));
        check(alias, "p=1/x", Ok("p=1/x"));
        for foreign in [
            "s3://lake/sales/orders2/x",
            "s3://other/sales/orders/x",
            "gs://lake/sales/orders/x",
            "s3://u@lake/sales/orders/x",
            "//lake/sales/orders/x",
            "/sales/orders/x",
            "s3:lake/sales/orders/x",
        ] {
            check(alias, foreign, Err(ReferenceError::Foreign));
        }
        let segment = Err(ReferenceError::Path(PathError::Segment));
        check(alias, "s3://lake/sales/orders/../x", segment);
        check(alias, "s3://lake/sales/orders/%2e%2e/x", segment);
        check(alias, "s3://lake/sales/orders/x/", segment);
        check(alias, "s3://lake/sales/orders/x%2", Err(ReferenceError::Foreign));
        check(alias, "s3://lake/sales/orders/x%zz", Err(ReferenceError::Foreign));
        let absolute = Err(ReferenceError::Path(PathError::Absolute));
        check(alias, "s3://lake/sales/orders//x", absolute);
    }

    #[test]
    fn alias_of_a_local_table_takes_all_spellings_of_a_file_url() {
        let reference = Reference::new(AbsolutePaths::Alias, Some("file:///data/t"));
        for spelling in ["file:///data/t/x", "file:/data/t/x", "/data/t/x"] {
            assert_eq!(reference.resolve(spelling), Ok(RelPath::parse("x").unwrap()));
        }
    }

    #[test]
    fn sidecars_are_files_of_their_folder() {
        let reference = Reference::new(AbsolutePaths::Alias, Some(ROOT));
        let key = RelPath::parse("_delta_log/_sidecars/a b.parquet").unwrap();
        assert_eq!(reference.sidecar("a%20b.parquet"), Ok(key.clone()));
        let absolute = format!("{ROOT}/_delta_log/_sidecars/a%20b.parquet");
        assert_eq!(reference.sidecar(&absolute), Ok(key));
        assert_eq!(reference.sidecar("x/y.parquet"), Err(ReferenceError::Sidecar));
        let data = format!("{ROOT}/y.parquet");
        assert_eq!(reference.sidecar(&data), Err(ReferenceError::Sidecar));
        let up = Err(ReferenceError::Path(PathError::Segment));
        assert_eq!(reference.sidecar("../x"), up);
    }

    #[test]
    fn messages_never_repeat_a_reference() {
        let error = Reference::refuse().resolve("s3://user:secret@host/x").unwrap_err();
        let blocked = error.blocked(Position::Version(3));
        assert!(!blocked.message.contains("secret") && blocked.message.contains("version 3"));
    }
}
