//! Trino's security mapping of a site: for the folder of each project, the keys to read it with.
//!
//! The catalog knows which store has a project's keys, and what they are called; they are read when
//! they are asked for, by a seam, since secrets belong to a process.
//!
//! # Invariants
//! - Keys are in the answer, and nowhere else: no log, no error, no tag.
//! - An engine gets the keys that can be read, whatever is wrong with those of another project: an
//!   error would end the queries of all, and Trino shows who asks the URL of it, with its token.
//!
//! Source: Trino 476, `S3SecurityMapping`. The first mapping whose `prefix` the location begins with
//! is taken, `s3` and `s3a` alike; without one, access is denied. A field that it does not know
//! makes the whole document unreadable.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use driftless_catalog::{CatalogError, Project, Role, Site, StoreRecord, reading};
use http::header::CACHE_CONTROL;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Service;
use crate::auth::Caller;
use crate::error::{Answer, ApiError};
use crate::idempotency::Secret;

/// Names of the options of a store, as `object_store` takes them.
const ACCESS_KEY: [&str; 2] = ["aws_access_key_id", "access_key_id"];
const SECRET_KEY: [&str; 2] = ["aws_secret_access_key", "secret_access_key"];
const ENDPOINT: [&str; 4] = ["aws_endpoint", "aws_endpoint_url", "endpoint", "endpoint_url"];
const REGION: [&str; 4] = ["aws_region", "aws_default_region", "region", "default_region"];
/// Keys for a while, which Trino's mapping has no place for.
const SESSION: [&str; 4] = ["aws_session_token", "aws_token", "session_token", "token"];

/// Reads what options of stores hold, whether or not that is a secret.
pub trait Secrets: Send + Sync {
    /// The value of an option that the store has.
    ///
    /// # Errors
    /// This process cannot read it.
    fn option(&self, store: &StoreRecord, name: &str) -> Result<String, NoSecret>;
}

/// A secret cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct NoSecret {
    /// Why, for people; without the secret.
    pub message: String,
}

/// Keys by folder, in the words of Trino.
#[derive(Serialize, ToSchema)]
pub(crate) struct SecurityMappings {
    /// One for each project that has readers at the site.
    mappings: Vec<SecurityMapping>,
}

/// Keys of one folder.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecurityMapping {
    /// The project's folder at the site.
    prefix: String,
    /// Key that may read it.
    access_key: String,
    /// Its secret.
    secret_key: String,
    /// Where the store is reached, where its record says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    /// Its region, where its record says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
}

/// Whose keys are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct MappingQuery {
    /// Of this project only.
    project: Option<String>,
}

/// Get the keys of each project, as Trino reads them
///
/// For `s3.security-mapping.config-uri` of Trino: the keys that the projects' `readers` name at this
/// site, read as they are now. Trino cannot set a header: it has a token of the role `engine` in the
/// URL, as `token`; one of a project gets the keys of that project. Keys that cannot be read are left
/// out for an engine, so that its queries of that project alone are refused; an administrator is
/// told why.
#[utoipa::path(get, path = "/v1/sites/{site}/trino-security-mapping", tag = "sites",
    operation_id = "get_trino_security_mapping",
    params(("site" = String, Path, description = "Name of the site"), MappingQuery),
    responses((status = 200, description = "The keys", body = SecurityMappings)),
    security(("token" = ["admin", "all_projects"]), ("engine" = [])))]
pub(crate) async fn get(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<MappingQuery>,
) -> Answer<Response> {
    let none = |project: &str| ApiError::not_found("project", project);
    let asked = query.project.as_deref();
    let within = caller.within(asked).map_err(|_| none(asked.unwrap_or_default()))?;
    let site = api.catalog().site(&name).await?;
    let site = site.ok_or_else(|| ApiError::not_found("site", &name))?;
    let projects = match &within {
        Some(name) => {
            let project = api.catalog().project(name).await?;
            vec![project.ok_or_else(|| none(name))?]
        }
        None => api.catalog().projects().await?,
    };
    let Some(secrets) = &api.options.secrets else {
        return Err(ApiError::unavailable("this process has no secrets"));
    };
    let stores = api.catalog().stores().await?;
    let mut mappings = Vec::new();
    for project in &projects {
        match mapping(secrets.as_ref(), project, &site, &stores) {
            Ok(found) => mappings.extend(found),
            Err(_) if caller.role == Role::Engine => {}
            Err(error) => return Err(error),
        }
    }
    let answer = Json(SecurityMappings { mappings });
    Ok(([(CACHE_CONTROL, "no-store")], Extension(Secret), answer).into_response())
}

fn mapping(
    secrets: &dyn Secrets,
    project: &Project,
    site: &Site,
    stores: &[StoreRecord],
) -> Answer<Option<SecurityMapping>> {
    let refused = |why: &str| {
        let (project, site) = (project.name.as_str(), site.name.as_str());
        tracing::warn!(project, site, "keys cannot be served to engines: {why}");
        let error = ApiError::not_now(why);
        error.with("project", project).with("site", site)
    };
    let reading = match reading(project, site, stores) {
        Ok(None) => return Ok(None),
        Ok(Some(reading)) => reading,
        // It was right when it was named: the store or the site was changed since.
        Err(CatalogError::Invalid(why)) => return Err(refused(&why)),
        Err(error) => return Err(error.into()),
    };
    let store = reading.store;
    let unfit = |option: &str, why: &str| {
        let (project, site, store) = (&project.name, &site.name, store.name.as_str());
        let why = format!("readers of the project {project} at the site {site}: {why}");
        refused(&why).with("store", store).with("option", option)
    };
    let has = |names: &[&'static str]| {
        names.iter().copied().find(|name| store.options.contains_key(*name))
    };
    if let Some(option) = has(&SESSION) {
        let why = format!("the store {} has {option}, which Trino's mapping lacks", store.name);
        return Err(unfit(option, &why));
    }
    let optional = |names: &[&'static str]| -> Answer<Option<String>> {
        let Some(option) = has(names) else { return Ok(None) };
        secrets.option(store, option).map(Some).map_err(|error| unfit(option, &error.message))
    };
    let needed = |names: [&'static str; 2]| {
        optional(&names)?.ok_or_else(|| {
            let [option, _] = names;
            unfit(option, &format!("the store {} has no {option}", store.name))
        })
    };
    Ok(Some(SecurityMapping {
        access_key: needed(ACCESS_KEY)?,
        secret_key: needed(SECRET_KEY)?,
        endpoint: optional(&ENDPOINT)?,
        region: optional(&REGION)?,
        prefix: reading.prefix,
    }))
}
