//! Published versions, with their receipts.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use driftless_catalog::{PositionSchema, Table, Version};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use table_sync_core::Position;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::error::{Answer, ApiError};
use crate::page::Page;
use crate::{Service, table};

/// A page of versions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionList {
    /// The site that published them.
    site: String,
    /// The newest first.
    versions: Vec<Version>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// Which versions are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct VersionQuery {
    /// Published at this site; needed where the table has several.
    site: Option<String>,
    /// Items of a page.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<u32>,
    /// Of the page before.
    page_token: Option<String>,
}

/// List the versions that a site has published
#[utoipa::path(get, path = "/v1/tables/{table}/versions", tag = "versions",
    operation_id = "list_versions",
    params(("table" = String, Path, description = "Name or id of the table"), VersionQuery),
    responses((status = 200, description = "Versions", body = VersionList)),
    security(("token" = ["reader"])))]
pub(crate) async fn list(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Query(query): Query<VersionQuery>,
) -> Answer<Json<VersionList>> {
    let found = table::find(&api, &caller, &text).await?;
    let site = site(&found, query.site)?;
    let asked = (query.page_size, query.page_token.as_deref());
    let page = Page::<i64>::open(&api, ("versions", &(&found.id, &site)), asked)?;
    let of = (found.id.as_str(), site.as_str());
    let mut versions = api.catalog().versions(of, page.cursor().copied(), page.size() + 1).await?;
    let next_page_token = page.cut(&mut versions, |version| version.ordinal);
    Ok(Json(VersionList { site, versions, next_page_token }))
}

fn site(table: &Table, asked: Option<String>) -> Answer<String> {
    let names: Vec<_> = table.replicas.iter().map(|replica| replica.site.clone()).collect();
    match (asked, names.as_slice()) {
        (Some(site), _) if names.contains(&site) => Ok(site),
        (Some(site), _) => Err(ApiError::not_found("replica at site", &site)),
        (None, [only]) => Ok(only.clone()),
        (None, _) => {
            let message = "the table has several sites: name one with the parameter site";
            Err(ApiError::malformed(message).with("parameter", "site").with("sites", names))
        }
    }
}

/// One version, as each site published it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionView {
    /// The position.
    #[schema(value_type = PositionSchema)]
    position: Position,
    /// Sites that have published it.
    sites: Vec<Receipt>,
    /// Sites of the table that have not.
    sites_missing: Vec<String>,
}

/// What one site has published.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Receipt {
    /// The site.
    site: String,
    /// The version as it was published there.
    receipt: Version,
    /// Why its `live_digest` could not be told, where it was asked for.
    unknown: Option<String>,
}

/// What is wanted of a version.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReceiptQuery {
    /// Also the digest of its live files at each site, as the log there says. It is worked out when
    /// it is asked for first, which takes as long as to read a snapshot's log, and kept.
    #[serde(default)]
    live_digest: bool,
}

/// Get a version, with its receipt from each site
#[utoipa::path(get, path = "/v1/tables/{table}/versions/{position}", tag = "versions",
    operation_id = "get_version",
    params(
        ("table" = String, Path, description = "Name or id of the table"),
        ("position" = String, Path, description = "A Delta version, or `COMPLETION_INSTANT`"),
        ReceiptQuery),
    responses((status = 200, description = "The version", body = VersionView)),
    security(("token" = ["reader"])))]
pub(crate) async fn get(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path((text, position)): Path<(String, String)>,
    Query(query): Query<ReceiptQuery>,
) -> Answer<Json<VersionView>> {
    let found = table::find(&api, &caller, &text).await?;
    let missing = || ApiError::not_found("published version", &position);
    let at = Position::parse(&position).ok_or_else(missing)?;
    let receipts = api.catalog().version(&found.id, &at.to_string()).await?;
    if receipts.is_empty() {
        return Err(missing());
    }
    let there = |site: &String| receipts.iter().any(|(published, _)| published == site);
    let sites_missing: Vec<String> =
        found.replicas.iter().map(|one| one.site.clone()).filter(|site| !there(site)).collect();
    let receipt = |(site, receipt)| Receipt { site, receipt, unknown: None };
    let mut sites: Vec<_> = receipts.into_iter().map(receipt).collect();
    if query.live_digest {
        join_all(sites.iter_mut().map(|receipt| digest(&api, &found, at, receipt))).await;
    }
    Ok(Json(VersionView { position: at, sites, sites_missing }))
}

/// Works out a receipt's digest, where it has none yet.
async fn digest(api: &Service, table: &Table, at: Position, receipt: &mut Receipt) {
    if receipt.receipt.live_digest.is_some() {
        return;
    }
    let Some(inspector) = &api.options.inspector else {
        receipt.unknown = Some("this process opens no tables".to_owned());
        return;
    };
    match inspector.live_digest(table, &receipt.site, at).await {
        Ok(digest) => {
            let of = (table.id.as_str(), receipt.site.as_str());
            // It is worked out again where it could not be kept.
            if let Err(error) = api.catalog().put_live_digest(of, &at.to_string(), &digest).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "keep a live digest");
            }
            receipt.receipt.live_digest = Some(digest);
        }
        Err(error) => receipt.unknown = Some(error.message),
    }
}

/// The newest version that all sites have published.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CommonVersion {
    /// The position; `null` = there is none.
    #[schema(value_type = Option<PositionSchema>)]
    position: Option<Position>,
    /// The sites.
    sites: Vec<String>,
}

/// Get the newest version that every site has published and readers can open
#[utoipa::path(get, path = "/v1/tables/{table}/common-version", tag = "versions",
    operation_id = "get_common_version",
    params(("table" = String, Path, description = "Name or id of the table")),
    responses((status = 200, description = "The version", body = CommonVersion)),
    security(("token" = ["reader"])))]
pub(crate) async fn common(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Answer<Json<CommonVersion>> {
    let found = table::find(&api, &caller, &text).await?;
    let position = api.catalog().common_version(&found.id).await?;
    let readable = |position: &Position| {
        let earliest = |replica: &driftless_catalog::Replica| replica.progress.earliest_readable;
        found.replicas.iter().filter_map(earliest).all(|earliest| earliest <= *position)
    };
    let position = position.filter(readable);
    let sites = found.replicas.iter().map(|replica| replica.site.clone()).collect();
    Ok(Json(CommonVersion { position, sites }))
}
