//! What became of each event.

use axum::response::{IntoResponse as _, Response};
use fanfare_bus::{Appended, Error};
use fanfare_model::{EventId, Position, Topic};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::fault::Fault;

/// What an outcome takes in the answer, with names of common length.
const OUTCOME_BYTES: usize = 200;

/// What became of every event of a request: topic by topic, and within a topic message by message, in the order
/// they were given.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Published<'a> {
    /// One entry per topic and message.
    results: Vec<Outcome<'a>>,
}

/// What became of one event: `position`, `offset`, `time` and `duplicate`, or `error`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(
    json!({"topic": "orders:42", "id": "order-42-paid", "position": "1TzKqX.18.2dT", "offset": 18,
        "time": 1_763_719_200_123_456_i64, "duplicate": false}),
    json!({"topic": "orders:42", "id": "order-42-paid",
        "error": {"code": "unavailable", "message": "the event store is not available", "retryable": true}}),
))]
pub(crate) struct Outcome<'a> {
    /// Where it was published.
    topic: &'a str,
    /// Its id: the publisher's own, or the one it was given.
    id: &'a str,
    /// Where it is in the topic's log. For a duplicate, where it was stored first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    position: Option<Shown>,
    /// The offset in that position.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    /// When it was appended (the first time), in microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<i64>,
    /// Whether the same id had been stored before, so that nothing was stored now.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate: Option<bool>,
    /// Why it was not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<OutcomeError>,
}

/// Why an event was not stored.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutcomeError {
    /// The stable code.
    code: &'static str,
    /// A sentence for the developer.
    message: String,
    /// Whether publishing it again as it is may succeed.
    retryable: bool,
}

/// A position, written without a string in between.
#[derive(Debug)]
struct Shown(Position);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'a> Outcome<'a> {
    fn new(topic: &'a Topic, id: &'a EventId, stored: Result<Appended, Error>) -> Self {
        let (topic, id) = (topic.as_str(), id.as_str());
        let empty = Self { topic, id, position: None, offset: None, time: None, duplicate: None, error: None };
        match stored {
            Ok(appended) => Self {
                position: Some(Shown(appended.position)),
                offset: Some(appended.position.offset),
                time: Some(appended.time.as_micros()),
                duplicate: Some(appended.duplicate),
                ..empty
            },
            Err(error) => {
                let kind = error.kind();
                let (code, message) = (error.code(), error.to_string());
                let error = OutcomeError { code, message, retryable: kind.retryable() };
                Self { error: Some(error), ..empty }
            }
        }
    }
}

/// The answer: 200 if everything was stored, the first problem if nothing was, else 207.
pub(super) fn of(
    topics: &[Topic],
    ids: &[EventId],
    mut stored: Vec<Result<Appended, Error>>,
) -> Result<Response, Fault> {
    let failed = stored.iter().filter(|result| result.is_err()).count();
    if failed == stored.len()
        && let Some(Err(error)) = stored.drain(..).next()
    {
        return Err(error.into());
    }
    let status = if failed == 0 { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    let places = topics.iter().flat_map(|topic| ids.iter().map(move |id| (topic, id)));
    let results = places.zip(stored).map(|((topic, id), stored)| Outcome::new(topic, id, stored)).collect();
    let mut body = Vec::with_capacity(OUTCOME_BYTES * topics.len() * ids.len());
    serde_json::to_writer(&mut body, &Published { results }).expect("names and numbers are written to memory");
    Ok((status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}

#[cfg(test)]
mod tests {
    use fanfare_model::{Epoch, Timestamp};

    use super::*;

    #[test]
    fn the_status_says_whether_all_some_or_none_were_stored() {
        let topics = [Topic::new("a").unwrap()];
        let ids = [EventId::generate(), EventId::generate()];
        let position = Position::origin(Epoch::from_u32(1).unwrap());
        let appended = Appended { position, time: Timestamp::default(), duplicate: false };
        let result =
            |stored: bool| stored.then(|| appended.clone()).ok_or(Error::Log(fanfare_history::Error::Overloaded));
        for (first, second, status) in [(true, true, 200), (false, true, 207), (true, false, 207), (false, false, 503)]
        {
            let answer = of(&topics, &ids, vec![result(first), result(second)]).into_response();
            assert_eq!(answer.status().as_u16(), status, "{first} {second}");
        }
    }
}
