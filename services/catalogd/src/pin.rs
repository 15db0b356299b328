//! Pins: versions that are kept readable for a name.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use driftless_catalog::{Pin, PositionSchema, check_label};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use table_sync_core::Position;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::body::Body;
use crate::error::{Answer, ApiError};
use crate::etag::Expect;
use crate::page::Page;
use crate::{Service, table};

/// A version to be kept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinRequest {
    /// The position.
    #[schema(value_type = PositionSchema)]
    position: Position,
}

/// A page of pins.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PinList {
    /// By name.
    pins: Vec<Pin>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// Which pins are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PinQuery {
    /// Items of a page.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<u32>,
    /// Of the page before.
    page_token: Option<String>,
}

/// List the pins of a table
#[utoipa::path(get, path = "/v1/tables/{table}/pins", tag = "versions",
    operation_id = "list_pins",
    params(("table" = String, Path, description = "Name or id of the table"), PinQuery),
    responses((status = 200, description = "Pins", body = PinList)),
    security(("token" = ["reader"])))]
pub(crate) async fn list(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Query(query): Query<PinQuery>,
) -> Answer<Json<PinList>> {
    let found = table::find(&api, &caller, &text).await?;
    let asked = (query.page_size, query.page_token.as_deref());
    let page = Page::open(&api, ("pins", &found.id), asked)?;
    let (pins, next_page_token) = page.of(api.catalog().pins(&found.id).await?, |pin| &pin.name);
    Ok(Json(PinList { pins, next_page_token }))
}

/// Keep a version readable
///
/// The same name is moved. `If-Match` takes the table's tag.
#[utoipa::path(put, path = "/v1/tables/{table}/pins/{pin}", tag = "versions",
    operation_id = "put_pin",
    params(
        ("table" = String, Path, description = "Name or id of the table"),
        ("pin" = String, Path, description = "Name of the pin")),
    request_body = PinRequest,
    responses((status = 200, description = "The pin", body = Pin)),
    security(("token" = ["operator"])))]
pub(crate) async fn put(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path((text, name)): Path<(String, String)>,
    expect: Expect,
    Body(PinRequest { position }): Body<PinRequest>,
) -> Answer<Json<Pin>> {
    check_label("pin", &name).map_err(|error| ApiError::invalid(error.to_string()))?;
    let found = table::find(&api, &caller, &text).await?;
    let expect = expect.revision(Some(&table::tag(&api, &found, &caller)))?;
    let pin = Pin { name, position, created_ms: api.now_ms() };
    api.catalog().pin(&found.name, &pin, expect).await?;
    let kept = api.catalog().pins(&found.id).await?.into_iter().find(|kept| kept.name == pin.name);
    Ok(Json(kept.unwrap_or(pin)))
}

/// Take a pin away
///
/// `If-Match` takes the table's tag.
#[utoipa::path(delete, path = "/v1/tables/{table}/pins/{pin}", tag = "versions",
    operation_id = "delete_pin",
    params(
        ("table" = String, Path, description = "Name or id of the table"),
        ("pin" = String, Path, description = "Name of the pin")),
    responses((status = 204, description = "It is gone")),
    security(("token" = ["operator"])))]
pub(crate) async fn delete(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path((text, name)): Path<(String, String)>,
    expect: Expect,
) -> Answer<StatusCode> {
    let found = table::find(&api, &caller, &text).await?;
    let expect = expect.revision(Some(&table::tag(&api, &found, &caller)))?;
    api.catalog().unpin(&found.name, &name, expect).await?;
    Ok(StatusCode::NO_CONTENT)
}
