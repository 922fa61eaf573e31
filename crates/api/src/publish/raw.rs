//! One event from a body of any type.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use fanfare_model::{Data, Draft, EventId, EventName, Invalid, Key};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use tracing::Instrument as _;

use super::batch::Batch;
use super::trace::Trace;
use super::{Published, store};
use crate::caller::Caller;
use crate::fault::Fault;
use crate::{Api, body, params};

/// The id of the event.
const EVENT_ID: &str = "fanfare-event-id";
/// The name of the event.
const EVENT_NAME: &str = "fanfare-event-name";
/// The key of the event.
const EVENT_KEY: &str = "fanfare-event-key";
/// The id of the event, by the name that other APIs have for it.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Publish a body as one event
///
/// The content type decides what the data is: `application/json` and `…+json` are JSON (and are checked to be),
/// `text/*` is UTF-8 text, anything else is bytes, and the content type becomes the event's header
/// `content-type`. In a path, `:` may stand as it is; `/` and others are percent-encoded.
#[utoipa::path(
    post,
    path = "/v1/topics/{topic}/events",
    operation_id = "publish_raw",
    tag = "events",
    params(
        ("topic" = String, Path, description = "The topic.", example = json!("orders:42")),
        ("Fanfare-Event-Id" = Option<String>, Header, description = "The id of the event: the idempotency key."),
        ("Idempotency-Key" = Option<String>, Header, description = "The id, if `Fanfare-Event-Id` is not there."),
        ("Fanfare-Event-Name" = Option<String>, Header, description = "The name of the event."),
        ("Fanfare-Event-Key" = Option<String>, Header, description = "What the event is about."),
        ("traceparent" = Option<String>, Header, description = "W3C trace context; goes with the event."),
    ),
    request_body(description = "The data.", content(
        (serde_json::Value = "application/json", example = json!({"total": 12.5})),
        (String = "text/plain", example = json!("hello")),
        (Vec<u8> = "application/octet-stream"),
    )),
    responses((status = 200, body = Published, description = "The event is stored; `results` has one entry.")),
)]
pub(crate) async fn publish_raw(
    State(api): State<Api>,
    Caller(principal): Caller,
    topic: Result<Path<String>, axum::extract::rejection::PathRejection>,
    request: Request,
) -> Result<Response, Fault> {
    let topic = params::topic(&topic?)?;
    principal.authorize(fanfare_auth::Action::Publish, &topic)?;
    let (head, body) = request.into_parts();
    let message = read_headers(&head.headers)?;
    let bytes = body::read(body, &api.options).await?;
    let batch = Batch::single(topic, with_data(message, &head.headers, bytes)?);
    let trace = Trace::begin(&head.headers, 1, 1);
    let span = trace.span.clone();
    store(&api, &principal, batch, &trace).instrument(span).await
}

/// A draft without data, of what the headers say.
fn read_headers(headers: &HeaderMap) -> Result<Draft, Fault> {
    let mut draft = Draft::new(Data::binary(Bytes::new()));
    let id = match text(headers, EVENT_ID)? {
        None => text(headers, IDEMPOTENCY_KEY)?.map(|text| (IDEMPOTENCY_KEY, text)),
        Some(text) => Some((EVENT_ID, text)),
    };
    if let Some((name, text)) = id {
        draft.id = EventId::new(text).map_err(|invalid| wrong(name, &invalid))?;
    }
    draft.name = text(headers, EVENT_NAME)?
        .map(|text| EventName::from_publisher(text).map_err(|invalid| wrong(EVENT_NAME, &invalid)))
        .transpose()?;
    draft.key = text(headers, EVENT_KEY)?
        .map(|text| Key::new(text).map_err(|invalid| wrong(EVENT_KEY, &invalid)))
        .transpose()?;
    Ok(draft)
}

fn with_data(draft: Draft, headers: &HeaderMap, bytes: Bytes) -> Result<Draft, Fault> {
    let media_type = body::media_type(headers);
    let wrong = |invalid: Invalid| Fault::invalid(format_args!("the body: {invalid}"));
    let data = if body::is_json(&media_type) {
        Data::json(bytes).map_err(|invalid| wrong(invalid).with_code("invalid_json"))?
    } else if media_type.starts_with("text/") {
        Data::text_from(bytes).map_err(wrong)?
    } else {
        let mut draft = Draft { data: Data::binary(bytes), ..draft };
        if let Some(text) = text(headers, CONTENT_TYPE.as_str())? {
            draft
                .headers
                .insert(CONTENT_TYPE.as_str(), text)
                .map_err(|invalid| self::wrong(CONTENT_TYPE.as_str(), &invalid))?;
        }
        return Ok(draft);
    };
    Ok(Draft { data, ..draft })
}

/// The text of a header that may be there once.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Fault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Fault::invalid(format_args!("the header `{name}` is there more than once")));
    }
    std::str::from_utf8(value.as_bytes())
        .map(Some)
        .map_err(|_| Fault::invalid(format_args!("the header `{name}` is not UTF-8")))
}

fn wrong(name: &str, invalid: &Invalid) -> Fault {
    Fault::invalid(format_args!("the header `{name}`: {invalid}"))
}
