//! Why a table was not opened, and the way out.

use table_sync_core::BoxError;
use table_sync_delta::reference::ALIAS_ROOTS_MAX;
use table_sync_store::{ExpandError, LocationError, SecretError};

/// Why something was not opened. Messages hold no credentials and no option values.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The text names no table.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The store's options are wrong.
    #[error(transparent)]
    Store(#[from] table_sync_store::OpenError),
    /// A store option that is kept elsewhere is not there.
    #[error("read the store option {option}")]
    Secret {
        /// Name of the option.
        option: String,
        /// The cause.
        source: SecretError,
    },
    /// The tables of a pattern could not be listed.
    #[error(transparent)]
    List(ExpandError),
    /// A pattern that matches no table.
    #[error("no table matches {url}; check the pattern")]
    NoMatch {
        /// The pattern.
        url: String,
    },
    /// A pattern where one table is needed.
    #[error("use {text} as a target: it has a *")]
    PatternTarget {
        /// The text.
        text: String,
    },
    /// A format's reader does not take the path.
    #[error("open {url}")]
    Log {
        /// The table.
        url: String,
        /// The folder that holds the format's log.
        folder: &'static str,
        /// The cause.
        source: BoxError,
    },
    /// Alias roots without the policy that uses them.
    #[error("use --alias-root: absolute references are refused")]
    AliasRefused,
    /// Too many alias roots.
    #[error("use more than {ALIAS_ROOTS_MAX} alias roots")]
    AliasRoots,
    /// An alias root that does not read. The text is not repeated: it may hold credentials.
    #[error("read --alias-root")]
    AliasRoot {
        /// The cause.
        source: BoxError,
    },
    /// An alias root in another bucket than the source.
    #[error("use {root} as an alias root: it lies in another bucket than {source_url}")]
    AliasBucket {
        /// The root.
        root: String,
        /// The source.
        source_url: String,
    },
    /// A target that is read from as well.
    #[error("use {url} as a target: it is a source, or inside one")]
    TargetIsSource {
        /// The target.
        url: String,
    },
    /// A target that is written twice.
    #[error("use {url} as a target: it is given twice, or inside another target")]
    TargetTwice {
        /// The target.
        url: String,
    },
}

/// What kind of trouble an [`OpenError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was asked for makes no sense.
    Arguments,
    /// A store's options or certificates cannot be used.
    Configuration,
    /// There is no table.
    NotATable,
    /// The source store does not answer: a retry may help.
    SourceUnavailable,
}

impl OpenError {
    /// The kind of trouble.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Location(_)
            | Self::PatternTarget { .. }
            | Self::Log { .. }
            | Self::AliasRefused
            | Self::AliasRoots
            | Self::AliasRoot { .. }
            | Self::AliasBucket { .. }
            | Self::TargetIsSource { .. }
            | Self::TargetTwice { .. } => ErrorKind::Arguments,
            Self::Store(_) | Self::Secret { .. } | Self::List(ExpandError::Open(_)) => {
                ErrorKind::Configuration
            }
            Self::List(_) => ErrorKind::SourceUnavailable,
            Self::NoMatch { .. } => ErrorKind::NotATable,
        }
    }

    /// The way out.
    pub fn hint(&self) -> String {
        let hint = match self {
            Self::Location(_) => {
                "a table is a URL, a path, or NAME:path with [stores.NAME] in the configuration"
            }
            Self::Store(_) | Self::List(ExpandError::Open(_)) => {
                "check the store's options and the environment"
            }
            Self::Secret { .. } => "set it, or change the configuration",
            Self::List(_) => "check that the source store is reachable, then run again",
            Self::NoMatch { .. } => "check the pattern",
            Self::PatternTarget { .. } => {
                "only SOURCE may have a *; each table goes to TARGET/<name>"
            }
            Self::Log { folder, .. } => {
                return format!("name the folder that holds the table's {folder}");
            }
            Self::AliasRefused => "add --absolute-paths alias",
            Self::AliasRoots => "name a folder that holds several of them",
            Self::AliasRoot { .. } => {
                "name the other table's folder as the log spells it, such as s3://lake/base"
            }
            Self::AliasBucket { .. } => "name folders of the source's own bucket",
            Self::TargetIsSource { .. } => "name another target",
            Self::TargetTwice { .. } => "name each target once",
        };
        hint.to_owned()
    }
}
