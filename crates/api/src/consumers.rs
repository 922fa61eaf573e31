//! Named consumers: where they are, and sending them elsewhere.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use fanfare_auth::{Action, Principal};
use fanfare_consumer::{Cursor, CursorsQuery, Name};
use fanfare_model::{Topic, TopicKey};
use fanfare_session::From;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::fault::Fault;
use crate::listing::{End, Listing};
use crate::params::{self, Opaque, Params};
use crate::topic_list::sees;
use crate::{Api, body};

/// A consumer of a topic, and where it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Consumer, example = json!({
    "consumer": "billing", "topic": "orders:42", "position": "1TzKqX.17.0Xk", "lag": 3, "leased": 2, "leases": 1,
    "waiting": 0, "moved_at": 1_763_719_200_123_456_i64
}))]
pub(crate) struct ConsumerBody {
    /// Its name.
    consumer: String,
    /// The topic.
    topic: String,
    /// Everything up to here is done with.
    position: String,
    /// How many events are behind it, at most.
    lag: u64,
    /// How many events are leased out now.
    leased: u64,
    /// How many leases these are.
    leases: usize,
    /// How many events wait to be given out again.
    waiting: u64,
    /// When it last moved, in microseconds since 1970.
    moved_at: i64,
}

impl std::convert::From<Cursor> for ConsumerBody {
    fn from(cursor: Cursor) -> Self {
        Self {
            consumer: cursor.consumer.to_string(),
            topic: cursor.topic.into(),
            position: cursor.position.to_string(),
            lag: cursor.lag,
            leased: cursor.leased,
            leases: cursor.leases,
            waiting: cursor.waiting,
            moved_at: cursor.moved_at.as_micros(),
        }
    }
}

/// A page of consumers, by name and topic.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConsumerListBody {
    /// The consumers. May be fewer than `limit`, even none, although there are more.
    consumers: Vec<ConsumerBody>,
    #[serde(flatten)]
    end: End,
}

/// Where a consumer is to go on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"from": "start"}))]
pub(crate) struct Seek {
    /// `start`, `now`, `last:N`, `since:TIME`, or a position: it goes on after that.
    from: String,
}

/// Where a consumer is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConsumerPlace {
    /// It goes on after this position.
    #[schema(example = "1TzKqX.17.0Xk")]
    pub(crate) position: String,
}

/// What was forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Forgotten {
    /// The consumer.
    forgotten: String,
}

/// List consumers
///
/// Those of topics that the credential has `history` or `admin` on.
#[utoipa::path(
    get,
    path = "/v1/consumers",
    operation_id = "list_consumers",
    tag = "consumers",
    params(
        ("consumer" = Option<String>, Query, description = "Only this consumer.", example = json!("billing")),
        ("topic" = Option<String>, Query, description = "Only consumers of this topic."),
        ("after" = Option<String>, Query, description = "Where the page before ended."),
        ("limit" = Option<u64>, Query, description = "The most of the page. Default 100, at most 1000."),
    ),
    responses((status = 200, body = ConsumerListBody, description = "A page of consumers.")),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Caller(principal): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<ConsumerListBody>, Fault> {
    let params = Params::parse(query.as_deref(), &["consumer", "topic", "after", "limit"])?;
    let Listing { after, limit } = Listing::<Opaque>::of(&params, &api.options)?;
    let after = after.as_deref().map(CursorsQuery::read_after).transpose()?;
    let (consumer, topic) = (params.parsed::<Name>("consumer")?, params.parsed::<Topic>("topic")?);
    let query = CursorsQuery { tenant: principal.tenant.clone(), consumer, topic, after, limit };
    let page = api.node.consumers.cursors(query).await?;
    let seen = page.cursors.into_iter().filter(|cursor| sees(&principal, &cursor.topic));
    Ok(Json(ConsumerListBody { consumers: seen.map(ConsumerBody::from).collect(), end: End::at(page.next) }))
}

/// Send a consumer to a place
///
/// Makes it if there is none. Whatever was leased is not any more. Needs `admin` on the topic.
#[utoipa::path(
    put,
    path = "/v1/topics/{topic}/consumers/{consumer}",
    operation_id = "seek_consumer",
    tag = "consumers",
    params(
        ("topic" = String, Path, description = "The topic.", example = json!("orders:42")),
        ("consumer" = String, Path, description = "The consumer.", example = json!("billing")),
    ),
    request_body = Seek,
    responses((status = 200, body = ConsumerPlace, description = "Where it goes on.")),
)]
pub(crate) async fn seek(
    State(api): State<Api>,
    Caller(principal): Caller,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Json<ConsumerPlace>, Fault> {
    let (topic, consumer) = named(path, &principal)?;
    let asked: Seek = body::read_json(request, &api.options).await?;
    let from = From::parse(&asked.from).map_err(|invalid| Fault::from(invalid).at("/from"))?;
    let from = from.for_topic(&topic.topic, true);
    let position = api.node.consumers.seek(&topic, &consumer, from).await?;
    Ok(Json(ConsumerPlace { position: position.to_string() }))
}

/// Forget a consumer
///
/// Whoever pulls under its name later begins anew. Needs `admin` on the topic.
#[utoipa::path(
    delete,
    path = "/v1/topics/{topic}/consumers/{consumer}",
    operation_id = "forget_consumer",
    tag = "consumers",
    params(
        ("topic" = String, Path, description = "The topic.", example = json!("orders:42")),
        ("consumer" = String, Path, description = "The consumer.", example = json!("billing")),
    ),
    responses(
        (status = 200, body = Forgotten, description = "It is forgotten."),
        (status = 404, body = crate::openapi::Problem, content_type = "application/problem+json", description = "There is no such consumer of this topic."),
    ),
)]
pub(crate) async fn forget(
    State(api): State<Api>,
    Caller(principal): Caller,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Forgotten>, Fault> {
    let (topic, consumer) = named(path, &principal)?;
    api.node.consumers.forget(&topic, &consumer).await?;
    Ok(Json(Forgotten { forgotten: consumer.to_string() }))
}

/// The consumer that a path names, if `principal` may look after it.
fn named(
    path: Result<Path<(String, String)>, PathRejection>,
    principal: &Principal,
) -> Result<(TopicKey, Name), Fault> {
    let Path((topic, consumer)) = path?;
    let topic = params::topic(&topic)?;
    principal.authorize(Action::Admin, &topic)?;
    Ok((TopicKey::new(principal.tenant.clone(), topic), Name::new(consumer)?))
}
