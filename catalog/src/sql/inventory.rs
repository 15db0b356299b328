//! Projects, namespaces, stores and sites.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::{Catalog, json, refused, to_json};
use crate::{
    CatalogError, Millis, Namespace, Project, Result, Site, StoreRecord, check_identifier,
    check_label, check_stores, reading,
};

/// The organisation of projects that name none.
const ORGANISATION: &str = "default";

/// A project to be made or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProject<'a> {
    /// Its name.
    pub name: &'a str,
    /// The organisation that it belongs to.
    pub organisation: Option<&'a str>,
    /// Part of bandwidth and transfers.
    pub share: u32,
    /// Whose keys its readers use, by site.
    pub readers: BTreeMap<String, String>,
}

/// Without readers.
impl<'a> From<(&'a str, Option<&'a str>, u32)> for NewProject<'a> {
    fn from((name, organisation, share): (&'a str, Option<&'a str>, u32)) -> Self {
        Self { name, organisation, share, readers: BTreeMap::new() }
    }
}

impl Catalog {
    /// Makes a project, or changes one that is there.
    ///
    /// `expect`: the revision that is changed; `None` = whatever is there, or nothing.
    ///
    /// # Errors
    /// A name that is none; readers whose store cannot be theirs; a revision that is no longer
    /// there.
    pub async fn put_project(
        &self,
        wanted: impl Into<NewProject<'_>>,
        expect: Option<i64>,
        now_ms: Millis,
    ) -> Result<Project> {
        let NewProject { name, organisation, share, readers } = wanted.into();
        check_label("project", name)?;
        let organisation = organisation.unwrap_or(ORGANISATION);
        check_label("organisation", organisation)?;
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO organisations (name, created_ms) VALUES ($1, $2) \
                   ON CONFLICT (name) DO NOTHING";
        sqlx::query(sql).bind(organisation).bind(now_ms).execute(&mut *tx).await?;
        let sql = "INSERT INTO projects (name, organisation, share, readers, revision, created_ms) \
                   VALUES ($1, $2, $3, $4, 1, $5) ON CONFLICT (name) DO UPDATE SET \
                   organisation = excluded.organisation, share = excluded.share, \
                   readers = excluded.readers, \
                   revision = projects.revision + 1 RETURNING *";
        let row = sqlx::query(sql)
            .bind(name)
            .bind(organisation)
            .bind(i64::from(share))
            .bind(to_json(&readers))
            .bind(now_ms)
            .fetch_one(&mut *tx)
            .await?;
        let project = project(&row)?;
        check_revision("project", name, project.revision, expect)?;
        check_readers(&mut tx, &project).await?;
        tx.commit().await?;
        Ok(project)
    }

    /// All projects, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn projects(&self) -> Result<Vec<Project>> {
        let rows =
            sqlx::query("SELECT * FROM projects ORDER BY name").fetch_all(&self.read).await?;
        rows.iter().map(project).collect()
    }

    /// The project of this name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn project(&self, name: &str) -> Result<Option<Project>> {
        self.named("projects", name).await?.as_ref().map(project).transpose()
    }

    /// Removes a project that has no namespaces. `expect`: the revision that is meant.
    ///
    /// # Errors
    /// There is none, or it is in use; a revision that is no longer there.
    pub async fn remove_project(&self, name: &str, expect: Option<i64>) -> Result<()> {
        let mut tx = self.begin().await?;
        remove(&mut tx, ("project", "projects"), name, expect, "namespaces").await?;
        tx.commit().await?;
        Ok(())
    }

    /// Makes a namespace, unless it is there.
    ///
    /// # Errors
    /// A name that is none; no such project.
    pub async fn put_namespace(
        &self,
        project: &str,
        name: &str,
        now_ms: Millis,
    ) -> Result<Namespace> {
        let mut tx = self.begin().await?;
        let namespace = put_namespace(&mut tx, project, name, now_ms).await?;
        tx.commit().await?;
        Ok(namespace)
    }

    /// The namespaces of a project, by name.
    ///
    /// # Errors
    /// No such project.
    pub async fn namespaces(&self, project: &str) -> Result<Vec<Namespace>> {
        let there = sqlx::query("SELECT 1 AS there FROM projects WHERE name = $1").bind(project);
        if there.fetch_optional(&self.read).await?.is_none() {
            return Err(CatalogError::not_found("project", project));
        }
        let sql = "SELECT * FROM namespaces WHERE project = $1 ORDER BY name";
        let rows = sqlx::query(sql).bind(project).fetch_all(&self.read).await?;
        rows.iter().map(namespace).collect()
    }

    /// Removes a namespace that has no tables. Nothing changes a namespace, so that it has no
    /// revision to be told.
    ///
    /// # Errors
    /// There is none, or it is in use.
    pub async fn remove_namespace(&self, project: &str, name: &str) -> Result<()> {
        let sql = "DELETE FROM namespaces WHERE project = $1 AND name = $2";
        let full = format!("{project}.{name}");
        let used = CatalogError::InUse {
            of: "namespace",
            name: full.clone(),
            by: "tables: unregister them first".to_owned(),
        };
        let done = sqlx::query(sql).bind(project).bind(name).execute(&self.write).await;
        let done = done
            .map_err(|error| refused(error, CatalogError::not_found("namespace", &full), used))?;
        match done.rows_affected() {
            0 => Err(CatalogError::not_found("namespace", full)),
            _ => Ok(()),
        }
    }

    /// Makes a store, or changes one that is there. Its revision and time are set here.
    ///
    /// # Errors
    /// A name that is none; a revision that is no longer there.
    pub async fn put_store(
        &self,
        store: &StoreRecord,
        expect: Option<i64>,
        now_ms: Millis,
    ) -> Result<StoreRecord> {
        check_label("store", &store.name)?;
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO stores (name, url, region, options, projects, revision, created_ms) \
                   VALUES ($1, $2, $3, $4, $5, 1, $6) ON CONFLICT (name) DO UPDATE SET \
                   url = excluded.url, region = excluded.region, options = excluded.options, \
                   projects = excluded.projects, \
                   revision = stores.revision + 1 RETURNING *";
        let row = sqlx::query(sql)
            .bind(&store.name)
            .bind(&store.url)
            .bind(&store.region)
            .bind(to_json(&store.options))
            .bind(to_json(&store.projects))
            .bind(now_ms)
            .fetch_one(&mut *tx)
            .await?;
        let written = store_record(&row)?;
        check_revision("store", &store.name, written.revision, expect)?;
        wake_all(&mut tx).await?;
        tx.commit().await?;
        Ok(written)
    }

    /// All stores, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn stores(&self) -> Result<Vec<StoreRecord>> {
        let rows = sqlx::query("SELECT * FROM stores ORDER BY name").fetch_all(&self.read).await?;
        rows.iter().map(store_record).collect()
    }

    /// The store of this name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn store(&self, name: &str) -> Result<Option<StoreRecord>> {
        self.named("stores", name).await?.as_ref().map(store_record).transpose()
    }

    /// Removes a store that no site, no table and no project's readers name. `expect`: the revision
    /// that is meant.
    ///
    /// # Errors
    /// There is none, or it is in use; a revision that is no longer there.
    pub async fn remove_store(&self, name: &str, expect: Option<i64>) -> Result<()> {
        let mut tx = self.begin().await?;
        // A name has no wildcard but the underscore, whose false alarms the comparison rules out.
        let sql = "SELECT 'site ' || name AS used_by, url AS place FROM sites WHERE url LIKE $1 \
                   UNION ALL SELECT 'table ' || project || '.' || namespace || '.' || name \
                   AS used_by, source AS place FROM tables WHERE source LIKE $1";
        let rows = sqlx::query(sql).bind(format!("{name}:%"));
        for row in rows.fetch_all(&mut *tx).await? {
            let place: String = row.try_get("place")?;
            if place.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')) {
                let (name, by) = (name.to_owned(), row.try_get("used_by")?);
                return Err(CatalogError::InUse { of: "store", name, by });
            }
        }
        if let Some(by) = reads_with(&mut tx, |_, store| store == name).await? {
            return Err(CatalogError::InUse { of: "store", name: name.to_owned(), by });
        }
        remove(&mut tx, ("store", "stores"), name, expect, "sites or tables").await?;
        tx.commit().await?;
        Ok(())
    }

    /// Makes a site, or changes one that is there. Its revision and time are set here.
    ///
    /// # Errors
    /// A name that is none; a revision that is no longer there; another URL while tables are
    /// there.
    pub async fn put_site(&self, site: &Site, expect: Option<i64>, now_ms: Millis) -> Result<Site> {
        check_label("site", &site.name)?;
        let mut tx = self.begin().await?;
        let sql = "SELECT count(*) AS used FROM replicas r JOIN sites s ON s.name = r.site \
                   WHERE s.name = $1 AND s.url <> $2";
        let row = sqlx::query(sql).bind(&site.name).bind(&site.url).fetch_one(&mut *tx).await?;
        let used: i64 = row.try_get("used")?;
        if used > 0 {
            let (of, name) = ("site", site.name.clone());
            let by = format!("{used} tables, so that its URL stays: make another site");
            return Err(CatalogError::InUse { of, name, by });
        }
        let sql = "INSERT INTO sites (name, url, region, revision, created_ms) \
                   VALUES ($1, $2, $3, 1, $4) ON CONFLICT (name) DO UPDATE SET \
                   url = excluded.url, region = excluded.region, \
                   revision = sites.revision + 1 RETURNING *";
        let row = sqlx::query(sql)
            .bind(&site.name)
            .bind(&site.url)
            .bind(&site.region)
            .bind(now_ms)
            .fetch_one(&mut *tx)
            .await?;
        let written = site_record(&row)?;
        check_revision("site", &site.name, written.revision, expect)?;
        tx.commit().await?;
        Ok(written)
    }

    /// All sites, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn sites(&self) -> Result<Vec<Site>> {
        let rows = sqlx::query("SELECT * FROM sites ORDER BY name").fetch_all(&self.read).await?;
        rows.iter().map(site_record).collect()
    }

    /// The site of this name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn site(&self, name: &str) -> Result<Option<Site>> {
        self.named("sites", name).await?.as_ref().map(site_record).transpose()
    }

    /// Removes a site that holds no tables and that no project's readers name. `expect`: the
    /// revision that is meant.
    ///
    /// # Errors
    /// There is none, or it is in use; a revision that is no longer there.
    pub async fn remove_site(&self, name: &str, expect: Option<i64>) -> Result<()> {
        let mut tx = self.begin().await?;
        if let Some(by) = reads_with(&mut tx, |site, _| site == name).await? {
            return Err(CatalogError::InUse { of: "site", name: name.to_owned(), by });
        }
        remove(&mut tx, ("site", "sites"), name, expect, "tables").await?;
        tx.commit().await?;
        Ok(())
    }

    /// The row of this name.
    pub(super) async fn named(&self, table: &'static str, name: &str) -> Result<Option<AnyRow>> {
        let sql = format!("SELECT * FROM {table} WHERE name = $1");
        Ok(sqlx::query(AssertSqlSafe(sql)).bind(name).fetch_optional(&self.read).await?)
    }
}

/// Removes a row, if it is there in the revision that is meant. `by`: what else may need it.
pub(super) async fn remove(
    connection: &mut AnyConnection,
    (of, table): (&'static str, &'static str),
    name: &str,
    expect: Option<i64>,
    by: &str,
) -> Result<()> {
    let sql = format!("DELETE FROM {table} WHERE name = $1 AND revision = COALESCE($2, revision)");
    let done = sqlx::query(AssertSqlSafe(sql)).bind(name).bind(expect);
    let used = CatalogError::InUse { of, name: name.to_owned(), by: by.to_owned() };
    let done = done.execute(&mut *connection).await;
    let done = done.map_err(|error| refused(error, CatalogError::not_found(of, name), used))?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    let sql = format!("SELECT 1 AS there FROM {table} WHERE name = $1");
    let there = sqlx::query(AssertSqlSafe(sql)).bind(name).fetch_optional(connection).await?;
    Err(match there {
        Some(_) => CatalogError::changed(of, name),
        None => CatalogError::not_found(of, name),
    })
}

/// Makes a namespace, unless it is there.
pub(super) async fn put_namespace(
    connection: &mut AnyConnection,
    project: &str,
    name: &str,
    now_ms: Millis,
) -> Result<Namespace> {
    check_identifier("namespace", name)?;
    let sql = "INSERT INTO namespaces (project, name, revision, created_ms) \
               VALUES ($1, $2, 1, $3) ON CONFLICT (project, name) DO UPDATE SET \
               revision = namespaces.revision RETURNING *";
    let row = sqlx::query(sql).bind(project).bind(name).bind(now_ms).fetch_one(connection).await;
    let row = row.map_err(|error| {
        let project = || CatalogError::not_found("project", project);
        refused(error, project(), project())
    })?;
    namespace(&row)
}

/// Refuses a table whose project may not use the stores of these places and of its sites.
pub(super) async fn check_places(
    connection: &mut AnyConnection,
    project: &str,
    places: &[&str],
    sites: &[String],
) -> Result<()> {
    let sql = "SELECT * FROM stores WHERE projects <> '[]' ORDER BY name";
    let rows = sqlx::query(sql).fetch_all(&mut *connection).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let stores: Vec<_> = rows.iter().map(store_record).collect::<Result<_>>()?;
    let mut urls = Vec::with_capacity(sites.len());
    for site in sites {
        let row = sqlx::query("SELECT url FROM sites WHERE name = $1").bind(site);
        let row = row.fetch_optional(&mut *connection).await?;
        let row = row.ok_or_else(|| CatalogError::not_found("site", site))?;
        urls.push(row.try_get::<String, _>("url")?);
    }
    let all: Vec<_> = urls.iter().map(String::as_str).chain(places.iter().copied()).collect();
    check_stores(&stores, project, &all)
}

/// Refuses readers whose store cannot be theirs.
async fn check_readers(connection: &mut AnyConnection, project: &Project) -> Result<()> {
    if project.readers.is_empty() {
        return Ok(());
    }
    let rows =
        sqlx::query("SELECT * FROM stores ORDER BY name").fetch_all(&mut *connection).await?;
    let stores: Vec<_> = rows.iter().map(store_record).collect::<Result<_>>()?;
    for name in project.readers.keys() {
        let row = sqlx::query("SELECT * FROM sites WHERE name = $1").bind(name);
        let row = row.fetch_optional(&mut *connection).await?;
        let row =
            row.ok_or_else(|| CatalogError::Invalid(format!("readers: there is no site {name}")))?;
        reading(project, &site_record(&row)?, &stores)?;
    }
    Ok(())
}

/// The first project whose readers have a site and a store for which `is` is true.
async fn reads_with(
    connection: &mut AnyConnection,
    is: impl Fn(&str, &str) -> bool,
) -> Result<Option<String>> {
    let sql = "SELECT * FROM projects WHERE readers <> '{}' ORDER BY name";
    for row in sqlx::query(sql).fetch_all(connection).await? {
        let project = project(&row)?;
        if project.readers.iter().any(|(site, store)| is(site, store)) {
            return Ok(Some(format!("readers of the project {}", project.name)));
        }
    }
    Ok(None)
}

/// Lets every owner look at its tables again.
async fn wake_all(connection: &mut AnyConnection) -> Result<()> {
    let wake = super::next(connection, "wakes", 1).await?;
    sqlx::query("UPDATE tables SET wake = $1").bind(wake).execute(connection).await?;
    Ok(())
}

/// Whether a row that was just written is the one that was meant.
pub(super) fn check_revision(
    of: &'static str,
    name: &str,
    written: i64,
    expect: Option<i64>,
) -> Result<()> {
    match expect {
        Some(expect) if expect + 1 != written => Err(CatalogError::changed(of, name)),
        _ => Ok(()),
    }
}

fn project(row: &AnyRow) -> Result<Project> {
    let share: i64 = row.try_get("share")?;
    Ok(Project {
        name: row.try_get("name")?,
        organisation: row.try_get("organisation")?,
        share: u32::try_from(share).unwrap_or(1),
        readers: json(row, "readers")?,
        revision: row.try_get("revision")?,
        created_ms: row.try_get("created_ms")?,
    })
}

fn namespace(row: &AnyRow) -> Result<Namespace> {
    Ok(Namespace {
        project: row.try_get("project")?,
        name: row.try_get("name")?,
        revision: row.try_get("revision")?,
        created_ms: row.try_get("created_ms")?,
    })
}

fn store_record(row: &AnyRow) -> Result<StoreRecord> {
    Ok(StoreRecord {
        name: row.try_get("name")?,
        url: row.try_get("url")?,
        region: row.try_get("region")?,
        options: json(row, "options")?,
        projects: json(row, "projects")?,
        revision: row.try_get("revision")?,
        created_ms: row.try_get("created_ms")?,
    })
}

fn site_record(row: &AnyRow) -> Result<Site> {
    Ok(Site {
        name: row.try_get("name")?,
        url: row.try_get("url")?,
        region: row.try_get("region")?,
        revision: row.try_get("revision")?,
        created_ms: row.try_get("created_ms")?,
    })
}
