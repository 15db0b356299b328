//! References: from what a log writes to a key below the table's root, or below a declared one.
//!
//! # Invariants
//! - Whatever a log says, the result is a [`FileKey`]: a place that was declared before the log
//!   was read, and a path that cannot leave it.
//! - One object has one key: the table's own root is asked first, then the longest alias root.
//! - Below an alias root nothing names a log, or what this program keeps there.
//! - A reference is percent-decoded exactly once.
//! - Error texts never repeat a reference: it may carry credentials.
//!
//! Source: Delta protocol, "Add File and Remove File"; RFC 2396.

use std::borrow::Cow;
use std::sync::Arc;

use table_sync_core::{BlockCode, Blocked, FileKey, PathError, Place, Position, RelPath};

/// Most alias roots of one table; what is declared beyond them is not followed.
pub const ALIAS_ROOTS_MAX: usize = 64;

/// Folders that hold logs of tables, or what this program remembers: never files of a table.
const RESERVED: [&str; 3] = ["_delta_log", ".hoodie", "_driftless"];

/// What happens to absolute references.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AbsolutePaths {
    /// They block the table.
    #[default]
    Refuse,
    /// Those below the table's own root are taken as its keys, those below one of these roots as
    /// keys of that root; all others block the table.
    Alias(Vec<AliasRoot>),
}

impl AbsolutePaths {
    /// Follows references into the table's own root alone.
    pub fn own_root() -> Self {
        Self::Alias(Vec::new())
    }
}

/// A folder of another table whose files this one may refer to, as a shallow clone does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasRoot(Absolute);

/// Why text does not name an alias root. Never repeats the text: it may carry credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AliasRootError {
    /// No URL of a folder in a bucket.
    #[error("it is no URL of a folder in a bucket, such as s3://lake/base")]
    NotAFolder,
    /// A local folder.
    #[error("it is a local folder, which a replica elsewhere cannot have under the same name")]
    Local,
    /// The folder of a log, or one that this program keeps.
    #[error("it is the folder of a log, not of a table's files")]
    Reserved,
}

impl AliasRoot {
    /// Takes a URL as the log spells it: `s3://bucket/folder`, percent-encoded. `s3a` and `s3n`
    /// mean `s3`.
    ///
    /// # Errors
    /// [`AliasRootError`] unless it is a folder in a bucket that holds files of tables.
    pub fn parse(url: &str) -> Result<Self, AliasRootError> {
        let root = Absolute::parse(url).ok_or(AliasRootError::NotAFolder)?.root();
        if root.scheme == "file" {
            return Err(AliasRootError::Local);
        }
        let key = root.path.strip_prefix('/').unwrap_or_default();
        let key = RelPath::parse(key).map_err(|_| AliasRootError::NotAFolder)?;
        if root.authority.is_empty() {
            return Err(AliasRootError::NotAFolder);
        }
        if is_reserved(&key) { Err(AliasRootError::Reserved) } else { Ok(Self(root)) }
    }

    /// Scheme of the URL: `s3`, `gs`, ...
    pub fn scheme(&self) -> &str {
        &self.0.scheme
    }

    /// Bucket or container.
    pub fn bucket(&self) -> &str {
        &self.0.authority
    }

    /// Key of the folder in the bucket, raw, without slashes at its ends.
    pub fn folder(&self) -> &str {
        self.0.path.trim_start_matches('/')
    }
}

/// Why a reference is not a key below a root that may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The path itself is refused.
    #[error(transparent)]
    Path(#[from] PathError),
    /// An absolute reference to another place than the table's own root and the declared ones.
    #[error("path is absolute and below neither the table's own root nor a declared one")]
    Foreign,
    /// A reference into a folder that holds a log.
    #[error("path names a part of a log, not a file of a table")]
    Reserved,
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
            Self::Path(PathError::Absolute) => {
                "; a shallow clone or moved table must be made a full copy before replication, or \
                 be replicated with --absolute-paths alias"
            }
            Self::Foreign => {
                "; if it is a shallow clone of a table in the same bucket, name that table's \
                 folder with --alias-root, else make it a full copy before replication"
            }
            Self::Path(_) | Self::Reserved | Self::DeletionVector | Self::Sidecar => {
                "; repair the source's log"
            }
        };
        let message = format!("version {position} names an object that is refused: {self}{advice}");
        Blocked::at(BlockCode::ForeignPath, position, message)
    }
}

/// Resolves references of one table. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Reference {
    roots: Arc<Roots>,
}

#[derive(Debug, Default)]
struct Roots {
    own: Option<Absolute>,
    /// By index of the declaration.
    alias: Vec<AliasRoot>,
}

/// An absolute location, taken apart. Scheme `file`: also a bare path of the local file system.
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
        Self { roots: Arc::default() }
    }

    /// Applies a policy. `table_url` is where the table's root is, as its writers spell it.
    pub fn new(policy: &AbsolutePaths, table_url: Option<&str>) -> Self {
        let AbsolutePaths::Alias(alias) = policy else { return Self::refuse() };
        let own = table_url.and_then(Absolute::parse).map(Absolute::root);
        // Without its own root nothing says which of several keys an object has.
        let alias = if own.is_some() {
            alias.iter().take(ALIAS_ROOTS_MAX).cloned().collect()
        } else {
            Vec::new()
        };
        Self { roots: Arc::new(Roots { own, alias }) }
    }

    /// Resolves the `path` of an `add`, `remove` or `cdc` action, or an absolute DV path.
    ///
    /// # Errors
    /// [`ReferenceError`] when the result is not strictly below a root that may be read.
    pub fn resolve(&self, reference: &str) -> Result<FileKey, ReferenceError> {
        let key = match RelPath::from_uri_reference(reference) {
            Err(PathError::Absolute) => self.alias(reference)?,
            other => other.map(FileKey::of_table).map_err(ReferenceError::Path)?,
        };
        // A log object that is copied as a file would be visible before what it names is there.
        if key.place == Place::Table && key.path.as_str().starts_with(crate::name::LOG_PREFIX) {
            return Err(ReferenceError::Reserved);
        }
        Ok(key)
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
                let FileKey { place, path } = self.alias(reference)?;
                let name = path.as_str().strip_prefix(folder).map(str::to_owned);
                let bare = name.is_some_and(|name| !name.contains('/'));
                let own = place == Place::Table;
                if bare && own { Ok(path) } else { Err(ReferenceError::Sidecar) }
            }
            Err(error) => Err(ReferenceError::Path(error)),
        }
    }

    /// Names an object: its path below the table's root, or the whole decoded URL. Equal only
    /// for one object, whatever roots are declared and in whatever order.
    pub fn name<'a>(&self, key: &'a FileKey) -> Cow<'a, str> {
        let path = key.path.as_str();
        match key.place {
            Place::Table => Cow::Borrowed(path),
            Place::Alias(index) => match self.roots.alias.get(usize::from(index)) {
                Some(AliasRoot(Absolute { scheme, authority, path: root })) => {
                    Cow::Owned(format!("{scheme}://{authority}{root}/{path}"))
                }
                None => Cow::Owned(format!("//{index}/{path}")),
            },
        }
    }

    fn alias(&self, reference: &str) -> Result<FileKey, ReferenceError> {
        let Some(own) = &self.roots.own else {
            return Err(ReferenceError::Path(PathError::Absolute));
        };
        let absolute = Absolute::parse(reference).ok_or(ReferenceError::Foreign)?;
        if let Some(rest) = absolute.below(own) {
            return RelPath::parse(rest).map(FileKey::of_table).map_err(ReferenceError::Path);
        }
        let found = self.roots.alias.iter().enumerate().filter_map(|(index, AliasRoot(root))| {
            Some((root.path.len(), u8::try_from(index).ok()?, absolute.below(root)?))
        });
        let (_, index, rest) = found.max_by_key(|found| found.0).ok_or(ReferenceError::Foreign)?;
        let path = RelPath::parse(rest).map_err(ReferenceError::Path)?;
        if is_reserved(&path) {
            return Err(ReferenceError::Reserved);
        }
        Ok(FileKey { place: Place::Alias(index), path })
    }
}

/// Whether a replica lies where its log's absolute references lead once a reader's bucket is
/// mapped to the replica's endpoint: the same bucket, and the table at the same key. The scheme
/// may be another one, since a store on premises speaks one protocol.
///
/// Both are URLs of the table's root. Local folders have no endpoint that could be mapped.
pub(crate) fn is_mapped(table_url: &str, replica_url: &str) -> bool {
    let root = |url| Absolute::parse(url).map(Absolute::root);
    match (root(table_url), root(replica_url)) {
        (Some(table), Some(replica)) => {
            let local = table.scheme == "file" || replica.scheme == "file";
            !local && table.authority == replica.authority && table.path == replica.path
        }
        _ => false,
    }
}

fn is_reserved(path: &RelPath) -> bool {
    path.as_str().split('/').any(|segment| RESERVED.contains(&segment))
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

    /// The same as a root: behind a key, a slash is part of the key, but behind a root it is not.
    fn root(self) -> Self {
        Self { path: self.path.trim_end_matches('/').to_owned(), ..self }
    }

    /// What follows `root` and its slash.
    fn below(&self, root: &Self) -> Option<&str> {
        let same = self.scheme == root.scheme && self.authority == root.authority;
        let rest = self.path.strip_prefix(&root.path).filter(|_| same)?;
        rest.strip_prefix('/')
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ROOT: &str = "s3://lake/sales/orders";

    #[track_caller]
    fn check(policy: &AbsolutePaths, reference: &str, expect: Result<&str, ReferenceError>) {
        let found = Reference::new(policy, Some(ROOT)).resolve(reference);
        let own = |key| FileKey::of_table(RelPath::parse(key).unwrap());
        assert_eq!(found, expect.map(own), "{reference}");
    }

    /// Declared: two tables, one inside the other, and the folder that holds all of them.
    fn declared() -> Reference {
        let roots = ["s3://lake/base", "s3a://lake/base/deep%20er/", "s3://lake/sales"];
        let roots = roots.map(|root| AliasRoot::parse(root).unwrap());
        Reference::new(&AbsolutePaths::Alias(roots.to_vec()), Some(ROOT))
    }

    #[track_caller]
    fn check_declared(reference: &str, expect: Result<(Place, &str), ReferenceError>) {
        let key = |(place, path)| FileKey { place, path: RelPath::parse(path).unwrap() };
        assert_eq!(declared().resolve(reference), expect.map(key), "{reference}");
    }

    #[test]
    fn a_log_is_no_file_of_its_table() {
        let reserved = Err(ReferenceError::Reserved);
        for reference in ["_delta_log/00000000000000000007.json", "_delta_log/_last_checkpoint"] {
            check(&AbsolutePaths::Refuse, reference, reserved);
        }
        check(&AbsolutePaths::Refuse, "_delta_logs/x", Ok("_delta_logs/x"));
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
            check(&AbsolutePaths::Refuse, reference, Err(ReferenceError::Path(error)));
        }
    }

    #[test]
    fn references_are_decoded_once() {
        check(&AbsolutePaths::Refuse, "p=50%2525/x", Ok("p=50%25/x"));
        check(&AbsolutePaths::Refuse, "letter=%252F%252520%2525f/x", Ok("letter=%2F%2520%25f/x"));
        check(&AbsolutePaths::Refuse, "\u{1f600}/x", Ok("\u{1f600}/x"));
    }

    #[test]
    fn alias_takes_only_the_own_root() {
        let alias = &AbsolutePaths::own_root();
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
        let reference = Reference::new(&AbsolutePaths::own_root(), Some("file:///data/t"));
        for spelling in ["file:///data/t/x", "file:/data/t/x", "/data/t/x"] {
            let key = FileKey::of_table(RelPath::parse("x").unwrap());
            assert_eq!(reference.resolve(spelling), Ok(key));
        }
    }

    #[test]
    fn sidecars_are_files_of_their_folder() {
        let reference = Reference::new(&AbsolutePaths::own_root(), Some(ROOT));
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
    fn references_below_a_declared_root_are_its_keys() {
        check_declared("s3://lake/base/part-0.parquet", Ok((Place::Alias(0), "part-0.parquet")));
        check_declared("s3n://lake/base/p=a%252Fb/x", Ok((Place::Alias(0), "p=a%2Fb/x")));
        // The longest root, and the table's own before any other.
        check_declared("s3://lake/base/deep%20er/x", Ok((Place::Alias(1), "x")));
        check_declared("s3://lake/base/deep/x", Ok((Place::Alias(0), "deep/x")));
        check_declared("s3://lake/sales/other/x", Ok((Place::Alias(2), "other/x")));
        check_declared("s3://lake/sales/orders/x", Ok((Place::Table, "x")));
        check_declared("x", Ok((Place::Table, "x")));
    }

    #[test]
    fn what_is_not_below_a_declared_root_is_foreign() {
        for foreign in [
            "s3://lake/base2/x",
            "s3://lake/bas/x",
            "s3://lake/base",
            "s3://lake/basex",
            "s3://lake/x",
            "s3://lake2/base/x",
            "s3://LAKE/base/x",
            "s3://lake.evil/base/x",
            "gs://lake/base/x",
            "https://lake/base/x",
            "s3://user@lake/base/x",
            "s3://user:pw@lake/base/x",
            "s3://lake:9000/base/x",
            "s3://lake/base/x?versionId=1",
            "s3://lake/base/x#y",
            "s3:///lake/base/x",
            "//lake/base/x",
            "/base/x",
            "/lake/base/x",
            "s3:/lake/base/x",
            "s3://lake/%62ase2/x",
            "s3://lake/base%zz/x",
            "s3://lake/x/../base/x",
            "s3://lake//base/x",
        ] {
            check_declared(foreign, Err(ReferenceError::Foreign));
        }
    }

    #[test]
    fn nothing_leaves_a_declared_root() {
        let path = |error| Err(ReferenceError::Path(error));
        check_declared("s3://lake/base/../secret/x", path(PathError::Segment));
        check_declared("s3://lake/base/%2e%2E/secret/x", path(PathError::Segment));
        check_declared("s3://lake/base/..%2fsecret/x", path(PathError::Segment));
        check_declared("s3://lake/base/a%2F%2Fb", path(PathError::Segment));
        check_declared("s3://lake/base/./x", path(PathError::Segment));
        check_declared("s3://lake/base//x", path(PathError::Absolute));
        check_declared("s3://lake/base/", path(PathError::Empty));
        check_declared("s3://lake/base/x%00", path(PathError::Control));
        check_declared("s3://lake/base/x%0a", path(PathError::Control));
    }

    #[test]
    fn no_file_of_a_declared_root_is_part_of_a_log() {
        for reserved in [
            "s3://lake/base/_delta_log/00000000000000000007.json",
            "s3://lake/base/%5Fdelta_log/x",
            "s3://lake/sales/other/_delta_log/_last_checkpoint",
            "s3://lake/base/.hoodie/hoodie.properties",
            "s3://lake/sales/_driftless/probe.json",
        ] {
            check_declared(reserved, Err(ReferenceError::Reserved));
        }
        // Names that only resemble them are files.
        check_declared("s3://lake/base/_delta_logs/x", Ok((Place::Alias(0), "_delta_logs/x")));
    }

    #[test]
    fn a_root_is_a_folder_in_a_bucket() {
        use AliasRootError::{Local, NotAFolder, Reserved};
        for (url, error) in [
            ("s3://lake", NotAFolder),
            ("s3://lake/", NotAFolder),
            ("s3://lake//", NotAFolder),
            ("s3:///base", NotAFolder),
            ("s3://lake/a/../b", NotAFolder),
            ("s3://lake/a//b", NotAFolder),
            ("s3://user:pw@lake/base", NotAFolder),
            ("s3://lake/base?x=1", NotAFolder),
            ("base", NotAFolder),
            ("", NotAFolder),
            ("/data/base", Local),
            ("file:///data/base", Local),
            ("s3://lake/base/_delta_log", Reserved),
            ("s3://lake/_driftless", Reserved),
        ] {
            assert_eq!(AliasRoot::parse(url).unwrap_err(), error, "{url}");
        }
        let root = AliasRoot::parse("s3a://lake/sales/base%20line/").unwrap();
        assert_eq!(
            (root.scheme(), root.bucket(), root.folder()),
            ("s3", "lake", "sales/base line")
        );
    }

    #[test]
    fn a_name_does_not_depend_on_what_is_declared() {
        let of = |roots: &[&str], reference: &str| {
            let roots = roots.iter().map(|root| AliasRoot::parse(root).unwrap()).collect();
            let declared = Reference::new(&AbsolutePaths::Alias(roots), Some(ROOT));
            let key = declared.resolve(reference).unwrap();
            declared.name(&key).into_owned()
        };
        let name = "s3://lake/base/a b/x";
        for roots in [&["s3://lake/base"][..], &["s3://lake/z", "s3a://lake/base/a%20b"]] {
            assert_eq!(of(roots, "s3a://lake/base/a%20b/x"), name);
        }
        assert_eq!(of(&[], "s3://lake/sales/orders/x"), of(&[], "x"));
        // No key of the table has a name of this form.
        assert_eq!(RelPath::parse(name), Err(PathError::Segment));
    }

    #[test]
    fn a_replica_is_mapped_where_bucket_and_path_are_the_sources() {
        for (replica, mapped) in [
            ("s3://lake/sales/orders", true),
            ("s3://lake/sales/orders/", true),
            ("gs://lake/sales/orders", true),
            ("s3://lake/sales/orders2", false),
            ("s3://lake/orders", false),
            ("s3://mirror/sales/orders", false),
            ("file:///lake/sales/orders", false),
        ] {
            assert_eq!(is_mapped(ROOT, replica), mapped, "{replica}");
        }
        assert!(!is_mapped("file:///data/t", "file:///data/t"));
    }

    #[test]
    fn a_sidecar_is_never_of_another_table() {
        let sidecar = declared().sidecar("s3://lake/base/_sidecars/x.parquet");
        assert_eq!(sidecar, Err(ReferenceError::Sidecar));
        let sidecar = declared().sidecar("s3://lake/base/_delta_log/_sidecars/x.parquet");
        assert_eq!(sidecar, Err(ReferenceError::Reserved));
    }

    #[test]
    fn messages_never_repeat_a_reference() {
        let error = Reference::refuse().resolve("s3://user:secret@host/x").unwrap_err();
        let blocked = error.blocked(Position::Version(3));
        assert!(!blocked.message.contains("secret") && blocked.message.contains("version 3"));
        let error = declared().resolve("s3://user:secret@host/x").unwrap_err();
        let blocked = error.blocked(Position::Version(3));
        assert!(!blocked.message.contains("secret") && blocked.message.contains("--alias-root"));
    }
}
