//! Alias roots: folders of other tables that a log may refer to, opened at each side.
//!
//! # Invariants
//! - A root lies in the bucket of the table's source, and at a target at the same key of the
//!   target's bucket: it is opened with the options of that table's store and no others.
//! - Messages never repeat what was given as a root: it may carry credentials.

use std::collections::BTreeMap;

use table_sync_core::with_causes;
use table_sync_delta::AliasRoot;
use table_sync_delta::reference::ALIAS_ROOTS_MAX;
use table_sync_engine::Root;
use table_sync_store::{Location, open};

use super::{Named, Wire, location_error, open_error};
use crate::args::{AbsolutePaths, Paths};
use crate::exit::CommandError;

/// The policy for absolute references, as the format takes it.
pub(super) fn policy(paths: &Paths) -> Result<table_sync_delta::AbsolutePaths, CommandError> {
    match paths.absolute_paths {
        AbsolutePaths::Refuse if paths.alias_root.is_empty() => {
            Ok(table_sync_delta::AbsolutePaths::Refuse)
        }
        AbsolutePaths::Refuse => Err(CommandError::arguments(
            "use --alias-root: absolute references are refused",
            "add --absolute-paths alias",
        )),
        AbsolutePaths::Alias if paths.alias_root.len() > ALIAS_ROOTS_MAX => {
            Err(CommandError::arguments(
                format!("use more than {ALIAS_ROOTS_MAX} alias roots"),
                "name a folder that holds several of them",
            ))
        }
        AbsolutePaths::Alias => {
            let roots = paths.alias_root.iter().map(|url| AliasRoot::parse(url)).collect();
            let roots: Result<Vec<_>, _> = roots;
            roots.map(table_sync_delta::AbsolutePaths::Alias).map_err(|error| {
                CommandError::arguments(
                    format!("read --alias-root: {}", with_causes(&error)),
                    "name the other table's folder as the log spells it, such as s3://lake/base",
                )
            })
        }
    }
}

impl Wire {
    /// Opens the roots that a source's log may refer to.
    ///
    /// # Errors
    /// A root in another bucket than the source.
    pub(super) fn source_roots(
        &self,
        source: &Named,
        policy: &table_sync_delta::AbsolutePaths,
    ) -> Result<Vec<Root>, CommandError> {
        let bucket = bucket_of(source.location.url());
        for root in declared(policy) {
            if bucket != Some((root.scheme(), root.bucket())) {
                return Err(CommandError::arguments(
                    format!(
                        "use {}://{}/{} as an alias root: it lies in another bucket than {}",
                        root.scheme(),
                        root.bucket(),
                        root.folder(),
                        source.location.url()
                    ),
                    "name folders of the source's own bucket",
                ));
            }
        }
        self.roots(source, policy)
    }

    /// Opens the same keys in the bucket of a table. None where the table has no bucket: no file
    /// goes there, since such a target is refused.
    pub(super) fn roots(
        &self,
        table: &Named,
        policy: &table_sync_delta::AbsolutePaths,
    ) -> Result<Vec<Root>, CommandError> {
        let Some((scheme, bucket)) = bucket_of(table.location.url()) else {
            return Ok(Vec::new());
        };
        let opened = declared(policy).iter().map(|root| {
            let location = self.beside(&table.text, &format!("{scheme}://{bucket}"), root)?;
            let store = open(&location, &self.settings).map_err(open_error)?;
            Ok(Root { store, folder: location.table().to_owned() })
        });
        opened.collect()
    }

    /// A root's location: with the options of the named store that the table is in.
    fn beside(&self, text: &str, bucket: &str, root: &AliasRoot) -> Result<Location, CommandError> {
        let named = text.split_once(':').filter(|(_, path)| !path.starts_with("//"));
        let store = named.and_then(|(name, _)| Some((name, self.config.stores.get(name)?)));
        let location = match store {
            Some((name, store)) => {
                let mut store = store.clone();
                bucket.clone_into(&mut store.url);
                let stores = BTreeMap::from([(name.to_owned(), store)]);
                Location::parse(&format!("{name}:{}", root.folder()), &stores)
            }
            None => Location::parse(&format!("{bucket}/{}", root.folder()), &self.config.stores),
        };
        location.map_err(location_error)
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
