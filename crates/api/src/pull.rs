//! Pulling events in batches, and saying what became of them.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use fanfare_auth::Action;
use fanfare_consumer::{Ack, Act, LeaseId, Leased, Name, Pull};
use fanfare_model::{TopicKey, json};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::consumers::ConsumerPlace;
use crate::fault::Fault;
use crate::openapi::GapBody;
use crate::{Api, body, params};

/// Which events to lease.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"consumer": "billing", "limit": 10, "wait_ms": 20_000}))]
pub(crate) struct PullRequest {
    /// The name of the consumer: 1–64 of `A-Z a-z 0-9 _ . -`. One that is not known yet begins where the configuration
    /// says (`consumers.begin`).
    consumer: String,
    /// The most events. Default 100.
    #[serde(default)]
    limit: Option<usize>,
    /// How long to wait for the first event, in milliseconds. Default 0.
    #[serde(default)]
    wait_ms: u64,
    /// How long the lease lasts, in milliseconds. Default 30000.
    #[serde(default)]
    lease_ms: u64,
}

/// What became of leased events: exactly one of `up_to`, `all`, `release` and `extend_ms`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"consumer": "billing", "lease": "1763719200123456", "all": true}))]
pub(crate) struct AckRequest {
    /// The name of the consumer.
    consumer: String,
    /// The lease, as the pull gave it.
    lease: String,
    /// Every leased event up to this offset is done with; the rest stays leased.
    #[serde(default)]
    up_to: Option<u64>,
    /// All of the lease is done with.
    #[serde(default)]
    all: bool,
    /// Nothing more is done with: what is left is given out again.
    #[serde(default)]
    release: bool,
    /// With `release`: not before so many milliseconds have passed. Default 0.
    #[serde(default)]
    retry_after_ms: Option<u64>,
    /// The lease lasts so many milliseconds longer, from now.
    #[serde(default)]
    extend_ms: Option<u64>,
}

/// Lease a batch of events
///
/// For workers that share the events of a topic under one name. What is not acknowledged before the lease ends is given
/// out again, so that every event is delivered at least once; workers that pull at the same time get different events.
/// Without events the answer has no `lease`. Needs `subscribe` and `history` on the topic.
#[utoipa::path(
    post,
    path = "/v1/topics/{topic}/pull",
    operation_id = "pull_events",
    tag = "consumers",
    params(("topic" = String, Path, description = "The topic.", example = json!("orders:42"))),
    request_body = PullRequest,
    responses((status = 200, body = crate::openapi::LeasedBody, description = "The events; none if none came in time.")),
)]
pub(crate) async fn pull(
    State(api): State<Api>,
    Caller(principal): Caller,
    topic: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Fault> {
    let topic = params::topic(&topic?)?;
    principal.authorize(Action::Subscribe, &topic)?;
    principal.authorize(Action::History, &topic)?;
    let asked: PullRequest = body::read_json(request, &api.options).await?;
    let (limit, max) = (asked.limit.unwrap_or(api.options.page_default), api.options.page_max);
    if !(1..=max).contains(&limit) {
        return Err(Fault::invalid(format_args!("limit: is {limit}; it may be 1 to {max}")).at("/limit"));
    }
    let pull = Pull {
        topic: TopicKey::new(principal.tenant, topic),
        consumer: Name::new(asked.consumer).map_err(|invalid| Fault::from(invalid).at("/consumer"))?,
        limit,
        wait: Duration::from_millis(asked.wait_ms),
        lease: Duration::from_millis(asked.lease_ms),
    };
    let leased = api.node.consumers.pull(pull).await?;
    let mut response = to_json(leased).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The answer to a pull, described by [`crate::openapi::LeasedBody`].
fn to_json(leased: Leased) -> Vec<u8> {
    #[derive(Serialize)]
    struct Rest {
        #[serde(skip_serializing_if = "Option::is_none")]
        lease: Option<String>,
        deliveries: Vec<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        gap: Option<GapBody>,
        position: String,
        more: bool,
    }
    let mut out = b"{\"events\":[".to_vec();
    for (at, event) in leased.events.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json::write_event(event, &mut out);
    }
    out.extend_from_slice(b"],");
    let rest = Rest {
        lease: leased.lease.map(|lease| lease.to_string()),
        deliveries: leased.deliveries,
        gap: leased.gap.map(GapBody::from),
        position: leased.position.to_string(),
        more: leased.more,
    };
    // An object with its opening brace taken off goes on where the events end.
    let rest = serde_json::to_vec(&rest).unwrap_or_default();
    out.extend_from_slice(rest.get(1..).unwrap_or_default());
    out
}

/// Say what became of leased events
///
/// They are done with, are to come again, or need more time. Needs `subscribe` and `history` on the topic.
#[utoipa::path(
    post,
    path = "/v1/topics/{topic}/ack",
    operation_id = "ack_events",
    tag = "consumers",
    params(("topic" = String, Path, description = "The topic.", example = json!("orders:42"))),
    request_body = AckRequest,
    responses(
        (status = 200, body = ConsumerPlace, description = "Everything up to `position` is done with."),
        (status = 404, body = crate::openapi::Problem, content_type = "application/problem+json", description = "There is no such consumer of this topic."),
        (status = 409, body = crate::openapi::Problem, content_type = "application/problem+json", description = "The lease has ended."),
    ),
)]
pub(crate) async fn ack(
    State(api): State<Api>,
    Caller(principal): Caller,
    topic: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<ConsumerPlace>, Fault> {
    let topic = params::topic(&topic?)?;
    principal.authorize(Action::Subscribe, &topic)?;
    principal.authorize(Action::History, &topic)?;
    let asked: AckRequest = body::read_json(request, &api.options).await?;
    let act = act(&asked)?;
    let lease: LeaseId = asked.lease.parse().map_err(|invalid| Fault::from(invalid).at("/lease"))?;
    let consumer = Name::new(asked.consumer).map_err(|invalid| Fault::from(invalid).at("/consumer"))?;
    let topic = TopicKey::new(principal.tenant, topic);
    let position = api.node.consumers.ack(Ack { topic, consumer, lease, act }).await?;
    Ok(Json(ConsumerPlace { position: position.to_string() }))
}

fn act(asked: &AckRequest) -> Result<Act, Fault> {
    let retry_after = Duration::from_millis(asked.retry_after_ms.unwrap_or_default());
    match (asked.up_to, asked.all, asked.release, asked.extend_ms) {
        (None, false, true, None) => Ok(Act::Release { retry_after }),
        _ if asked.retry_after_ms.is_some() => {
            Err(Fault::invalid("retry_after_ms: goes with `release` only").at("/retry_after_ms"))
        }
        (Some(offset), false, false, None) => Ok(Act::UpTo(offset)),
        (None, true, false, None) => Ok(Act::All),
        (None, false, false, Some(millis)) => Ok(Act::Extend(Duration::from_millis(millis))),
        _ => Err(Fault::invalid("the body needs exactly one of `up_to`, `all`, `release` and `extend_ms`").at("")),
    }
}
