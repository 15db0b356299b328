//! Nodes: processes that work on tables.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use driftless_catalog::Node;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Service;
use crate::error::Answer;

/// All nodes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodeList {
    /// Those that are alive, and those that ended without a word within a day.
    nodes: Vec<Node>,
    /// Always `null`: there are few.
    next_page_token: Option<String>,
}

/// List nodes
#[utoipa::path(get, path = "/v1/nodes", tag = "service", operation_id = "list_nodes",
    responses((status = 200, description = "Nodes", body = NodeList)),
    security(("token" = ["reader", "all_projects"])))]
pub(crate) async fn list(State(api): State<Arc<Service>>) -> Answer<Json<NodeList>> {
    let nodes = api.catalog().nodes().await?;
    Ok(Json(NodeList { nodes, next_page_token: None }))
}
