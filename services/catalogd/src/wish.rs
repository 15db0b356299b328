//! What a person asks of a table: pause, resume, sync, resync; and what would come next.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use driftless_catalog::transition::{Desired, Wish};
use driftless_catalog::{NewOperation, Operation, OperationKind, Table};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::body::Body;
use crate::error::{Answer, ApiError};
use crate::etag::Expect;
use crate::registration::{no_inspector, not_inspected};
use crate::table::{self, TableView};
use crate::{Service, operation};

/// What is to be begun anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResyncRequest {
    /// At this site only; left out = at all.
    #[serde(default)]
    site: Option<String>,
    /// Must be `true`: every byte is copied again, and readers move to a new location.
    accept: bool,
}

async fn wish(
    (api, caller): (&Service, &Caller),
    text: &str,
    expect: &Expect,
    wish: Wish,
) -> Answer<Response> {
    let found = table::find(api, caller, text).await?;
    let expect = expect.revision(Some(&table::tag(api, &found, caller)))?;
    let changed = api.catalog().wish(&found.name, wish, expect, api.now_ms()).await?;
    Ok(table::shown(api, &changed, caller))
}

/// Pause a table
///
/// Its replicas stay readable; its lag goes on growing.
#[utoipa::path(post, path = "/v1/tables/{table}/pause", tag = "tables",
    operation_id = "pause_table",
    params(("table" = String, Path, description = "Name or id of the table")),
    responses((status = 200, description = "The table", body = TableView)),
    security(("token" = ["operator"])))]
pub(crate) async fn pause(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    expect: Expect,
) -> Answer<Response> {
    wish((&api, &caller), &text, &expect, Wish::Pause).await
}

/// Resume a table
#[utoipa::path(post, path = "/v1/tables/{table}/resume", tag = "tables",
    operation_id = "resume_table",
    params(("table" = String, Path, description = "Name or id of the table")),
    responses((status = 200, description = "The table", body = TableView)),
    security(("token" = ["operator"])))]
pub(crate) async fn resume(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    expect: Expect,
) -> Answer<Response> {
    wish((&api, &caller), &text, &expect, Wish::Resume).await
}

async fn begin(
    (api, caller): (&Service, &Caller),
    table: &Table,
    (kind, request): (OperationKind, serde_json::Value),
) -> Answer<Response> {
    if table.desired != Desired::Active {
        return Err(ApiError::not_now(format!("{kind} a table that is {}", table.desired)));
    }
    let new = NewOperation {
        kind,
        table_id: Some(table.id.clone()),
        resource: table.name.to_string(),
        request,
        actor: caller.name.clone(),
    };
    operation::begin(api, &new).await
}

/// Bring a table into step now
#[utoipa::path(post, path = "/v1/tables/{table}/sync", tag = "tables",
    operation_id = "sync_table",
    params(("table" = String, Path, description = "Name or id of the table")),
    responses((status = 202, description = "The operation", body = Operation)),
    security(("token" = ["operator"])))]
pub(crate) async fn sync(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    expect: Expect,
) -> Answer<Response> {
    let found = table::find(&api, &caller, &text).await?;
    expect.revision(Some(&table::tag(&api, &found, &caller)))?;
    begin((&api, &caller), &found, (OperationKind::Sync, serde_json::json!({}))).await
}

/// Begin a table's replicas anew, at new locations
///
/// Readers are shown the old locations until the new ones hold all that the source has; from then
/// on the old ones stay for seven days, so that running queries come to their end.
#[utoipa::path(post, path = "/v1/tables/{table}/resync", tag = "tables",
    operation_id = "resync_table",
    params(("table" = String, Path, description = "Name or id of the table")),
    request_body = ResyncRequest,
    responses((status = 202, description = "The operation", body = Operation)),
    security(("token" = ["operator"])))]
pub(crate) async fn resync(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    expect: Expect,
    Body(request): Body<ResyncRequest>,
) -> Answer<Response> {
    let found = table::find(&api, &caller, &text).await?;
    expect.revision(Some(&table::tag(&api, &found, &caller)))?;
    if !request.accept {
        let message = "send accept: true: every byte is copied again, and readers move to a new \
                       location";
        return Err(ApiError::invalid(message).with("field", "accept"));
    }
    let published = |site: &String| found.replicas.iter().any(|replica| replica.site == *site);
    if let Some(site) = request.site.as_ref().filter(|site| !published(site)) {
        return Err(ApiError::invalid(format!("{} is not published at {site}", found.name)));
    }
    let request = serde_json::json!({ "site": request.site });
    begin((&api, &caller), &found, (OperationKind::Resync, request)).await
}

/// Show what would be published next
#[utoipa::path(get, path = "/v1/tables/{table}/plan", tag = "tables", operation_id = "plan_table",
    params(("table" = String, Path, description = "Name or id of the table")),
    responses((status = 200, description = "The plan, per site", body = Object)),
    security(("token" = ["reader"])))]
pub(crate) async fn plan(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Answer<Response> {
    let found = table::find(&api, &caller, &text).await?;
    let inspector = api.options.inspector.as_ref().ok_or_else(no_inspector)?;
    let plan = inspector.plan(&found).await.map_err(not_inspected)?;
    Ok(Json(plan).into_response())
}
