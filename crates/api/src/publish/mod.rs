//! Publishing: a JSON batch, or one event from a raw body.

mod answer;
mod batch;
mod json;
mod message;
mod quick;
mod raw;
mod trace;

use axum::extract::{Request, State};
use axum::response::Response;
use fanfare_auth::{Action, Principal};
use fanfare_bus::{Error, Refused};
use fanfare_model::{Draft, EventId, Source, Topic};
use fanfare_session::problem::Problem;
use tracing::Instrument as _;

use crate::caller::Caller;
use crate::fault::Fault;
use crate::{Api, body};
use batch::Batch;
use json::Place;
use trace::Trace;

pub(crate) use answer::Published;
pub(crate) use raw::{__path_publish_raw, publish_raw};

/// What stands in `source` if the publisher says nothing.
const SOURCE: &str = "api";

/// Publish one or many messages to one or many topics
///
/// Give exactly one of `topic` and `topics`, and exactly one of `message` and `messages`. Every message goes to
/// every topic, in the order given. The batch is checked as a whole first: if anything in it is wrong, or one of
/// the topics may not be published to, nothing is published and the problem's `at` points at the item. After that
/// an event fails only if the log cannot take it now, and it fails alone.
///
/// A message's `id` makes publishing it again safe: within the topic's idempotency window (5 minutes unless
/// configured) it is stored once and the answer gives the first position with `duplicate: true`.
#[utoipa::path(
    post,
    path = "/v1/publish",
    operation_id = "publish",
    tag = "events",
    params(("traceparent" = Option<String>, Header,
        description = "W3C trace context. Goes with every event that has no `traceparent` header of its own.")),
    request_body(content = crate::openapi::PublishRequest, examples(
        ("one" = (summary = "One message to one topic", value = json!(
            {"topic": "orders:42", "message": {"id": "order-42-paid", "name": "paid", "data": {"total": 12.5}}}))),
        ("many" = (summary = "Two messages to two topics", value = json!(
            {"topics": ["news", "chat:7"], "messages": [{"data": 1}, {"data": "plain", "encoding": "text"}]}))),
    )),
    responses(
        (status = 200, body = Published, description = "Every event is stored, to the durability of its topic."),
        (status = 207, body = Published, description = "Some events are stored, others failed; see each result."),
        (status = 503, body = crate::openapi::Problem, content_type = "application/problem+json",
            description = "No event could be stored now. Publish again with the same ids."),
    ),
)]
pub(crate) async fn publish(
    State(api): State<Api>,
    Caller(principal): Caller,
    request: Request,
) -> Result<Response, Fault> {
    let (head, body) = request.into_parts();
    body::must_be_json(&head.headers)?;
    let bytes = body::read(body, &api.options).await?;
    let batch = batch::parse(&bytes, api.options.batch_max)?;
    drop(bytes);
    let trace = Trace::begin(&head.headers, batch.topics.len(), batch.messages.len());
    let span = trace.span.clone();
    store(&api, &principal, batch, &trace).instrument(span).await
}

/// Authorises and publishes a checked batch.
async fn store(api: &Api, principal: &Principal, batch: Batch, trace: &Trace) -> Result<Response, Fault> {
    for (index, topic) in batch.topics.iter().enumerate() {
        principal
            .authorize(Action::Publish, topic)
            .map_err(|refusal| Fault::from(refusal).with("topic", topic.as_str()).at(&batch.topic_at(index).pointer))?;
    }
    let Batch { topics, mut messages, messages_form, .. } = batch;
    let (source, traceparent) = (Source::new(SOURCE).ok(), trace.to_carry());
    for message in &mut messages {
        complete(message, source.as_ref(), traceparent.as_deref());
    }
    let events = topics.len() * messages.len();
    let bytes: usize = messages.iter().map(Draft::size).sum::<usize>() * topics.len();
    // A backend is nobody's user and many users' address: the limits of its tenant hold.
    api.node.quotas.publish(&principal.tenant, None, None, u32::try_from(events).unwrap_or(u32::MAX), bytes)?;
    let ids: Vec<EventId> = messages.iter().map(|message| message.id.clone()).collect();
    let items = every_pair(&topics, messages);
    let stored = api.node.bus.publish(&principal.tenant, items).await.map_err(|refused| {
        let at = messages_form.place(refused.index % ids.len().max(1));
        refusal(&at, topics.get(refused.index / ids.len().max(1)), &refused)
    })?;
    answer::of(&topics, &ids, stored)
}

/// Every message to every topic; those to the last one are not copied.
fn every_pair(topics: &[Topic], messages: Vec<Draft>) -> Vec<(Topic, Draft)> {
    let Some((last, others)) = topics.split_last() else { return Vec::new() };
    let mut items = Vec::with_capacity(topics.len() * messages.len());
    for topic in others {
        items.extend(messages.iter().map(|message| (topic.clone(), message.clone())));
    }
    items.extend(messages.into_iter().map(|message| (last.clone(), message)));
    items
}

/// Fills in what the publisher left out.
fn complete(draft: &mut Draft, source: Option<&Source>, traceparent: Option<&str>) {
    if draft.source.is_none() {
        draft.source = source.cloned();
    }
    if let Some(traceparent) = traceparent
        && draft.headers.get(trace::TRACEPARENT).is_none()
    {
        // An event that has as many headers as it may goes without.
        let mut headers = draft.headers.clone();
        if headers.insert(trace::TRACEPARENT, traceparent).is_ok() {
            draft.headers = headers;
        }
    }
}

/// The problem of an item that cannot be accepted. What a schema finds is in the data of the message at `place`.
fn refusal(place: &Place, topic: Option<&Topic>, refused: &Refused) -> Fault {
    let Refused { error, .. } = refused;
    let pointer = match error {
        Error::Payload { at: Some(at), .. } if place.pointer.is_empty() => at.clone(),
        Error::Payload { at: Some(at), .. } => place.member("data").pointer + at,
        _ => place.pointer.clone(),
    };
    let path = if place.path.is_empty() { "the event" } else { &place.path };
    let problem = Problem::new(error.kind(), format_args!("{path}: {error}")).with_code(error.code());
    let fault = Fault::from(problem).at(&pointer);
    match topic {
        Some(topic) => fault.with("topic", topic.as_str()),
        None => fault,
    }
}
