//! `driftless catalog`: back-ups, and rebuilding it from what a site holds.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use driftless_catalog::{Former, Held, Policy, Site, TableName};
use driftless_syncd::Stores;
use serde_json::json;
use table_sync_core::with_causes;
use table_sync_engine::{Descriptor, descriptors};

use super::{catalog_error, daemon_options, folders, now_ms, open_catalog};
use crate::args::Catalog;
use crate::exit::{CommandError, Exit};
use crate::run::{Ended, Setting};

pub(crate) async fn run(setting: &Setting, args: &Catalog) -> Result<Exit, Ended> {
    let (from, database, allow_files, secrets) = match args {
        Catalog::Backup { to, database } => {
            let catalog = open_catalog(database).await?;
            catalog.back_up(to).await.map_err(catalog_error)?;
            let document = json!({ "backup": to });
            setting.output.print(&document, format!("backed up to {}\n", to.display()))?;
            return Ok(Exit::Done);
        }
        Catalog::Rebuild { from, database, allow_files, secrets } => {
            (from, database, allow_files, secrets)
        }
    };
    let catalog = open_catalog(database).await?;
    let mut options = daemon_options(setting, &catalog, "rebuild");
    options.files = folders(allow_files)?;
    options.secrets.clone_from(secrets);
    let sites = catalog.sites().await.map_err(catalog_error)?;
    let site = sites.into_iter().find(|site| site.name == *from).ok_or_else(|| {
        CommandError::arguments(
            format!("rebuild from {from}: the catalog has no such site"),
            "start `driftless serve`, make the site with `driftless put site`, then run this again",
        )
    })?;
    let stores = Stores::new(&options);
    let found = read(&stores, &site).await?;
    let (mut restored, mut known) = (Vec::new(), Vec::new());
    let (tables, mut left) = tables(&stores, &site, found).await;
    for (path, held) in tables.into_values() {
        match restore(&catalog, &held).await {
            Ok(true) => restored.push(held.name),
            Ok(false) => known.push(held.name),
            Err(error) => {
                left.insert(path, with_causes(&error));
            }
        }
    }
    let document = json!({ "restored": restored, "known": known, "left_out": left });
    let mut text = format!("{} tables restored, {} known\n", restored.len(), known.len());
    for name in &restored {
        text.push_str(&format!("  {name}  paused; resume it once its policy is right\n"));
    }
    for (path, why) in &left {
        text.push_str(&format!("  {path} left out: {why}\n"));
    }
    setting.output.print(&document, text)?;
    Ok(if left.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Registers the table again, with its project.
async fn restore(
    catalog: &driftless_catalog::Catalog,
    held: &Held,
) -> Result<bool, driftless_catalog::CatalogError> {
    let project = held.name.project();
    if catalog.projects().await?.iter().all(|known| known.name != project) {
        catalog.put_project((project, None, 1), None, now_ms()).await?;
    }
    catalog.restore(held, now_ms()).await
}

type Read = BTreeMap<String, Result<Descriptor, String>>;

/// All descriptors of the site's store, by the table's path.
async fn read(stores: &Stores, site: &Site) -> Result<Read, CommandError> {
    let (_, state) = stores.site(site).await.map_err(|error| {
        CommandError::configuration(error.message(), "see `driftless put store --help`")
    })?;
    let mut read = Read::new();
    let listed = descriptors(&state, |path, found| {
        read.insert(path.to_owned(), found.map_err(|error| with_causes(&error)));
    });
    listed.await.map_err(|error| {
        let hint = "check that the site's store is reachable, then run again";
        CommandError::failed("target_unavailable", with_causes(&error), hint)
    })?;
    Ok(read)
}

/// What a descriptor says; `None` where no catalog made the replica, or for another site.
fn held(site: &Site, found: Descriptor) -> Result<Option<Held>, String> {
    let (Some(name), Some(incarnation)) = (found.table, found.incarnation) else { return Ok(None) };
    if found.site.as_ref().is_some_and(|name| *name != site.name) {
        return Ok(None);
    }
    Ok(Some(Held {
        name: TableName::parse(&name).map_err(|error| error.to_string())?,
        source: found.source,
        format: found.format,
        site: site.name.clone(),
        incarnation,
        epoch: found.epoch,
        head: found.head,
        former: Vec::new(),
    }))
}

/// What a site holds of each table, with the path of its replica; and why the rest is left out, by
/// path.
async fn tables(
    stores: &Stores,
    site: &Site,
    found: Read,
) -> (BTreeMap<TableName, (String, Held)>, BTreeMap<String, String>) {
    let mut tables: BTreeMap<TableName, (String, Held)> = BTreeMap::new();
    let mut left = BTreeMap::new();
    for (path, found) in found {
        let held = match found.and_then(|descriptor| held(site, descriptor)) {
            Ok(Some(held)) => held,
            Ok(None) => continue,
            Err(why) => {
                left.insert(path, why);
                continue;
            }
        };
        // Another site may lie in the same store.
        if !is_there(stores, site, &held, &path).await {
            continue;
        }
        match tables.entry(held.name.clone()) {
            Entry::Vacant(entry) => {
                entry.insert((path, held));
            }
            Entry::Occupied(mut entry) => {
                let (known_path, known) = entry.get_mut();
                match join(known, held) {
                    Ok(true) => *known_path = path,
                    Ok(false) => {}
                    Err(why) => {
                        left.insert(path, why);
                    }
                }
            }
        }
    }
    (tables, left)
}

/// Joins what is held of one table at several places: the one that was begun last is the replica.
/// Whether that is the other one.
fn join(known: &mut Held, other: Held) -> Result<bool, String> {
    if other.source != known.source {
        return Err(format!("{} is also a replica of {}", known.name, known.source));
    }
    let epoch = known.epoch.max(other.epoch);
    let newer = other.incarnation > known.incarnation;
    let mut former = if newer { std::mem::replace(known, other) } else { other };
    known.epoch = epoch;
    known.former.append(&mut former.former);
    known.former.push(Former { incarnation: former.incarnation, head: former.head });
    Ok(newer)
}

async fn is_there(stores: &Stores, site: &Site, held: &Held, path: &str) -> bool {
    let place = site.place(&held.name.folder(held.incarnation));
    let opened = stores.table(&held.source, &[place], &Policy::default()).await;
    opened.is_ok_and(|table| table.targets.iter().any(|target| target.table == path))
}
