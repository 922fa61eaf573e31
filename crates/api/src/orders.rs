//! What the application wants of client sessions: to receive topics, to receive them no more, to end.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use fanfare_auth::{Action, Principal};
use fanfare_model::{SessionId, Topic, UserId};
use fanfare_session::{From, Whose, Wish};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::fault::Fault;
use crate::reach::Reach;
use crate::sessions::carry_out;
use crate::{Api, body};

/// The most topics of one order: as many subscriptions as a session has, about.
const TOPICS_MAX: usize = 100;

/// What sessions are to receive.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"topics": ["chat:42"], "from": "now"}))]
pub(crate) struct SubscribeSessions {
    /// The topics.
    #[schema(min_items = 1, max_items = 100)]
    topics: Vec<String>,
    /// Where they begin: `now`, `start`, `last:N`, `since:TIME`, a cursor, or a position if it is one topic. Default
    /// `now`.
    #[serde(default)]
    from: Option<String>,
}

/// What sessions are to receive no more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"topics": ["chat:42"]}))]
pub(crate) struct UnsubscribeSessions {
    /// The topics.
    #[schema(min_items = 1, max_items = 100)]
    topics: Vec<String>,
}

/// How many sessions were told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionsTold {
    /// How many.
    #[schema(example = 2)]
    sessions: usize,
    #[serde(flatten)]
    reach: Reach,
}

async fn to_subscribe(request: Request, api: &Api, whose: Whose) -> Result<Wish, Fault> {
    let asked: SubscribeSessions = body::read_json(request, &api.options).await?;
    let from = match asked.from.as_deref() {
        None => From::Now,
        Some(text) => From::parse(text).map_err(|invalid| Fault::from(invalid).at("/from"))?,
    };
    let topics = topics(asked.topics)?.into_iter().map(|topic| (topic, from.clone())).collect();
    Ok(Wish::Subscribe { whose, topics })
}

async fn to_unsubscribe(request: Request, api: &Api, whose: Whose) -> Result<Wish, Fault> {
    let asked: UnsubscribeSessions = body::read_json(request, &api.options).await?;
    Ok(Wish::Unsubscribe { whose, topics: topics(asked.topics)? })
}

fn topics(texts: Vec<String>) -> Result<Vec<Topic>, Fault> {
    if !(1..=TOPICS_MAX).contains(&texts.len()) {
        let count = texts.len();
        return Err(Fault::invalid(format_args!("topics: are {count}; 1 to {TOPICS_MAX} are allowed")).at("/topics"));
    }
    let topic = |(at, text): (usize, String)| {
        Topic::new(text).map_err(|invalid| Fault::from(invalid).at(&format!("/topics/{at}")))
    };
    texts.into_iter().enumerate().map(topic).collect()
}

async fn tell(api: &Api, principal: &Principal, wish: &Wish) -> Result<Json<SessionsTold>, Fault> {
    let reached = carry_out(api, principal, wish).await?;
    Ok(Json(SessionsTold { sessions: reached.what, reach: Reach::of(&reached) }))
}

/// Have a session receive topics
///
/// On the application's authority: the session's own grants are not asked, but its credential's end is its end. Streams
/// over HTTP pass it over: their topics are those of their request. Needs `admin` on `*`.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/subscribe",
    operation_id = "subscribe_session",
    tag = "sessions",
    params(("id" = String, Path, description = "The session's id.")),
    request_body = SubscribeSessions,
    responses(
        (status = 200, body = SessionsTold, description = "It was told."),
        (status = 404, body = crate::openapi::Problem, content_type = "application/problem+json", description = "There is no such session."),
    ),
)]
pub(crate) async fn subscribe(
    State(api): State<Api>,
    Caller(principal): Caller,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<SessionsTold>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let whose = Whose::Session(principal.tenant.clone(), SessionId::new(&*id?)?);
    tell(&api, &principal, &to_subscribe(request, &api, whose).await?).await
}

/// Have a session receive topics no more
///
/// The client is told (`unsubscribed`, 2503), and may subscribe again if its grants allow. Needs `admin` on `*`.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/unsubscribe",
    operation_id = "unsubscribe_session",
    tag = "sessions",
    params(("id" = String, Path, description = "The session's id.")),
    request_body = UnsubscribeSessions,
    responses(
        (status = 200, body = SessionsTold, description = "It was told."),
        (status = 404, body = crate::openapi::Problem, content_type = "application/problem+json", description = "There is no such session."),
    ),
)]
pub(crate) async fn unsubscribe(
    State(api): State<Api>,
    Caller(principal): Caller,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<SessionsTold>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let whose = Whose::Session(principal.tenant.clone(), SessionId::new(&*id?)?);
    tell(&api, &principal, &to_unsubscribe(request, &api, whose).await?).await
}

/// Have every session of a user receive topics
///
/// As for one session; those that come later are not told. Needs `admin` on `*`.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/subscribe",
    operation_id = "subscribe_user",
    tag = "sessions",
    params(("user" = String, Path, description = "The user.", example = json!("alice"))),
    request_body = SubscribeSessions,
    responses((status = 200, body = SessionsTold, description = "How many were told; 0 if there are none.")),
)]
pub(crate) async fn subscribe_user(
    State(api): State<Api>,
    Caller(principal): Caller,
    user: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<SessionsTold>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let whose = Whose::User(principal.tenant.clone(), UserId::new(&*user?)?);
    tell(&api, &principal, &to_subscribe(request, &api, whose).await?).await
}

/// Have every session of a user receive topics no more
///
/// As for one session. Needs `admin` on `*`.
#[utoipa::path(
    post,
    path = "/v1/users/{user}/unsubscribe",
    operation_id = "unsubscribe_user",
    tag = "sessions",
    params(("user" = String, Path, description = "The user.", example = json!("alice"))),
    request_body = UnsubscribeSessions,
    responses((status = 200, body = SessionsTold, description = "How many were told; 0 if there are none.")),
)]
pub(crate) async fn unsubscribe_user(
    State(api): State<Api>,
    Caller(principal): Caller,
    user: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<SessionsTold>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let whose = Whose::User(principal.tenant.clone(), UserId::new(&*user?)?);
    tell(&api, &principal, &to_unsubscribe(request, &api, whose).await?).await
}
