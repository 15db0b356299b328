//! Alias roots: folders of other tables that a log may refer to, opened at each side.
//!
//! # Invariants
//! - A root lies in the bucket of the table's source, and at a target at the same key of the
//!   target's bucket: it is opened with the options of that table's store and no others.
//! - Messages never repeat what was given as a root: it may carry credentials.

use std::collections::BTreeMap;

use table_sync_delta::AliasRoot;
use table_sync_delta::reference::ALIAS_ROOTS_MAX;
use table_sync_engine::Root;
use table_sync_store::Location;

use crate::{AbsolutePaths, OpenError, Opener, TableOptions};

/// The policy for absolute references, as the format takes it.
pub(crate) fn policy(options: &TableOptions) -> Result<table_sync_delta::AbsolutePaths, OpenError> {
    match options.absolute_paths {
        AbsolutePaths::Refuse if options.alias_roots.is_empty() => {
            Ok(table_sync_delta::AbsolutePaths::Refuse)
        }
        AbsolutePaths::Refuse => Err(OpenError::AliasRefused),
        AbsolutePaths::Alias if options.alias_roots.len() > ALIAS_ROOTS_MAX => {
            Err(OpenError::AliasRoots)
        }
        AbsolutePaths::Alias => {
            let roots = options.alias_roots.iter().map(|url| AliasRoot::parse(url));
            let roots: Result<Vec<_>, _> = roots.collect();
            roots
                .map(table_sync_delta::AbsolutePaths::Alias)
                .map_err(|error| OpenError::AliasRoot { source: error.into() })
        }
    }
}

impl Opener {
    /// Opens the roots that a source's log may refer to.
    ///
    /// # Errors
    /// A root in another bucket than the source.
    pub(crate) fn source_roots(
        &self,
        source: &Location,
        policy: &table_sync_delta::AbsolutePaths,
    ) -> Result<Vec<Root>, OpenError> {
        let bucket = bucket_of(source.url());
        for root in declared(policy) {
            if bucket != Some((root.scheme(), root.bucket())) {
                return Err(OpenError::AliasBucket {
                    root: format!("{}://{}/{}", root.scheme(), root.bucket(), root.folder()),
                    source_url: source.url().to_owned(),
                });
            }
        }
        self.roots(source, policy)
    }

    /// Opens the same keys in the bucket of a table. None where the table has no bucket: no file
    /// goes there, since such a target is refused.
    pub(crate) fn roots(
        &self,
        table: &Location,
        policy: &table_sync_delta::AbsolutePaths,
    ) -> Result<Vec<Root>, OpenError> {
        let Some((scheme, bucket)) = bucket_of(table.url()) else {
            return Ok(Vec::new());
        };
        let opened = declared(policy).iter().map(|root| {
            let location = self.beside(table, &format!("{scheme}://{bucket}"), root)?;
            Ok(Root { store: self.open(&location)?, folder: location.table().to_owned() })
        });
        opened.collect()
    }

    /// A root's location: with the options of the named store that the table is in.
    fn beside(
        &self,
        table: &Location,
        bucket: &str,
        root: &AliasRoot,
    ) -> Result<Location, OpenError> {
        let named = self.store_of(table).zip(table.store_name());
        let location = match named {
            Some((store, name)) => {
                let mut store = store.clone();
                bucket.clone_into(&mut store.url);
                let stores = BTreeMap::from([(name.to_owned(), store)]);
                Location::parse(&format!("{name}:{}", root.folder()), &stores)
            }
            None => self.locate(&format!("{bucket}/{}", root.folder())),
        };
        Ok(location?)
    }
}

fn declared(policy: &table_sync_delta::AbsolutePaths) -> &[AliasRoot] {
    match policy {
        table_sync_delta::AbsolutePaths::Refuse => &[],
        table_sync_delta::AbsolutePaths::Alias(roots) => roots,
    }
}

/// Scheme and bucket of a table's URL; `None` for a local folder.
fn bucket_of(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| *scheme != "file")?;
    Some((scheme, rest.split('/').next().unwrap_or(rest)))
}
