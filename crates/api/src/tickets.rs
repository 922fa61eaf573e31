//! Tickets: what a client without headers comes in with, once.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use fanfare_auth::{Action, Grant, Pattern};
use fanfare_model::UserId;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::fault::Fault;
use crate::{Api, body};

/// For whom a ticket is, and what it allows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"user": "alice", "topics": ["orders:42", "chat:*"]}))]
pub(crate) struct TicketFor {
    /// The user. Default: nobody in particular.
    #[serde(default)]
    user: Option<String>,
    /// The topics that may be listened to, from any place in their history: exact, or with `*` as the last segment.
    #[schema(min_items = 1, max_items = 100)]
    topics: Vec<String>,
    /// The only web origin that it is good for, as browsers write it. Default: any.
    #[serde(default)]
    #[schema(example = "https://app.example.com")]
    origin: Option<String>,
}

/// A ticket.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TicketBody {
    /// Good for one session, as `?ticket=`.
    #[schema(example = "ft1.…")]
    ticket: String,
    /// For how many seconds it can be used.
    #[schema(example = 30)]
    expires_in: u64,
}

/// The most topics of a ticket.
const TOPICS_MAX: usize = 100;

/// Make a ticket for a client
///
/// For a page that uses a native `EventSource`, which can send no headers: the page opens
/// `/v1/sse?topic=…&ticket=<ticket>` at once. It is good for one request and allows `subscribe`, `history` and
/// `presence` on its topics. Needs `admin` on `*`.
#[utoipa::path(
    post,
    path = "/v1/tickets",
    operation_id = "create_ticket",
    tag = "tokens",
    request_body = TicketFor,
    responses((status = 201, body = TicketBody, description = "The ticket.")),
)]
pub(crate) async fn create(
    State(api): State<Api>,
    Caller(principal): Caller,
    request: Request,
) -> Result<Response, Fault> {
    principal.authorize_any(Action::Admin)?;
    let asked: TicketFor = body::read_json(request, &api.options).await?;
    let count = asked.topics.len();
    if !(1..=TOPICS_MAX).contains(&count) {
        return Err(Fault::invalid(format_args!("topics: are {count}; 1 to {TOPICS_MAX} are allowed")).at("/topics"));
    }
    let mut topics = Vec::with_capacity(count);
    for (index, text) in asked.topics.iter().enumerate() {
        let pattern = Pattern::parse(text);
        topics.push(pattern.map_err(|invalid| Fault::from(invalid).at(&format!("/topics/{index}")))?);
    }
    let user = asked.user.map(UserId::new).transpose().map_err(|invalid| Fault::from(invalid).at("/user"))?;
    let grants = vec![Grant { topics, allow: vec![Action::Subscribe, Action::History, Action::Presence] }];
    let ticket = api.node.auth.ticket_for(principal.tenant, user, &grants, asked.origin)?;
    let body = TicketBody { ticket: ticket.text, expires_in: ticket.expires_in.as_secs() };
    let mut response = (http::StatusCode::CREATED, Json(body)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
