//! One topic: what is known of it, and removing its events.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use fanfare_auth::Action;
use fanfare_bus::{Admin, OnSlow, Policy};
use fanfare_model::{ByteSize, Duration, TopicKey};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Api;
use crate::caller::Caller;
use crate::fault::Fault;
use crate::head::HeadBody;
use crate::params::{self, Params};

/// A topic: the end of its log, and what is kept and allowed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopicBody {
    /// The topic.
    topic: String,
    head: HeadBody,
    policy: PolicyBody,
}

/// What a topic's kind allows and keeps, as configured.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "history": true, "max_events": 1000, "max_age": "1d", "durability": "committed", "idempotency_window": "5m",
    "client_publish": false, "on_slow": "replay", "event_bytes_max": "1MiB"
}))]
pub(crate) struct PolicyBody {
    /// Whether events are kept at all.
    history: bool,
    /// The most events that are kept; absent for no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_events: Option<u64>,
    /// The most bytes that are kept; absent for no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<String>,
    /// How long events are kept; absent for no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<String>,
    /// What an acknowledgement means: `committed`, `buffered` or `none`.
    durability: String,
    /// Within this time an event id is stored once.
    idempotency_window: String,
    /// Whether clients may publish.
    client_publish: bool,
    /// What happens to a reader that falls behind: `replay`, `disconnect`, `skip` or `conflate`.
    on_slow: String,
    /// The largest event.
    event_bytes_max: String,
}

impl From<&Policy> for PolicyBody {
    fn from(policy: &Policy) -> Self {
        let keep = &policy.keep;
        Self {
            history: policy.history,
            max_events: keep.events_max.filter(|_| policy.history),
            max_bytes: keep.bytes_max.map(|bytes| ByteSize(bytes).to_string()),
            max_age: keep.age_max.map(|age| Duration(age).to_string()),
            durability: word(keep.durability),
            idempotency_window: Duration(keep.idempotency_window).to_string(),
            client_publish: policy.client_publish,
            on_slow: word::<OnSlow>(policy.on_slow),
            event_bytes_max: ByteSize(policy.event_bytes_max as u64).to_string(),
        }
    }
}

/// The word that the configuration has for a choice.
fn word<T: Serialize>(choice: T) -> String {
    match serde_json::to_value(choice) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// What became of a topic's log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Emptied {
    /// The topic.
    topic: String,
    head: HeadBody,
}

/// Look at a topic
///
/// Every topic that has a valid name is there: one that nothing was ever published to has an empty log. Needs
/// `history` or `admin` on the topic.
#[utoipa::path(
    get,
    path = "/v1/topics/{topic}",
    operation_id = "get_topic",
    tag = "topics",
    params(("topic" = String, Path, description = "The topic.", example = json!("orders:42"))),
    responses((status = 200, body = TopicBody, description = "The topic.")),
)]
pub(crate) async fn get(
    State(api): State<Api>,
    Caller(principal): Caller,
    topic: Result<Path<String>, PathRejection>,
) -> Result<Json<TopicBody>, Fault> {
    let topic = params::topic(&topic?)?;
    if !principal.may(Action::Admin, &topic) {
        principal.authorize(Action::History, &topic)?;
    }
    let heads = api.node.bus.heads(vec![TopicKey::new(principal.tenant, topic.clone())]).await?;
    let head = heads.into_iter().next().ok_or_else(|| Fault::unavailable("the log gave no head for this topic"))?;
    let policy = PolicyBody::from(&**api.node.bus.policy(&topic));
    Ok(Json(TopicBody { topic: topic.into(), head: head.into(), policy }))
}

/// Remove a topic's events
///
/// Without `before` every event is removed and the topic begins a new epoch: readers that resume are told of a gap
/// with the reason `epoch`. With `before` only the events before that offset are removed (`trimmed`), and the
/// epoch stays. Needs `admin` on the topic.
#[utoipa::path(
    delete,
    path = "/v1/topics/{topic}/events",
    operation_id = "delete_events",
    tag = "topics",
    params(
        ("topic" = String, Path, description = "The topic.", example = json!("orders:42")),
        ("before" = Option<u64>, Query, description = "Remove only what is before this offset."),
    ),
    responses((status = 200, body = Emptied, description = "What is left.")),
)]
pub(crate) async fn delete_events(
    State(api): State<Api>,
    Caller(principal): Caller,
    topic: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<Emptied>, Fault> {
    let topic = params::topic(&topic?)?;
    principal.authorize(Action::Admin, &topic)?;
    let before = Params::parse(query.as_deref(), &["before"])?.number("before")?;
    let key = TopicKey::new(principal.tenant.clone(), topic.clone());
    let change = match before {
        None => Admin::Purge(key),
        Some(offset) => Admin::TruncateBefore(key, offset),
    };
    let head = api.node.bus.admin(change).await?;
    tracing::info!(
        target: "fanfare::security",
        topic = topic.as_str(),
        tenant = principal.tenant.as_str(),
        issuer = &*principal.issuer,
        user = principal.user.as_ref().map(fanfare_model::UserId::as_str),
        before,
        "events of a topic removed"
    );
    Ok(Json(Emptied { topic: topic.into(), head: head.into() }))
}
