//! Alerts that go on.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use driftless_catalog::Alert;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Service;
use crate::auth::Caller;
use crate::error::Answer;
use crate::page::Page;

/// A page of alerts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlertList {
    /// The oldest first.
    alerts: Vec<Alert>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// Which alerts are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AlertQuery {
    /// About this project.
    project: Option<String>,
    /// Items of a page.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<u32>,
    /// Of the page before.
    page_token: Option<String>,
}

/// List the alerts that go on
#[utoipa::path(get, path = "/v1/alerts", tag = "alerts", operation_id = "list_alerts",
    params(AlertQuery), responses((status = 200, description = "Alerts", body = AlertList)),
    security(("token" = ["reader"])))]
pub(crate) async fn list(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<AlertQuery>,
) -> Answer<Json<AlertList>> {
    let Ok(project) = caller.within(query.project.as_deref()) else {
        return Ok(Json(AlertList { alerts: Vec::new(), next_page_token: None }));
    };
    let asked = (query.page_size, query.page_token.as_deref());
    let page = Page::<(i64, String)>::open(&api, ("alerts", &project), asked)?;
    let key = |alert: &Alert| (alert.starts_ms, alert.fingerprint.clone());
    let wanted = |alert: &Alert| {
        let about = project.is_none() || alert.project == project;
        about && page.cursor().is_none_or(|last| key(alert) > *last)
    };
    let all = api.catalog().active_alerts().await?;
    let mut alerts: Vec<_> = all.into_iter().filter(wanted).take(page.size() + 1).collect();
    let next_page_token = page.cut(&mut alerts, key);
    Ok(Json(AlertList { alerts, next_page_token }))
}
