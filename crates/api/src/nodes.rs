//! The nodes of the cluster.

use axum::Json;
use axum::extract::State;
use fanfare_auth::Action;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Api;
use crate::caller::Caller;
use crate::fault::Fault;

/// A node.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "9f2c51d00ab3e77c", "name": "gateway-1", "roles": ["ws", "sse"], "version": "1.0.0",
    "since": 1_763_719_200_123_456_i64, "sessions": 1234
}))]
pub(crate) struct NodeBody {
    /// This life of it: after a restart it has another.
    id: String,
    /// How people call it.
    name: String,
    /// The parts that it runs.
    roles: Vec<String>,
    /// The version of the program.
    version: String,
    /// When it started, in microseconds since 1970.
    since: i64,
    /// How many client sessions of the credential's tenant it has. Absent if it has not answered in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<usize>,
}

/// The nodes that are alive, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodesBody {
    nodes: Vec<NodeBody>,
}

/// List nodes
///
/// The nodes of the cluster that are alive, the one that answers included. One that died is among them until its lease
/// ends (`cluster.lease`). Needs `admin` on `*`.
#[utoipa::path(
    get,
    path = "/v1/nodes",
    operation_id = "list_nodes",
    tag = "node",
    responses((status = 200, body = NodesBody, description = "The nodes.")),
)]
pub(crate) async fn list(State(api): State<Api>, Caller(principal): Caller) -> Result<Json<NodesBody>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let nodes = api.node.everywhere().nodes(&principal.tenant).await.into_iter().map(|(node, sessions)| NodeBody {
        id: node.id.as_str().to_owned(),
        name: node.name,
        roles: node.roles,
        version: node.version,
        since: node.started.as_micros(),
        sessions,
    });
    Ok(Json(NodesBody { nodes: nodes.collect() }))
}
