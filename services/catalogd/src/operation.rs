//! Operations: actions that take longer than a request.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use driftless_catalog::{NewOperation, Operation};
use http::StatusCode;
use http::header::LOCATION;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Service;
use crate::auth::Caller;
use crate::error::{Answer, ApiError};
use crate::etag::{Expect, Tag};
use crate::page::Page;

/// Operations that are read at once while a page is filled.
const BATCH: usize = 500;

/// Operations that are looked at for one page of one project.
const LOOKS_MAX: usize = 5_000;

/// A page of operations.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationList {
    /// The newest first. A page may be short, or empty, although more follow.
    operations: Vec<Operation>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// Which operations are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OperationQuery {
    /// About this table, by its name.
    table: Option<String>,
    /// Items of a page.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<u32>,
    /// Of the page before.
    page_token: Option<String>,
}

/// Begins an operation and answers with it.
pub(crate) async fn begin(api: &Service, new: &NewOperation) -> Answer<Response> {
    let operation = api.catalog().begin_operation(new, api.now_ms()).await?;
    let location = format!("/v1/operations/{}", operation.id);
    let answer = tag(&operation).on(Json(operation));
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], answer).into_response())
}

fn tag(operation: &Operation) -> Tag {
    let state = operation.state.as_str();
    let (progress, cancel) = (operation.progress.to_string(), operation.cancel.to_string());
    Tag::new(&["operation", &operation.id], operation.updated_ms, &[state, &progress, &cancel])
}

/// Whether the caller sees it: one of a table of its project.
fn sees(caller: &Caller, operation: &Operation) -> bool {
    let project = operation.resource.split('.').next().unwrap_or_default();
    caller.project.is_none() || (operation.table_id.is_some() && caller.sees(project))
}

/// List operations
#[utoipa::path(get, path = "/v1/operations", tag = "operations",
    operation_id = "list_operations", params(OperationQuery),
    responses((status = 200, description = "Operations", body = OperationList)),
    security(("token" = ["reader"])))]
pub(crate) async fn list(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<OperationQuery>,
) -> Answer<Json<OperationList>> {
    let OperationQuery { table, page_size, page_token } = query;
    let scope = (&table, &caller.project);
    let asked = (page_size, page_token.as_deref());
    let page = Page::<String>::open(&api, ("operations", &scope), asked)?;
    let wanted = |operation: &Operation| {
        let about = table.as_ref().is_none_or(|table| operation.resource == *table);
        about && sees(&caller, operation)
    };
    let mut last = page.cursor().cloned();
    let mut operations = Vec::new();
    let mut looks = 0;
    while looks < LOOKS_MAX {
        let found = api.catalog().operations(last.as_deref(), BATCH).await?;
        let ended = found.len() < BATCH;
        for operation in found {
            if operations.len() == page.size() {
                let next_page_token = last.as_ref().map(|id| page.token(id));
                return Ok(Json(OperationList { operations, next_page_token }));
            }
            looks += 1;
            last = Some(operation.id.clone());
            if wanted(&operation) {
                operations.push(operation);
            }
        }
        if ended {
            return Ok(Json(OperationList { operations, next_page_token: None }));
        }
    }
    let next_page_token = last.as_ref().map(|id| page.token(id));
    Ok(Json(OperationList { operations, next_page_token }))
}

async fn find(api: &Service, caller: &Caller, id: &str) -> Answer<Operation> {
    let operation = api.catalog().operation(id).await?;
    let missing = || ApiError::not_found("operation", id);
    if sees(caller, &operation) { Ok(operation) } else { Err(missing()) }
}

/// Get an operation
#[utoipa::path(get, path = "/v1/operations/{operation}", tag = "operations",
    operation_id = "get_operation",
    params(("operation" = String, Path, description = "The operation's id")),
    responses((status = 200, description = "The operation", body = Operation)),
    security(("token" = ["reader"])))]
pub(crate) async fn get(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Response> {
    let operation = find(&api, &caller, &id).await?;
    Ok(tag(&operation).on(Json(operation)))
}

/// Cancel an operation
///
/// One that nobody works on yet ends at once, another at its next safe point.
#[utoipa::path(post, path = "/v1/operations/{operation}/cancel", tag = "operations",
    operation_id = "cancel_operation",
    params(("operation" = String, Path, description = "The operation's id")),
    responses((status = 200, description = "The operation", body = Operation)),
    security(("token" = ["operator"])))]
pub(crate) async fn cancel(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    expect: Expect,
) -> Answer<Response> {
    let operation = find(&api, &caller, &id).await?;
    expect.revision(Some(&tag(&operation)))?;
    let operation = api.catalog().cancel(&id, api.now_ms()).await?;
    if operation.state.is_final() && !operation.cancel {
        return Err(ApiError::not_now(format!("the operation has ended: {}", operation.state)));
    }
    Ok(tag(&operation).on(Json(operation)))
}
