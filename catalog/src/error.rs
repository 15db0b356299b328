//! Why the catalog refused something, or could not do it.

use crate::name::NameError;
use crate::transition::NotNow;

/// See the module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// There is no such thing.
    #[error("there is no {of} {name}")]
    NotFound {
        /// What it would be.
        of: &'static str,
        /// Its name.
        name: String,
    },
    /// There is one already.
    #[error("there is a {of} {name} already")]
    Exists {
        /// What it is.
        of: &'static str,
        /// Its name.
        name: String,
    },
    /// It was changed since it was read.
    #[error("the {of} {name} was changed by somebody else: read it again")]
    Changed {
        /// What it is.
        of: &'static str,
        /// Its name.
        name: String,
    },
    /// Others depend on it.
    #[error("the {of} {name} is in use by {by}")]
    InUse {
        /// What it is.
        of: &'static str,
        /// Its name.
        name: String,
        /// Who needs it.
        by: String,
    },
    /// A value that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not in this state.
    #[error(transparent)]
    NotNow(#[from] NotNow),
    /// The database was written by a later release.
    #[error(
        "the catalog's database was written by a later release (schema {found}, this one knows \
         {known}); start that release, or restore a back-up"
    )]
    Newer {
        /// The database's.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The database's schema is not what a release of ours made.
    #[error("the catalog's database was changed by something else: {0}; restore a back-up")]
    Foreign(String),
    /// The database did not answer, or not as it should.
    #[error("use the catalog's database")]
    Database(#[from] sqlx::Error),
    /// The folder of the database cannot be made.
    #[error("make the folder of the catalog's database {path}")]
    Folder {
        /// The folder.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl CatalogError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(_))
    }

    pub(crate) fn not_found(of: &'static str, name: impl ToString) -> Self {
        Self::NotFound { of, name: name.to_string() }
    }

    pub(crate) fn exists(of: &'static str, name: impl ToString) -> Self {
        Self::Exists { of, name: name.to_string() }
    }

    pub(crate) fn changed(of: &'static str, name: impl ToString) -> Self {
        Self::Changed { of, name: name.to_string() }
    }
}

/// The answer of most calls.
pub type Result<T> = std::result::Result<T, CatalogError>;
