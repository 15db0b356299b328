//! Stores: named places whose options the daemon takes from its environment or its secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::{Extension, Json};
use driftless_catalog::{OptionValue, StoreRecord, check_label};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Service;
use crate::auth::Caller;
use crate::body::{Body, check_region};
use crate::error::{Answer, ApiError};
use crate::etag::{Expect, Tag};
use crate::page::Page;
use crate::place::{Place, Scheme};

/// Options of one store.
const OPTIONS_MAX: usize = 64;

/// Projects that one store names.
const PROJECTS_MAX: usize = 1_000;

/// What environment variables must begin with: the daemon's other secrets are out of reach.
const ENV_PREFIX: &str = "DRIFTLESS_STORE_";

/// Words in the names of options whose values are secrets, or name a person.
const CREDENTIAL_WORDS: [&str; 9] = [
    "key",
    "token",
    "secret",
    "credential",
    "password",
    "sas",
    "client_id",
    "service_account",
    "authorization",
];

/// A store. A token of one project sees its name only.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Store {
    /// Name; unique.
    name: String,
    /// Root below which tables lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Where it is, for residency and for people.
    region: Option<String>,
    /// Options as `object_store` names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<BTreeMap<String, OptionValue>>,
    /// Projects whose tables may use it; none = all.
    #[serde(skip_serializing_if = "Option::is_none")]
    projects: Option<Vec<String>>,
    /// Grows with each change.
    revision: i64,
    /// When it was made.
    created_ms: i64,
}

impl Store {
    fn of(record: StoreRecord, caller: &Caller) -> Self {
        let whole = caller.project.is_none();
        Self {
            name: record.name,
            url: whole.then_some(record.url),
            region: record.region,
            options: whole.then_some(record.options),
            projects: whole.then_some(record.projects),
            revision: record.revision,
            created_ms: record.created_ms,
        }
    }
}

fn tag(record: &StoreRecord, caller: &Caller) -> Tag {
    let thing = ["store", &record.name, &record.created_ms.to_string()];
    Tag::new(&thing, record.revision, &[&caller.shape()])
}

/// A store to be made or changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreRequest {
    /// Root below which tables lie: `s3`, `gs`, `az`, `abfss` or, where this is allowed, `file`.
    #[schema(max_length = 4096)]
    url: String,
    /// Where it is, for residency and for people.
    #[serde(default)]
    #[schema(max_length = 128)]
    region: Option<String>,
    /// Options as `object_store` names them. What looks like a credential is given as
    /// `{"env": "DRIFTLESS_STORE_..."}` or `{"file": "NAME"}`.
    #[serde(default)]
    options: BTreeMap<String, OptionValue>,
    /// Projects whose tables may use it, as a source and through sites; none = all. Tables that
    /// are registered already stay.
    #[serde(default)]
    #[schema(max_items = 1000)]
    projects: Vec<String>,
}

/// A page of stores.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoreList {
    /// By name.
    stores: Vec<Store>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// Which stores are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StoreQuery {
    /// Items of a page.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<u32>,
    /// Of the page before.
    page_token: Option<String>,
}

/// List stores
#[utoipa::path(get, path = "/v1/stores", tag = "stores", operation_id = "list_stores",
    params(StoreQuery), responses((status = 200, description = "Stores", body = StoreList)),
    security(("token" = ["reader"])))]
pub(crate) async fn list(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<StoreQuery>,
) -> Answer<Json<StoreList>> {
    let asked = (query.page_size, query.page_token.as_deref());
    let page = Page::open(&api, ("stores", &()), asked)?;
    let (records, next_page_token) = page.of(api.catalog().stores().await?, |store| &store.name);
    let stores = records.into_iter().map(|record| Store::of(record, &caller)).collect();
    Ok(Json(StoreList { stores, next_page_token }))
}

/// The revision that a change is meant for.
async fn meant(
    (api, caller): (&Service, &Caller),
    name: &str,
    expect: &Expect,
) -> Answer<Option<i64>> {
    let there = api.catalog().store(name).await?;
    expect.revision(there.map(|record| tag(&record, caller)).as_ref())
}

/// Get a store
#[utoipa::path(get, path = "/v1/stores/{store}", tag = "stores", operation_id = "get_store",
    params(("store" = String, Path, description = "Name of the store")),
    responses((status = 200, description = "The store", body = Store)),
    security(("token" = ["reader"])))]
pub(crate) async fn get(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer<Response> {
    let record = api.catalog().store(&name).await?;
    let record = record.ok_or_else(|| ApiError::not_found("store", &name))?;
    Ok(tag(&record, &caller).on(Json(Store::of(record, &caller))))
}

/// Make or change a store
#[utoipa::path(put, path = "/v1/stores/{store}", tag = "stores", operation_id = "put_store",
    params(("store" = String, Path, description = "Name of the store")),
    request_body = StoreRequest,
    responses(
        (status = 200, description = "It was changed", body = Store),
        (status = 201, description = "It was made", body = Store)),
    security(("token" = ["admin", "all_projects"])))]
pub(crate) async fn put(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    expect: Expect,
    Body(request): Body<StoreRequest>,
) -> Answer<Response> {
    check_label("store", &name).map_err(|error| ApiError::invalid(error.to_string()))?;
    check_url(&api, &request.url)?;
    check_options(&request.options)?;
    check_region(request.region.as_deref())?;
    check_projects(&api, &request.projects).await?;
    let expect = meant((&api, &caller), &name, &expect).await?;
    let StoreRequest { url, region, options, projects } = request;
    let (revision, created_ms) = (0, 0);
    let record = StoreRecord { name, url, region, options, projects, revision, created_ms };
    let record = api.catalog().put_store(&record, expect, api.now_ms()).await?;
    Ok(tag(&record, &caller).on_put(Json(Store::of(record, &caller))))
}

/// Remove a store
///
/// One that a site, a table or the readers of a project name stays.
#[utoipa::path(delete, path = "/v1/stores/{store}", tag = "stores", operation_id = "delete_store",
    params(("store" = String, Path, description = "Name of the store")),
    responses((status = 204, description = "It is gone")),
    security(("token" = ["admin", "all_projects"])))]
pub(crate) async fn delete(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    expect: Expect,
) -> Answer<StatusCode> {
    let expect = meant((&api, &caller), &name, &expect).await?;
    api.catalog().remove_store(&name, expect).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Checks a URL; files where the service allows them.
pub(crate) fn check_url(api: &Service, url: &str) -> Answer<Place> {
    let refused = |why: String| ApiError::invalid(format!("url: {why}")).with("field", "url");
    let place = Place::parse(url).map_err(refused)?;
    let path = format!("/{}", place.path);
    if place.scheme == Scheme::File && !(api.options.allow_files)(std::path::Path::new(&path)) {
        return Err(refused("this folder of the service's machine may not be used; start the service with --allow-files, or name an object store".to_owned()));
    }
    Ok(place)
}

async fn check_projects(api: &Service, projects: &[String]) -> Answer<()> {
    let refused = |why: String| ApiError::invalid(format!("projects: {why}"));
    if projects.len() > PROJECTS_MAX {
        return Err(refused(format!("name {PROJECTS_MAX} at most")));
    }
    for project in projects {
        if api.catalog().project(project).await?.is_none() {
            return Err(refused(format!("there is no project {project}")).with("field", "projects"));
        }
    }
    Ok(())
}

fn check_options(options: &BTreeMap<String, OptionValue>) -> Answer<()> {
    if options.len() > OPTIONS_MAX {
        let message = format!("options has {} entries: use {OPTIONS_MAX} at most", options.len());
        return Err(ApiError::invalid(message));
    }
    options.iter().try_for_each(|(name, value)| {
        check_option(name, value).map_err(|why| {
            ApiError::invalid(format!("options.{name}: {why}")).with("option", name.as_str())
        })
    })
}

fn check_option(name: &str, value: &OptionValue) -> Result<(), String> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > 128 || !name.bytes().all(known) {
        return Err("use lower-case letters, digits and _ in the name of an option".to_owned());
    }
    match value {
        OptionValue::Env(from) => {
            let rest = from.env.strip_prefix(ENV_PREFIX).unwrap_or_default();
            let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            match !rest.is_empty() && rest.bytes().all(known) {
                true => Ok(()),
                false => Err(format!("env names a variable that begins with {ENV_PREFIX}")),
            }
        }
        OptionValue::File(from) => {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            let plain =
                from.file.bytes().all(known) && !matches!(from.file.as_str(), "" | "." | "..");
            match plain {
                true => Ok(()),
                false => Err("file is the name of a file, without a folder".to_owned()),
            }
        }
        OptionValue::Text(_) if CREDENTIAL_WORDS.iter().any(|word| name.contains(word)) => {
            let way = format!("{{\"env\": \"{ENV_PREFIX}...\"}} or {{\"file\": \"NAME\"}}");
            Err(format!("looks like a credential, which the catalog does not keep: give {way}"))
        }
        OptionValue::Text(text) => check_text(text),
    }
}

/// A value that needs no secret name can still hold one, as the user of a URL.
fn check_text(text: &str) -> Result<(), String> {
    let authority = text.split_once("://").map(|(_, rest)| rest.split('/').next());
    match authority.flatten().is_some_and(|authority| authority.contains('@')) {
        true => Err("leave user and password out of the URL".to_owned()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, json: &str, expect: bool) {
        let value = serde_json::from_str(json).unwrap();
        assert_eq!(check_option(name, &value).is_ok(), expect, "{name} {json}");
    }

    #[test]
    fn credentials_are_named_not_given() {
        check("aws_region", r#""eu-west-1""#, true);
        check("aws_endpoint", r#""http://127.0.0.1:9000""#, true);
        check("aws_endpoint", r#""http://user:word@127.0.0.1:9000""#, false);
        for name in ["aws_secret_access_key", "aws_access_key_id", "azure_storage_sas_token"] {
            check(name, r#""plain""#, false);
            check(name, r#"{"env":"DRIFTLESS_STORE_KEY"}"#, true);
            check(name, r#"{"file":"vast-key"}"#, true);
        }
        check("aws_access_key_id", r#"{"env":"PATH"}"#, false);
        check("aws_access_key_id", r#"{"env":"DRIFTLESS_STORE_"}"#, false);
        check("aws_access_key_id", r#"{"env":"DRIFTLESS_STORE_A=B"}"#, false);
        for file in ["", ".", "..", "a/b", "../a", "/etc/passwd", "a\\\\b"] {
            check("aws_access_key_id", &format!(r#"{{"file":"{file}"}}"#), false);
        }
        check("AWS_REGION", r#""x""#, false);
    }
}
