//! The `OpenAPI` document and the page to read it.

use std::collections::BTreeMap;
use std::future::{Ready, ready};

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use fanfare_model::Gap;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};

use crate::{
    consumers, events, health, keys, nodes, orders, presence, publish, pull, sessions, tickets, tokens, topic_list,
    topics,
};

/// The page may load nothing from anywhere else and cannot be framed.
const PAGE_POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; \
    style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PAGE: &str = include_str!("docs.html");

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Fanfare HTTP API",
        description = "For backends: publish, read history, share events among workers, look after topics, presence, \
            sessions, tokens and API keys.\n\n\
            Times are whole microseconds since 1970 unless said otherwise. Errors are RFC 9457 problems with a stable \
            `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "events", description = "Publish, and read what was published."),
        (name = "topics", description = "Look at topics, list them, remove events."),
        (name = "consumers", description = "Named consumers: workers that share the events of a topic, each until it is \
            acknowledged."),
        (name = "presence", description = "Who is in which topic."),
        (name = "sessions", description = "The client connections of all nodes."),
        (name = "tokens", description = "Revoke tokens, block users, make tickets."),
        (name = "keys", description = "API keys, for backends."),
        (name = "node", description = "The nodes, health, metrics, and this document."),
    ),
    paths(
        publish::publish, publish::publish_raw, events::read, topics::delete_events, topics::get, topic_list::list,
        sessions::list, sessions::count, sessions::end, sessions::end_of_user, sessions::disconnect,
        sessions::disconnect_user, orders::subscribe, orders::unsubscribe, orders::subscribe_user,
        orders::unsubscribe_user, presence::read, presence::occupancy, presence::topics_of_user, presence::remove_user,
        pull::pull, pull::ack, consumers::list, consumers::seek, consumers::forget, tokens::revoke, tokens::list,
        tokens::unblock, tickets::create, keys::create, keys::list, keys::revoke,
        nodes::list, document, page, health::livez, health::readyz, health::metrics,
    ),
    components(schemas(PublishRequest, Message, EventBody, GapBody, GrantBody, MemberBody, Problem,
        events::DirectionName)),
    security(("bearer" = [])),
    modifiers(&Common),
)]
struct Api;

/// What every operation shares.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A JWT with the audience of server doors, or an API key (`ffk_…`)."))
            .build();
        let components = document.components.get_or_insert_default();
        components.security_schemes.insert("bearer".to_owned(), RefOr::T(SecurityScheme::Http(bearer)));
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let problem = ResponseBuilder::new()
            .description("What went wrong.")
            .content(fanfare_session::problem::CONTENT_TYPE, problem)
            .build();
        components.responses.insert("Problem".to_owned(), RefOr::T(problem));
        for (path, item) in &mut document.paths.paths {
            let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
            for operation in operations.into_iter().flatten().filter(|_| path.starts_with("/v1/")) {
                let problem = || RefOr::Ref(Ref::from_response_name("Problem"));
                let responses: &mut BTreeMap<_, _> = &mut operation.responses.responses;
                for status in ["400", "401", "403", "default"] {
                    responses.entry(status.to_owned()).or_insert_with(problem);
                }
                if operation.request_body.is_some() {
                    for status in ["408", "413", "415"] {
                        responses.entry(status.to_owned()).or_insert_with(problem);
                    }
                }
            }
        }
    }
}

/// The `OpenAPI` document of a node. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Document(Bytes);

impl Document {
    /// Of this crate's routes, and of those that `others` describe: documents that are part of the program, of which the
    /// members `tags`, `paths` and `components` count. What a part refers to may be in another.
    pub fn with(others: &[&str]) -> Self {
        let mut document = serde_json::to_value(Api::openapi()).expect("a document is JSON");
        for other in others {
            let mut other: Value = serde_json::from_str(other).expect("it was written with the program");
            for member in ["tags", "paths", "components"] {
                unite(&mut document[member], other[member].take());
            }
        }
        Self(document.to_string().into())
    }

    /// Its text: JSON.
    pub fn json(&self) -> &[u8] {
        &self.0
    }
}

/// Adds to `whole` what `part` has besides.
fn unite(whole: &mut Value, part: Value) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (name, part) in part {
                unite(whole.entry(name).or_insert(Value::Null), part);
            }
        }
        (Value::Array(whole), Value::Array(part)) => whole.extend(part),
        (whole @ Value::Null, part) => *whole = part,
        // What is there already stays.
        _ => {}
    }
}

/// This document
///
/// What every route takes and answers, for people and for generators of clients.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "node",
    security(()),
    responses((status = 200, body = serde_json::Value, description = "OpenAPI 3.1."))
)]
pub(crate) fn document(State(api): State<crate::Api>) -> Ready<Response> {
    ready(([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")], api.document.0).into_response())
}

/// A page to read this document
///
/// With a form to try each route.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "docs",
    tag = "node",
    security(()),
    responses((status = 200, body = String, content_type = "text/html", description = "The page."))
)]
pub(crate) fn page() -> Ready<Response> {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (CACHE_CONTROL, "no-cache"),
    ];
    ready((headers, PAGE).into_response())
}

/// A batch to publish: exactly one of `topic` and `topics`, exactly one of `message` and `messages`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `publish::batch` reads")]
pub(crate) struct PublishRequest {
    /// The topic.
    #[schema(min_length = 1, max_length = 255, example = "orders:42")]
    topic: Option<String>,
    /// The topics, each once.
    #[schema(min_items = 1, max_items = 1000)]
    topics: Option<Vec<String>>,
    message: Option<Message>,
    /// The messages, in the order they are to have.
    #[schema(min_items = 1, max_items = 1000)]
    messages: Option<Vec<Message>>,
}

/// A message as a publisher writes it. A member that is not listed is refused.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `fanfare_model::json::Message` reads")]
pub(crate) struct Message {
    /// The publisher's own id: the idempotency key. Default: a fresh UUID.
    #[schema(min_length = 1, max_length = 128)]
    id: Option<String>,
    /// What kind of thing it says; SSE's `event:`. Must not begin with `fanfare.`.
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    /// The payload: any JSON value, unless `encoding` says otherwise.
    data: serde_json::Value,
    /// How `data`, then a string, is to be read: `text` (as it is) or `base64` (bytes).
    #[schema(value_type = Option<String>, pattern = "^(text|base64)$")]
    encoding: Option<String>,
    /// What it is about; readers that conflate keep the latest event of each key.
    #[schema(min_length = 1, max_length = 255)]
    key: Option<String>,
    /// When it happened, in microseconds since 1970.
    occurred_at: Option<i64>,
    /// At most 16 strings under names of visible ASCII in lower case, 4096 bytes in all.
    headers: Option<BTreeMap<String, String>>,
    /// Name of the schema of the data.
    #[schema(min_length = 1, max_length = 255)]
    schema: Option<String>,
    /// Where it came from. Default `api`.
    #[schema(min_length = 1, max_length = 255)]
    source: Option<String>,
}

/// An event.
#[derive(ToSchema)]
#[schema(as = Event, example = json!({
    "topic": "orders:42", "position": "1TzKqX.18.2dT", "offset": 18, "id": "order-42-paid", "name": "paid",
    "time": 1_763_719_200_123_456_i64, "source": "api", "data": {"total": 12.5}
}))]
#[expect(dead_code, reason = "describes what `fanfare_model::json::write_event` writes")]
pub(crate) struct EventBody {
    /// The topic.
    topic: String,
    /// The position at this event: continue from it in any protocol.
    position: String,
    /// Its place in the topic's log, from 1.
    offset: u64,
    /// Its id.
    id: String,
    /// What kind of thing it says.
    name: Option<String>,
    /// When it was appended, in microseconds since 1970. Never decreases within a topic.
    time: i64,
    /// The user who published it, if a client did.
    user: Option<String>,
    /// Where it came from.
    source: Option<String>,
    /// What it is about.
    key: Option<String>,
    /// When it happened, as the publisher says, in microseconds since 1970.
    occurred_at: Option<i64>,
    /// Small string map.
    headers: Option<BTreeMap<String, String>>,
    /// Name of the schema of the data.
    schema: Option<String>,
    /// Absent if `data` is the JSON value itself; else `data` is a string: `text` or `base64`.
    encoding: Option<String>,
    /// The payload.
    data: serde_json::Value,
}

/// A page of a topic's history.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `events::page` writes")]
pub(crate) struct EventPage {
    /// The events, in the direction of reading.
    #[schema(value_type = Vec<EventBody>)]
    events: Vec<EventBody>,
    #[schema(value_type = crate::head::HeadBody)]
    head: crate::head::HeadBody,
    /// Where to go on: pass it as `from`, with the same `direction`.
    next: String,
    /// Whether there is more in the direction of reading.
    more: bool,
    gap: Option<GapBody>,
}

/// Events that are the caller's until the lease ends.
#[derive(ToSchema)]
#[schema(as = Leased)]
#[expect(dead_code, reason = "describes what `pull::pull` writes")]
pub(crate) struct LeasedBody {
    /// The events, in the order of the log.
    #[schema(value_type = Vec<EventBody>)]
    events: Vec<EventBody>,
    /// The lease, to be shown when they are acknowledged. Of two leases of a consumer the later one has the greater
    /// number. Absent if there is nothing; there without events if there is only a gap to acknowledge.
    #[schema(example = "1763719200123456")]
    lease: Option<String>,
    /// How often each event has been given out, this time included.
    deliveries: Vec<u32>,
    gap: Option<GapBody>,
    /// The position of the last event given out; without events, of where new ones are waited for.
    position: String,
    /// Whether there are more already.
    more: bool,
}

/// Who is in a topic, or one page of it.
#[derive(ToSchema)]
#[schema(as = Presence, example = json!({
    "topic": "chat:42", "rev": 7, "count": 1,
    "members": [{"id": "5f0c…", "user": "alice", "data": {"status": "typing"}, "since": 1_763_719_200_123_456_i64}]
}))]
#[expect(dead_code, reason = "describes what `fanfare_presence::json` writes")]
pub(crate) struct PresenceBody {
    /// The topic.
    topic: String,
    /// The revision that this is the state at.
    rev: u64,
    /// How many members there are in all.
    count: u64,
    /// The members of this page, by id; absent with `state`.
    #[schema(value_type = Option<Vec<MemberBody>>)]
    members: Option<Vec<MemberBody>>,
    /// Where to go on: pass it as `after`. Absent if there are no more.
    next: Option<String>,
    /// `occupancy` if there are too many members to name.
    #[schema(pattern = "^occupancy$")]
    state: Option<String>,
}

/// A member of a topic.
#[derive(ToSchema)]
#[schema(as = Member)]
#[expect(dead_code, reason = "describes what `fanfare_presence::json` writes")]
pub(crate) struct MemberBody {
    /// The session's id, or the user's where members are users.
    id: String,
    /// The user, if there is one.
    user: Option<String>,
    /// `fanfare.info` of the member's token.
    info: Option<serde_json::Value>,
    /// What the member says of itself.
    data: Option<serde_json::Value>,
    /// Since when it is a member, in microseconds since 1970.
    since: i64,
}

/// Events that were asked for and are gone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Gap, example = json!({"from": 3, "to": 7, "reason": "trimmed"}))]
pub(crate) struct GapBody {
    /// The first offset that is missing.
    from: u64,
    /// The last offset that is missing. For `epoch` and `fork`: the one before that at which the page begins.
    to: u64,
    /// `trimmed`: removed by retention; `epoch`: the position is of an earlier life of the log; `fork`: this log
    /// does not hold the event that the position names.
    reason: &'static str,
}

impl From<Gap> for GapBody {
    fn from(gap: Gap) -> Self {
        Self { from: gap.from, to: gap.to, reason: gap.reason.as_str() }
    }
}

/// What may be done with which topics.
#[derive(ToSchema)]
#[schema(as = Grant)]
#[expect(dead_code, reason = "describes `fanfare_auth::Grant`")]
pub(crate) struct GrantBody {
    /// Topics: exact (`orders:42`), or with `*` as the last segment (`orders:*`, `*`).
    topics: Vec<String>,
    /// What may be done: `subscribe`, `publish`, `history`, `presence`, `query`, `admin`.
    allow: Vec<String>,
}

/// What went wrong (RFC 9457). Further members may stand beside these.
#[derive(ToSchema)]
#[schema(example = json!({
    "type": "urn:fanfare:error:invalid_request", "title": "The request is wrong", "status": 400,
    "detail": "messages[3].name: event name is empty", "code": "invalid_request", "at": "/messages/3/name"
}))]
#[expect(dead_code, reason = "describes what `Fault` answers")]
pub(crate) struct Problem {
    /// A name for the code.
    r#type: String,
    /// What kind of problem it is.
    title: String,
    /// The HTTP status.
    status: u16,
    /// A sentence for the developer.
    detail: String,
    /// The stable code, for programs.
    code: String,
    /// JSON pointer of the part of the body that is wrong.
    at: Option<String>,
    /// The topic that was refused.
    topic: Option<String>,
    /// When to try again, in milliseconds from now.
    retry_after_ms: Option<u64>,
}
