//! What became of each event.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use fanfare_bus::{Appended, Error};
use fanfare_model::{Draft, Topic};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::fault::Fault;

/// What became of every event of a request: topic by topic, and within a topic message by message, in the order
/// they were given.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Published {
    /// One entry per topic and message.
    results: Vec<Outcome>,
}

/// What became of one event: `position`, `offset`, `time` and `duplicate`, or `error`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(
    json!({"topic": "orders:42", "id": "order-42-paid", "position": "1TzKqX.18.2dT", "offset": 18,
        "time": 1_763_719_200_123_456_i64, "duplicate": false}),
    json!({"topic": "orders:42", "id": "order-42-paid",
        "error": {"code": "unavailable", "message": "the event store is not available", "retryable": true}}),
))]
pub(crate) struct Outcome {
    /// Where it was published.
    topic: String,
    /// Its id: the publisher's own, or the one it was given.
    id: String,
    /// Where it is in the topic's log. For a duplicate, where it was stored first.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
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

impl Outcome {
    fn new(topic: &Topic, id: &str, stored: Result<Appended, Error>) -> Self {
        let empty = Self {
            topic: topic.as_str().to_owned(),
            id: id.to_owned(),
            position: None,
            offset: None,
            time: None,
            duplicate: None,
            error: None,
        };
        match stored {
            Ok(appended) => Self {
                position: Some(appended.position.to_string()),
                offset: Some(appended.position.offset),
                time: Some(appended.time.as_micros()),
                duplicate: Some(appended.duplicate),
                ..empty
            },
            Err(error) => {
                let kind = error.kind();
                let error = OutcomeError { code: kind.code(), message: error.to_string(), retryable: kind.retryable() };
                Self { error: Some(error), ..empty }
            }
        }
    }
}

/// The answer: 200 if everything was stored, the first problem if nothing was, else 207.
pub(super) fn of(
    topics: &[Topic],
    messages: &[Draft],
    mut stored: Vec<Result<Appended, Error>>,
) -> Result<Response, Fault> {
    let failed = stored.iter().filter(|result| result.is_err()).count();
    if failed == stored.len()
        && let Some(Err(error)) = stored.drain(..).next()
    {
        return Err(error.into());
    }
    let status = if failed == 0 { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    let places = topics.iter().flat_map(|topic| messages.iter().map(move |message| (topic, message)));
    let results = places.zip(stored).map(|((topic, message), stored)| Outcome::new(topic, message.id.as_str(), stored));
    Ok((status, Json(Published { results: results.collect() })).into_response())
}

#[cfg(test)]
mod tests {
    use fanfare_model::{Data, Epoch, Position, Timestamp};

    use super::*;

    #[test]
    fn the_status_says_whether_all_some_or_none_were_stored() {
        let topics = [Topic::new("a").unwrap()];
        let messages = [Draft::new(Data::text("1")), Draft::new(Data::text("2"))];
        let position = Position::origin(Epoch::from_u32(1).unwrap());
        let appended = Appended { position, time: Timestamp::default(), duplicate: false };
        let result =
            |stored: bool| stored.then(|| appended.clone()).ok_or(Error::Log(fanfare_history::Error::Overloaded));
        for (first, second, status) in [(true, true, 200), (false, true, 207), (true, false, 207), (false, false, 503)]
        {
            let answer = of(&topics, &messages, vec![result(first), result(second)]).into_response();
            assert_eq!(answer.status().as_u16(), status, "{first} {second}");
        }
    }
}
