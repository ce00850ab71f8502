//! Hosts, for operators.

use axum::extract::State;
use beamdesk_http::Json;
use beamdesk_types::{Node, Protection};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        error::{Answer, Errors},
        extract::Operator,
    },
    app::offers,
};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NodeList {
    nodes: Vec<Node>,
    protections: Vec<Protection>,
}

/// Hosts with what is taken of them, and which walls stand between desktops.
#[utoipa::path(get, path = "/nodes", tag = "administration",
    responses((status = OK, body = NodeList), Errors))]
pub(super) async fn nodes(
    State(app): State<App>,
    Operator(actor): Operator,
) -> Answer<Json<NodeList>> {
    let nodes = offers::nodes(&app).await?.to_vec();
    Ok(Json(NodeList { nodes, protections: offers::protections(&app, &actor) }))
}
