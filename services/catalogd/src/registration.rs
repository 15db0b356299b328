//! Registering a table, and forgetting it.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use driftless_catalog::transition::Wish;
use driftless_catalog::{
    CatalogError, NewOperation, NewTable, OperationKind, Policy, Site, Table, TableName,
    check_stores,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::body::Body;
use crate::error::{Answer, ApiError};
use crate::etag::Expect;
use crate::inspect::{InspectError, Inspection};
use crate::operation;
use crate::place::{Place, Stores};
use crate::store::check_url;
use crate::{Service, table};

/// Sites of one table.
const SITES_MAX: usize = 64;

/// How long a confirmation is good.
const CONFIRM_MS: i64 = 10 * 60 * 1_000;

/// How long replicas stay after their table was forgotten, in seconds: a week.
const GRACE_SECONDS: u64 = 7 * 24 * 60 * 60;

/// Longest grace, in seconds: ten years.
const GRACE_SECONDS_MAX: u64 = 10 * 365 * 24 * 60 * 60;

/// A table to be registered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableRequest {
    /// `project.namespace.table`. The namespace is made where it is missing.
    #[schema(value_type = TableName)]
    name: String,
    /// Where it is: a URL, or `STORE:path`.
    #[schema(max_length = 4096)]
    source: String,
    /// Names of the sites that publish it.
    #[schema(min_items = 1, max_items = 64)]
    sites: Vec<String>,
    /// How it is to be kept in step.
    #[serde(default)]
    policy: Option<Policy>,
    /// To be left alone at first.
    #[serde(default)]
    paused: bool,
}

/// How a registration is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RegisterQuery {
    /// Looks at the table and changes nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What a registration would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DryRun {
    /// What is at the source, and whether it can be replicated.
    inspection: Inspection,
    /// Where replicas would be. A location that was used before is not used again: another
    /// incarnation takes its place.
    replicas: Vec<Located>,
}

/// Where a replica is, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Located {
    /// The site.
    site: String,
    /// A URL, or `STORE:path`.
    location: String,
}

/// Register a table
///
/// With `dry_run=true` the answer is 200, tells what is at the source, and nothing is changed.
#[utoipa::path(post, path = "/v1/tables", tag = "tables", operation_id = "register_table",
    params(RegisterQuery), request_body = TableRequest,
    responses(
        (status = 200, description = "What would be registered", body = DryRun),
        (status = 201, description = "The table", body = table::TableView)),
    security(("token" = ["operator"])))]
pub(crate) async fn register(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<RegisterQuery>,
    expect: Expect,
    Body(request): Body<TableRequest>,
) -> Answer<Response> {
    expect.revision(None)?;
    let TableRequest { name, source, sites, policy, paused } = request;
    let name = TableName::parse(&name).map_err(|error| ApiError::invalid(error.to_string()))?;
    if !caller.sees(name.project()) {
        return Err(ApiError::not_found("project", name.project()));
    }
    let policy = policy.unwrap_or_default();
    policy.check().map_err(ApiError::invalid)?;
    let sites = named(&api, &sites).await?;
    check_places(&api, &name, &source, &sites).await?;
    check_uses(&api, &name, &policy.places(&source), &sites).await?;
    if query.dry_run {
        return dry_run(&api, &name, (&source, &sites, &policy)).await;
    }
    let sites = sites.into_iter().map(|site| site.name).collect();
    let new = NewTable { name, source, policy, sites, rule: None, paused };
    let registered = api.catalog().register(&new, api.now_ms()).await?;
    api.feed.forget();
    let location = format!("/v1/tables/{}", registered.name);
    let answer = table::shown(&api, &registered, &caller);
    Ok((StatusCode::CREATED, [(http::header::LOCATION, location)], answer).into_response())
}

async fn named(api: &Service, names: &[String]) -> Answer<Vec<Site>> {
    if !(1..=SITES_MAX).contains(&names.len()) {
        return Err(ApiError::invalid(format!("sites: name 1 to {SITES_MAX}")));
    }
    let all = api.catalog().sites().await?;
    let mut sites: Vec<Site> = Vec::with_capacity(names.len());
    for name in names {
        let site = all.iter().find(|site| site.name == *name);
        let site = site.ok_or_else(|| ApiError::invalid(format!("there is no site {name}")))?;
        if sites.iter().any(|other| other.name == *name) {
            return Err(ApiError::invalid(format!("sites: {name} is named twice")));
        }
        sites.push(site.clone());
    }
    Ok(sites)
}

/// Refuses a source that cannot be one, and one that a replica of its own would lie in.
async fn check_places(api: &Service, name: &TableName, source: &str, sites: &[Site]) -> Answer<()> {
    let stores = Stores::of(api.catalog().stores().await?);
    if source.contains("://") {
        check_url(api, source)?;
    }
    let refused = |why| ApiError::invalid(format!("source: {why}")).with("field", "source");
    let place = Place::resolve(source, &stores).map_err(refused)?;
    for site in sites {
        let location = site.place(&name.folder(1));
        let overlaps = |replica: Place| replica.overlaps(&place);
        if Place::resolve(&location, &stores).is_ok_and(overlaps) {
            return Err(refused(format!(
                "the replica at {} would lie in it: {location}",
                site.name
            )));
        }
    }
    Ok(())
}

/// Refuses stores that the table's project may not use.
async fn check_uses(
    api: &Service,
    name: &TableName,
    places: &[&str],
    sites: &[Site],
) -> Answer<()> {
    let sites = sites.iter().map(|site| site.url.as_str());
    let all: Vec<_> = places.iter().copied().chain(sites).collect();
    Ok(check_stores(&api.catalog().stores().await?, name.project(), &all)?)
}

async fn dry_run(
    api: &Service,
    name: &TableName,
    (source, sites, policy): (&str, &[Site], &Policy),
) -> Answer<Response> {
    match api.catalog().table(name).await {
        Ok(_) => return Err(CatalogError::Exists { of: "table", name: name.to_string() }.into()),
        Err(CatalogError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    if api.catalog().project(name.project()).await?.is_none() {
        return Err(ApiError::not_found("project", name.project()));
    }
    let inspector = api.options.inspector.as_ref().ok_or_else(no_inspector)?;
    let inspection = inspector.inspect(source, sites, policy).await.map_err(not_inspected)?;
    let located =
        |site: &Site| Located { site: site.name.clone(), location: site.place(&name.folder(1)) };
    Ok(Json(DryRun { inspection, replicas: sites.iter().map(located).collect() }).into_response())
}

/// This process cannot open tables.
pub(crate) fn no_inspector() -> ApiError {
    ApiError::unavailable("this process does not open tables: ask one that does")
}

/// A table could not be looked at.
pub(crate) fn not_inspected(error: InspectError) -> ApiError {
    let refusal = match error.transient {
        true => ApiError::unavailable(error.message),
        false => ApiError::invalid(error.message),
    };
    refusal.with("reason", error.code)
}

/// What becomes of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    /// They stay where they are.
    Keep,
    /// They are deleted after the grace.
    Delete,
}

/// How a table is to be forgotten.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct UnregisterQuery {
    /// What becomes of the replicas: `keep` where it is left out.
    #[param(inline)]
    replicas: Option<Fate>,
    /// Tells what would be deleted, and gives the confirmation for it; changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// The confirmation of a dry run, good for ten minutes; needed to delete replicas.
    confirm: Option<String>,
    /// How long replicas stay before they are deleted, in seconds: a week where it is left out.
    #[param(minimum = 0, maximum = 315_360_000)]
    grace_seconds: Option<u64>,
}

/// What forgetting a table would delete.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deletion {
    /// Where replicas would be deleted.
    locations: Vec<Located>,
    /// To be sent as `confirm`; `null` where nothing would be deleted.
    confirm: Option<String>,
}

/// Forget a table
///
/// Its replicas stay readable. To delete them as well, ask with `replicas=delete&dry_run=true`
/// what that means, then send the same with `confirm`. They are deleted after the grace, so that
/// running queries come to their end. Engines that cache locations (Spark does until `REFRESH
/// TABLE`) read there until then.
#[utoipa::path(delete, path = "/v1/tables/{table}", tag = "tables",
    operation_id = "unregister_table",
    params(("table" = String, Path, description = "Name or id of the table"), UnregisterQuery),
    responses(
        (status = 200, description = "What would be deleted", body = Deletion),
        (status = 202, description = "The operation", body = driftless_catalog::Operation)),
    security(("token" = ["operator"])))]
pub(crate) async fn unregister(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Query(query): Query<UnregisterQuery>,
    expect: Expect,
) -> Answer<Response> {
    let found = table::find(&api, &caller, &text).await?;
    let expect = expect.revision(Some(&table::tag(&api, &found, &caller)))?;
    let delete = query.replicas == Some(Fate::Delete);
    let grace = query.grace_seconds.unwrap_or(GRACE_SECONDS);
    if grace > GRACE_SECONDS_MAX {
        let message = format!("grace_seconds is {grace}: use {GRACE_SECONDS_MAX} at most");
        return Err(ApiError::malformed(message));
    }
    if query.dry_run {
        return Ok(Json(deletion(&api, &found, delete)).into_response());
    }
    if delete {
        check_confirmation(&api, &found, query.confirm.as_deref())?;
    }
    api.catalog().wish(&found.name, Wish::Unregister, expect, api.now_ms()).await?;
    let replicas = if delete { Fate::Delete } else { Fate::Keep };
    let new = NewOperation {
        kind: OperationKind::Unregister,
        table_id: Some(found.id.clone()),
        resource: found.name.to_string(),
        request: serde_json::json!({ "replicas": replicas, "grace_seconds": grace }),
        actor: caller.name.clone(),
    };
    api.feed.forget();
    operation::begin(&api, &new).await
}

fn deletion(api: &Service, table: &Table, delete: bool) -> Deletion {
    if !delete {
        return Deletion { locations: Vec::new(), confirm: None };
    }
    let located = |replica: &driftless_catalog::Replica| {
        let at =
            |location: &str| Located { site: replica.site.clone(), location: location.to_owned() };
        replica.locations().map(at).collect::<Vec<_>>()
    };
    let locations = table.replicas.iter().flat_map(located).collect();
    Deletion { locations, confirm: Some(confirmation(api, table)) }
}

/// A confirmation: when it ends, and a signature over that, the table and its revision.
fn confirmation(api: &Service, table: &Table) -> String {
    let end = api.now_ms().saturating_add(CONFIRM_MS).to_be_bytes();
    let revision = table.revision.to_be_bytes();
    let mut sealed = end.to_vec();
    sealed.extend(api.sign(&[b"unregister", table.id.as_bytes(), &revision, &end]));
    URL_SAFE_NO_PAD.encode(sealed)
}

fn check_confirmation(api: &Service, table: &Table, confirm: Option<&str>) -> Answer<()> {
    let refused = || {
        let message = "to delete replicas, ask with dry_run=true first and send its confirm; it \
                       is good for ten minutes, and until the table is changed";
        ApiError::invalid(message).with("parameter", "confirm")
    };
    let sealed = URL_SAFE_NO_PAD.decode(confirm.ok_or_else(refused)?).map_err(|_| refused())?;
    let (end, mac) = sealed.split_first_chunk::<8>().ok_or_else(refused)?;
    let revision = table.revision.to_be_bytes();
    let good = api.verifies(&[b"unregister", table.id.as_bytes(), &revision, end], mac);
    match good && i64::from_be_bytes(*end) > api.now_ms() {
        true => Ok(()),
        false => Err(refused()),
    }
}
