//! Events: what happened, in one order.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use driftless_catalog::{Event, EventFilter, Page as Part};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Service;
use crate::auth::Caller;
use crate::error::{Answer, ApiError};
use crate::page::Page;

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventList {
    /// Ascending with `after`, otherwise the newest first.
    events: Vec<Event>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// Which events are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventQuery {
    /// Those after this one, ascending.
    after: Option<i64>,
    /// Those before this one, descending.
    before: Option<i64>,
    /// About this table, by its name.
    table: Option<String>,
    /// Of this project.
    project: Option<String>,
    /// Items of a page.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<u32>,
    /// Of the page before.
    page_token: Option<String>,
}

/// List events
///
/// To follow them, use `/v1/watch`.
#[utoipa::path(get, path = "/v1/events", tag = "events", operation_id = "list_events",
    params(EventQuery), responses((status = 200, description = "Events", body = EventList)),
    security(("token" = ["reader"])))]
pub(crate) async fn list(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<EventQuery>,
) -> Answer<Json<EventList>> {
    let EventQuery { after, before, table, project, page_size, page_token } = query;
    let Ok(project) = caller.within(project.as_deref()) else {
        return Ok(Json(EventList { events: Vec::new(), next_page_token: None }));
    };
    let scope = (after, before, &table, &project);
    let asked = (page_size, page_token.as_deref());
    let page = Page::<i64>::open(&api, ("events", &scope), asked)?;
    let part = match (after, before) {
        (Some(_), Some(_)) => {
            return Err(ApiError::malformed("give after or before, not both"));
        }
        (Some(after), None) => Part::After(page.cursor().copied().unwrap_or(after)),
        (None, before) => Part::Before(page.cursor().copied().or(before).unwrap_or(i64::MAX)),
    };
    let filter = EventFilter { project, table };
    let mut events = api.catalog().events(&filter, part, page.size() + 1).await?;
    let next_page_token = page.cut(&mut events, |event| event.seq);
    Ok(Json(EventList { events, next_page_token }))
}
