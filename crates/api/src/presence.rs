//! Who is in topics, as backends see it.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::{IntoResponse as _, Response};
use fanfare_auth::Action;
use fanfare_model::{Topic, TopicKey, UserId};
use fanfare_presence::json;
use fanfare_session::access;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::fault::Fault;
use crate::listing::Listing;
use crate::params::{self, Opaque, Params};
use crate::{Api, body};

/// Of which topics to count the members.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"topics": ["chat:42", "chat:43"]}))]
pub(crate) struct OccupancyRequest {
    /// The topics.
    #[schema(min_items = 1, max_items = 1000)]
    topics: Vec<String>,
}

/// How many are in each of several topics.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OccupancyListBody {
    /// In the order of the request.
    topics: Vec<OccupancyBody>,
}

/// How many are in a topic.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Occupancy, example = json!({"topic": "chat:42", "count": 3, "users": 2}))]
pub(crate) struct OccupancyBody {
    /// The topic.
    topic: String,
    /// How many members it has.
    count: u64,
    /// How many different users are among them.
    users: u64,
}

/// Where a user is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopicsOfUser {
    /// The topics that the user is a member of, by name.
    topics: Vec<String>,
}

/// From how many topics a user was removed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RemovedUser {
    /// How many.
    #[schema(example = 2)]
    removed: usize,
}

/// See who is in a topic
///
/// By id. Go on with `after=<next>` while there is `next`. A topic with more members than its policy names
/// (`members_max`) answers with `"state": "occupancy"` and the count alone. Changes have higher revisions than `rev`.
/// Needs `presence` on the topic.
#[utoipa::path(
    get,
    path = "/v1/topics/{topic}/presence",
    operation_id = "read_presence",
    tag = "presence",
    params(
        ("topic" = String, Path, description = "The topic.", example = json!("chat:42")),
        ("after" = Option<String>, Query, description = "Only members after this id."),
        ("limit" = Option<u64>, Query, description = "The most members of the page. Default 100, at most 1000."),
    ),
    responses((status = 200, body = crate::openapi::PresenceBody, description = "A page of members.")),
)]
pub(crate) async fn read(
    State(api): State<Api>,
    Caller(principal): Caller,
    topic: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let topic = params::topic(&topic?)?;
    access::presence(&principal, &topic)?;
    let params = Params::parse(query.as_deref(), &["after", "limit"])?;
    let Listing { after, limit } = Listing::<Opaque>::of(&params, &api.options)?;
    let key = TopicKey::new(principal.tenant, topic);
    let members = api.node.presence.members(&key, after.as_deref(), limit).await?;
    let mut out = Vec::new();
    json::write_members(&key.topic, &members, &mut out);
    let mut response = out.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Count the members of topics
///
/// Needs `presence` on each.
#[utoipa::path(
    post,
    path = "/v1/presence/occupancy",
    operation_id = "read_occupancy",
    tag = "presence",
    request_body = OccupancyRequest,
    responses((status = 200, body = OccupancyListBody, description = "How many are in each.")),
)]
pub(crate) async fn occupancy(
    State(api): State<Api>,
    Caller(principal): Caller,
    request: Request,
) -> Result<Json<OccupancyListBody>, Fault> {
    let asked: OccupancyRequest = body::read_json(request, &api.options).await?;
    let (count, max) = (asked.topics.len(), api.options.page_max);
    if !(1..=max).contains(&count) {
        return Err(Fault::invalid(format_args!("topics: are {count}; 1 to {max} are allowed")).at("/topics"));
    }
    let mut keys = Vec::with_capacity(count);
    for (index, text) in asked.topics.iter().enumerate() {
        let at = format!("/topics/{index}");
        let topic = Topic::new(text).map_err(|invalid| Fault::from(invalid).at(&at))?;
        access::presence(&principal, &topic)
            .map_err(|refusal| Fault::from(refusal).with("topic", text.as_str()).at(&at))?;
        keys.push(TopicKey::new(principal.tenant.clone(), topic));
    }
    let found = api.node.presence.occupancy(&keys).await?;
    let topics = asked.topics.into_iter().zip(found);
    let topics = topics.map(|(topic, found)| OccupancyBody { topic, count: found.count, users: found.users }).collect();
    Ok(Json(OccupancyListBody { topics }))
}

/// See where a user is
///
/// Every topic that the user is a member of, on this node. Needs `admin` on `*`.
#[utoipa::path(
    get,
    path = "/v1/users/{user}/topics",
    operation_id = "list_topics_of_user",
    tag = "presence",
    params(("user" = String, Path, description = "The user.", example = json!("alice"))),
    responses((status = 200, body = TopicsOfUser, description = "The topics; none if there are none.")),
)]
pub(crate) async fn topics_of_user(
    State(api): State<Api>,
    Caller(principal): Caller,
    user: Result<Path<String>, PathRejection>,
) -> Result<Json<TopicsOfUser>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let user = UserId::new(&*user?)?;
    let topics = api.node.presence.topics_of(&principal.tenant, &user).await?;
    Ok(Json(TopicsOfUser { topics: topics.into_iter().map(String::from).collect() }))
}

/// Remove a user from every topic
///
/// The user's sessions go on, and may enter again. Needs `admin` on `*`.
#[utoipa::path(
    delete,
    path = "/v1/users/{user}/presence",
    operation_id = "remove_user",
    tag = "presence",
    params(("user" = String, Path, description = "The user.", example = json!("alice"))),
    responses((status = 200, body = RemovedUser, description = "From how many topics; 0 if there were none.")),
)]
pub(crate) async fn remove_user(
    State(api): State<Api>,
    Caller(principal): Caller,
    user: Result<Path<String>, PathRejection>,
) -> Result<Json<RemovedUser>, Fault> {
    principal.authorize_any(Action::Admin)?;
    let user = UserId::new(&*user?)?;
    let removed = api.node.presence.remove_user(&principal.tenant, &user).await?;
    Ok(Json(RemovedUser { removed }))
}
