//! The audit: who attempted to change what, and how it ended. The guard writes it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use driftless_catalog::AuditRecord;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Service;
use crate::error::Answer;
use crate::page::Page;

/// A page of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditList {
    /// The newest first.
    audit: Vec<AuditRecord>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// Which part of the audit is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Items of a page.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<u32>,
    /// Of the page before.
    page_token: Option<String>,
}

/// Read the audit
#[utoipa::path(get, path = "/v1/audit", tag = "audit", operation_id = "list_audit",
    params(AuditQuery), responses((status = 200, description = "Records", body = AuditList)),
    security(("token" = ["admin", "all_projects"])))]
pub(crate) async fn list(
    State(api): State<Arc<Service>>,
    Query(query): Query<AuditQuery>,
) -> Answer<Json<AuditList>> {
    let asked = (query.page_size, query.page_token.as_deref());
    let page = Page::<String>::open(&api, ("audit", &()), asked)?;
    let before = page.cursor().map(String::as_str);
    let mut audit = api.catalog().audit(before, page.size() + 1).await?;
    let next_page_token = page.cut(&mut audit, |record| record.id.clone());
    Ok(Json(AuditList { audit, next_page_token }))
}
