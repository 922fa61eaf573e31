//! Reading a topic's history, page by page.

mod page;
mod request;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use fanfare_auth::Action;
use fanfare_model::TopicKey;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use crate::caller::Caller;
use crate::fault::Fault;
use crate::{Api, params};
use request::Request;

pub(crate) use request::DirectionName;

/// Read a topic's history
///
/// At most one of `from`, `before`, `since` and `last` says where to begin; without any, forward reads begin with
/// the oldest event that is kept and backward reads with the newest. Go on with `from=<next>` and the same
/// `direction` while `more` is true. A page may hold fewer events than `limit` if they are large.
///
/// If `from` is a position whose following events are gone (trimmed, purged, or of a log that was lost), the page
/// begins with what there is and `gap` says what is missing.
#[utoipa::path(
    get,
    path = "/v1/topics/{topic}/events",
    operation_id = "read_events",
    tag = "events",
    params(
        ("topic" = String, Path, description = "The topic.", example = json!("orders:42")),
        ("from" = Option<String>, Query, description = "A position, a cursor or an offset: read what comes after it in \
            the direction of reading. Also `start` (the oldest kept event) and `now` (nothing but the head)."),
        ("before" = Option<u64>, Query, description = "Read backward from the event before this offset."),
        ("since" = Option<String>, Query, description = "Read forward from the first event appended at or after this \
            time: RFC 3339, or milliseconds since 1970."),
        ("last" = Option<u64>, Query, description = "The last so many events, oldest first."),
        ("limit" = Option<u64>, Query, description = "The most events of the page. Default 100, at most 1000."),
        ("direction" = Option<DirectionName>, Query,
            description = "Default `forward` (oldest first); `backward` with `before`."),
    ),
    responses((status = 200, body = crate::openapi::EventPage, description = "A page of events.")),
)]
pub(crate) async fn read(
    State(api): State<Api>,
    Caller(principal): Caller,
    topic: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let topic = params::topic(&topic?)?;
    principal.authorize(Action::History, &topic)?;
    let request = Request::parse(query.as_deref(), &topic, &api.options)?;
    let key = TopicKey::new(principal.tenant, topic);
    let found = page::find(&api, &key, &request).await?;
    let mut response = found.to_json().into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
