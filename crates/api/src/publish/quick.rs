//! Reading a body that has nothing wrong, in as few passes as may be and without copying large data.

use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;
use fanfare_model::json::Message;
use fanfare_model::{Draft, Topic};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::batch::{Batch, Form};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    #[serde(default, deserialize_with = "there")]
    topic: Option<Topic>,
    #[serde(default, deserialize_with = "there")]
    topics: Option<Vec<Topic>>,
    #[serde(borrow, default, deserialize_with = "there")]
    message: Option<Message<'a>>,
    #[serde(borrow, default, deserialize_with = "there")]
    messages: Option<&'a RawValue>,
}

/// A member that is there is not `null`.
fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a body; `None` if anything about it is not as it should be.
pub(super) fn read(body: &Bytes, batch_max: usize) -> Option<Batch> {
    let Request { topic, topics, message, messages } = serde_json::from_slice(body).ok()?;
    let (topics, topics_form) = match (topic, topics) {
        (Some(topic), None) => (vec![topic], Form::One("topic")),
        (None, Some(topics)) if are_distinct(&topics) => (topics, Form::Many("topics")),
        _ => return None,
    };
    let (messages, messages_form) = match (message, messages) {
        (Some(message), None) => (vec![message.into_draft_in(body).ok()?], Form::One("message")),
        (None, Some(messages)) => (drafts(messages, body, batch_max)?, Form::Many("messages")),
        _ => return None,
    };
    let pairs = topics.len().saturating_mul(messages.len());
    if pairs == 0 || pairs > batch_max {
        return None;
    }
    Some(Batch { topics, messages, topics_form, messages_form })
}

fn are_distinct(topics: &[Topic]) -> bool {
    let mut seen = HashSet::with_capacity(topics.len());
    topics.len() == 1 || topics.iter().all(|topic| seen.insert(topic))
}

/// Reads an array of at most `max` messages.
fn drafts(messages: &RawValue, body: &Bytes, max: usize) -> Option<Vec<Draft>> {
    struct Drafts<'b> {
        body: &'b Bytes,
        max: usize,
    }
    impl<'de> Visitor<'de> for Drafts<'_> {
        type Value = Vec<Draft>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut messages: A) -> Result<Self::Value, A::Error> {
            let mut drafts = Vec::new();
            while let Some(message) = messages.next_element::<Message<'de>>()? {
                if drafts.len() == self.max {
                    return Err(A::Error::custom("too many"));
                }
                drafts.push(message.into_draft_in(self.body).map_err(A::Error::custom)?);
            }
            Ok(drafts)
        }
    }
    serde_json::Deserializer::from_str(messages.get()).deserialize_seq(Drafts { body, max }).ok()
}
