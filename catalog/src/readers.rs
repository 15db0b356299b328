//! Readers: with the keys of which store engines read a project's replicas at a site.
//!
//! A store for readers lies in the site's bucket, as the site's own store does; what differs is
//! its keys, which may read the project's folder and nothing else.

use crate::store::parts;
use crate::{CatalogError, Project, Result, Site, StoreRecord};

/// A project's folder at a site, and the store that has the keys to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<'a> {
    /// The folder, `s3://bucket/path/PROJECT/`. No other project's folder begins so.
    pub prefix: String,
    /// The store.
    pub store: &'a StoreRecord,
}

/// How a project is read at a site; `None` where it names no store there.
///
/// # Errors
/// [`CatalogError::Invalid`]: there is no such store, the project may not use it, it does not lie
/// where the replicas do, or the site is not in S3.
pub fn reading<'a>(
    project: &Project,
    site: &Site,
    stores: &'a [StoreRecord],
) -> Result<Option<Reading<'a>>> {
    let Some(named) = project.readers.get(&site.name) else { return Ok(None) };
    let refused = |why: String| {
        let (project, site) = (&project.name, &site.name);
        CatalogError::Invalid(format!("readers of the project {project} at the site {site}: {why}"))
    };
    let of = |name: &str| stores.iter().find(|store| store.name == name);
    let store = of(named).ok_or_else(|| refused(format!("there is no store {named}")))?;
    if !store.admits(&project.name) {
        return Err(refused(format!("its tables may not use the store {named}")));
    }
    let url = match site.url.split_once(':').filter(|_| !site.url.contains("://")) {
        None => site.url.clone(),
        Some((root, path)) => {
            let root = of(root).ok_or_else(|| refused(format!("there is no store {root}")))?;
            format!("{}/{path}", root.url)
        }
    };
    let Some((("s3", bucket), mut folders)) = parts(&url) else {
        return Err(refused(format!("{url} is not in S3, where readers have keys of their own")));
    };
    folders.push(project.name.clone());
    let prefix = format!("s3://{bucket}/{}/", folders.join("/"));
    match store.holds(&prefix) {
        true => Ok(Some(Reading { prefix, store })),
        false => Err(refused(format!("the store {named} is {}, not at {prefix}", store.url))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::store;

    #[track_caller]
    fn check(url: &str, named: &str, expect: std::result::Result<&str, &str>) {
        let stores = [
            store("vast", "s3://site/", &[]),
            store("lake-readers", "s3://site", &["lake"]),
            store("mart-readers", "s3://site", &["mart"]),
            store("folder", "s3a://site/east/lake", &[]),
            store("elsewhere", "s3://other", &[]),
            store("blob", "az://site", &[]),
        ];
        let site = Site {
            name: "east".to_owned(),
            url: url.to_owned(),
            region: None,
            revision: 1,
            created_ms: 0,
        };
        let project = Project {
            name: "lake".to_owned(),
            organisation: "default".to_owned(),
            share: 1,
            readers: [("east".to_owned(), named.to_owned())].into(),
            revision: 1,
            created_ms: 0,
        };
        let found = reading(&project, &site, &stores).map_err(|error| error.to_string());
        match (found, expect) {
            (Ok(Some(found)), Ok(prefix)) => {
                assert_eq!((found.prefix.as_str(), found.store.name.as_str()), (prefix, named));
            }
            (Err(message), Err(part)) => {
                let whole = "readers of the project lake at the site east: ";
                assert!(message.starts_with(whole) && message.contains(part), "{message}");
            }
            (found, expect) => unreachable!("{url} {named}: {found:?}, not {expect:?}"),
        }
        let west = Site { name: "west".to_owned(), ..site };
        assert!(matches!(reading(&project, &west, &stores), Ok(None)), "it names none there");
    }

    #[test]
    fn keys_are_of_a_store_that_lies_where_the_replicas_do() {
        check("vast:", "lake-readers", Ok("s3://site/lake/"));
        check("vast:east", "lake-readers", Ok("s3://site/east/lake/"));
        check("vast:east/", "folder", Ok("s3://site/east/lake/"));
        check("s3://site/east", "vast", Ok("s3://site/east/lake/"));
        check("vast:east", "mart-readers", Err("may not use the store mart-readers"));
        check("vast:west", "folder", Err("not at s3://site/west/lake/"));
        check("vast:east", "elsewhere", Err("the store elsewhere is s3://other"));
        check("vast:east", "gone", Err("there is no store gone"));
        check("gone:east", "vast", Err("there is no store gone"));
        check("blob:east", "vast", Err("az://site/east is not in S3"));
        check("file:///srv/east", "vast", Err("is not in S3"));
    }
}
