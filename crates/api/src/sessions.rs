//! The client sessions of all nodes: listing, counting, ending.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use fanfare_auth::{Action, Principal};
use fanfare_model::{SessionId, UserId};
use fanfare_session::{Query, Reached, SessionInfo, Whose, Wish};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Api;
use crate::caller::Caller;
use crate::fault::Fault;
use crate::listing::{End, Listing};
use crate::params::Params;
use crate::reach::Reach;

/// One client connection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "5f0c…", "user": "alice", "protocol": "websocket", "connected_at": 1_763_719_200_123_456_i64,
    "expires_at": 1_763_722_800_000_000_i64, "address": "192.0.2.7", "client": "web/1.2"
}))]
pub(crate) struct SessionBody {
    /// Its id.
    id: String,
    /// Its user, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// What it speaks: `sse`, `ndjson`, `websocket` or `grpc`.
    protocol: &'static str,
    /// When it came, in microseconds since 1970.
    connected_at: i64,
    /// When its credential ends, in microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    /// The client's address, as the server sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// How the client names itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// The id of its node. Absent where there is only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
}

impl SessionBody {
    fn new(info: SessionInfo, node: Option<String>) -> Self {
        Self {
            id: info.id.into(),
            user: info.user.map(String::from),
            protocol: info.protocol.as_str(),
            connected_at: info.connected_at.as_micros(),
            expires_at: info.expires_at.map(fanfare_model::Timestamp::as_micros),
            address: info.address.map(|address| address.to_string()),
            client: info.client.map(|client| client.as_ref().to_owned()),
            node,
        }
    }
}

/// A page of sessions, by id.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionListBody {
    sessions: Vec<SessionBody>,
    /// How many sessions there are in all (of the user, if one is given).
    total: usize,
    #[serde(flatten)]
    end: End,
    #[serde(flatten)]
    reach: Reach,
}

/// How many sessions there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionCount {
    /// How many (of the user, if one is given).
    #[schema(example = 3)]
    count: usize,
    #[serde(flatten)]
    reach: Reach,
}

/// How many sessions were ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Disconnected {
    /// How many.
    #[schema(example = 1)]
    disconnected: usize,
    #[serde(flatten)]
    reach: Reach,
}

/// List sessions
///
/// The client sessions of all nodes, of the credential's tenant. Needs `admin` on `*`.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    operation_id = "list_sessions",
    tag = "sessions",
    params(
        ("user" = Option<String>, Query, description = "Only sessions of this user.", example = json!("alice")),
        ("after" = Option<String>, Query, description = "Only sessions after this id."),
        ("limit" = Option<u64>, Query, description = "The most sessions of the page. Default 100, at most 1000."),
    ),
    responses((status = 200, body = SessionListBody, description = "A page of sessions.")),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Caller(principal): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<SessionListBody>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let params = Params::parse(query.as_deref(), &["user", "after", "limit"])?;
    let Listing { after, limit } = Listing::of(&params, &api.options)?;
    let user = params.parsed::<UserId>("user")?;
    let reached = api.node.everywhere().list(&Query { tenant: principal.tenant, user, after, limit }).await;
    let (reach, alone, page) = (Reach::of(&reached), reached.is_alone(), reached.what);
    let end = End::new(page.more, page.sessions.last().map(|(_, info)| info.id.as_str().to_owned()));
    let sessions = page.sessions.into_iter().map(|(node, info)| {
        let node = (!alone).then(|| node.as_str().to_owned());
        SessionBody::new(info, node)
    });
    Ok(Json(SessionListBody { sessions: sessions.collect(), total: page.total, end, reach }))
}

/// Count sessions
///
/// Needs `admin` on `*`.
#[utoipa::path(
    get,
    path = "/v1/sessions/count",
    operation_id = "count_sessions",
    tag = "sessions",
    params(("user" = Option<String>, Query, description = "Only sessions of this user.")),
    responses((status = 200, body = SessionCount, description = "How many there are on all nodes.")),
)]
pub(crate) async fn count(
    State(api): State<Api>,
    Caller(principal): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<SessionCount>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let params = Params::parse(query.as_deref(), &["user"])?;
    let query = Query { tenant: principal.tenant, user: params.parsed::<UserId>("user")?, after: None, limit: 0 };
    let reached = api.node.everywhere().list(&query).await;
    Ok(Json(SessionCount { count: reached.what.total, reach: Reach::of(&reached) }))
}

/// End a session
///
/// The client is told not to come back by itself. Needs `admin` on `*`.
#[utoipa::path(
    delete,
    path = "/v1/sessions/{id}",
    operation_id = "end_session",
    tag = "sessions",
    params(("id" = String, Path, description = "The session's id.")),
    responses(
        (status = 200, body = Disconnected, description = "It is being ended."),
        (status = 404, body = crate::openapi::Problem, content_type = "application/problem+json", description = "There is no such session."),
    ),
)]
pub(crate) async fn end(
    State(api): State<Api>,
    Caller(principal): Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Disconnected>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let whose = Whose::Session(principal.tenant.clone(), SessionId::new(&*id?)?);
    disconnect_all(&api, &principal, whose).await
}

/// End every session of a user
///
/// Needs `admin` on `*`.
#[utoipa::path(
    delete,
    path = "/v1/users/{user}/sessions",
    operation_id = "end_sessions_of_user",
    tag = "sessions",
    params(("user" = String, Path, description = "The user.", example = json!("alice"))),
    responses((status = 200, body = Disconnected, description = "How many are being ended; 0 if there are none.")),
)]
pub(crate) async fn end_of_user(
    State(api): State<Api>,
    Caller(principal): Caller,
    user: Result<Path<String>, PathRejection>,
) -> Result<Json<Disconnected>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let whose = Whose::User(principal.tenant.clone(), UserId::new(&*user?)?);
    disconnect_all(&api, &principal, whose).await
}

/// End a session
///
/// The same as `DELETE /v1/sessions/{id}`, beside `subscribe` and `unsubscribe`. Needs `admin` on `*`.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/disconnect",
    operation_id = "disconnect_session",
    tag = "sessions",
    params(("id" = String, Path, description = "The session's id.")),
    responses(
        (status = 200, body = Disconnected, description = "It is being ended."),
        (status = 404, body = crate::openapi::Problem, content_type = "application/problem+json", description = "There is no such session."),
    ),
)]
pub(crate) async fn disconnect(
    api: State<Api>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Disconnected>, Fault> {
    end(api, caller, id).await
}

/// End every session of a user
///
/// The same as `DELETE /v1/users/{user}/sessions`. Needs `admin` on `*`.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/disconnect",
    operation_id = "disconnect_user",
    tag = "sessions",
    params(("user" = String, Path, description = "The user.", example = json!("alice"))),
    responses((status = 200, body = Disconnected, description = "How many are being ended; 0 if there are none.")),
)]
pub(crate) async fn disconnect_user(
    api: State<Api>,
    caller: Caller,
    user: Result<Path<String>, PathRejection>,
) -> Result<Json<Disconnected>, Fault> {
    end_of_user(api, caller, user).await
}

async fn disconnect_all(api: &Api, principal: &Principal, whose: Whose) -> Result<Json<Disconnected>, Fault> {
    let reached = carry_out(api, principal, &Wish::Disconnect(whose)).await?;
    Ok(Json(Disconnected { disconnected: reached.what, reach: Reach::of(&reached) }))
}

/// Does what the application wants, on all nodes.
pub(crate) async fn carry_out(api: &Api, principal: &Principal, wish: &Wish) -> Result<Reached<usize>, Fault> {
    let reached = api.node.everywhere().carry_out(wish).await.found(wish.whose())?;
    tracing::info!(
        target: "fanfare::security",
        what = wish.word(),
        sessions = reached.what,
        nodes = reached.nodes,
        silent = reached.silent,
        tenant = principal.tenant.as_str(),
        issuer = &*principal.issuer,
        "sessions told by an administrator"
    );
    Ok(reached)
}
