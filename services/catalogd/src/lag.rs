//! Lag: tables and sites, the longest wait first.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use driftless_catalog::TableName;
use driftless_catalog::status::Status;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Service;
use crate::auth::Caller;
use crate::error::Answer;
use crate::page::Page;
use crate::table::{SiteView, circumstances};

/// A table at a site, and how late it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LagRow {
    /// The table's name.
    table: TableName,
    /// Its id.
    table_id: String,
    /// The site.
    site: String,
    /// What the table is doing there.
    status: Status,
    /// Age of the oldest commit that is not published, in seconds; `null` = not known.
    lag_seconds: Option<f64>,
    /// The lag that is late, in seconds.
    lag_target_seconds: u64,
    /// Commits not yet published.
    pending_versions: Option<i64>,
    /// Their bytes.
    pending_bytes: Option<i64>,
    /// When the oldest of them was committed.
    oldest_pending_ms: Option<i64>,
    /// Time until the source may discard what is still needed; `null` = not known, or nothing is.
    headroom_seconds: Option<f64>,
}

/// A page of lags.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LagList {
    /// The longest first, those without pending commits last.
    lag: Vec<LagRow>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// Orders of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) enum Sort {
    /// The longest first.
    #[serde(rename = "-lag_seconds")]
    Longest,
}

/// Which lags are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LagQuery {
    /// The order; there is one.
    #[param(inline)]
    #[serde(rename = "sort")]
    _sort: Option<Sort>,
    /// Of tables of this project.
    project: Option<String>,
    /// Items of a page.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<u32>,
    /// Of the page before.
    page_token: Option<String>,
}

/// List tables and sites by lag
#[utoipa::path(get, path = "/v1/lag", tag = "lag", operation_id = "list_lag",
    params(LagQuery), responses((status = 200, description = "Lags", body = LagList)),
    security(("token" = ["reader"])))]
pub(crate) async fn list(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<LagQuery>,
) -> Answer<Json<LagList>> {
    let Ok(project) = caller.within(query.project.as_deref()) else {
        return Ok(Json(LagList { lag: Vec::new(), next_page_token: None }));
    };
    let asked = (query.page_size, query.page_token.as_deref());
    let page = Page::<(Option<i64>, String, String)>::open(&api, ("lag", &project), asked)?;
    let after = page.cursor().map(|(oldest, id, site)| (*oldest, id.as_str(), site.as_str()));
    let tables = api.catalog().by_lag(project.as_deref(), after, page.size() + 1).await?;
    let now_ms = api.now_ms();
    let mut lag = Vec::with_capacity(tables.len());
    for table in tables {
        let at = circumstances(&table, now_ms);
        for replica in &table.replicas {
            let view = SiteView::of(replica, &at);
            lag.push(LagRow {
                table: table.name.clone(),
                table_id: table.id.clone(),
                site: view.site,
                status: view.status,
                lag_seconds: view.lag_seconds,
                lag_target_seconds: table.policy.lag_target_seconds(),
                pending_versions: view.pending_versions,
                pending_bytes: view.pending_bytes,
                oldest_pending_ms: view.oldest_pending_ms,
                headroom_seconds: view.headroom_seconds,
            });
        }
    }
    let key = |row: &LagRow| (row.oldest_pending_ms, row.table_id.clone(), row.site.clone());
    let next_page_token = page.cut(&mut lag, key);
    Ok(Json(LagList { lag, next_page_token }))
}
