//! Messages, as publishers send them.

use std::collections::HashMap;

use fanfare_model::{
    Data, Draft, EventId, EventName, HEADERS_COUNT_MAX, Headers, Invalid, Key, Schema, Source, Timestamp,
};

use super::event::{map, text};
use crate::v1::{self, message};

/// Checks every member; without an id it gets a fresh one.
impl TryFrom<v1::Message> for Draft {
    type Error = Invalid;

    fn try_from(message: v1::Message) -> Result<Self, Invalid> {
        let v1::Message { name, data, event_id, key, occurred_at, headers, schema, source } = message;
        Ok(Self {
            id: if event_id.is_empty() { EventId::generate() } else { EventId::new(event_id)? },
            name: given(name).map(EventName::from_publisher).transpose()?,
            data: data.ok_or_else(|| Invalid::new("message", "has no `data`"))?.try_into()?,
            occurred_at: occurred_at.map(Timestamp::from_micros),
            user: None,
            source: given(source).map(Source::new).transpose()?,
            key: given(key).map(Key::new).transpose()?,
            headers: sorted(headers)?,
            schema: given(schema).map(Schema::new).transpose()?,
        })
    }
}

impl TryFrom<message::Data> for Data {
    type Error = Invalid;

    fn try_from(data: message::Data) -> Result<Self, Invalid> {
        match data {
            message::Data::Json(json) => Self::json(json),
            message::Data::Text(text) => Ok(Self::text(text)),
            message::Data::Binary(bytes) => Ok(Self::binary(bytes)),
        }
    }
}

/// Whom it is of is not in a message.
impl From<&Draft> for v1::Message {
    fn from(draft: &Draft) -> Self {
        Self {
            name: text(draft.name.as_ref()),
            data: Some(v1::event::Data::from(&draft.data).into()),
            event_id: draft.id.as_str().to_owned(),
            key: text(draft.key.as_ref()),
            occurred_at: draft.occurred_at.map(Timestamp::as_micros),
            headers: map(&draft.headers),
            schema: text(draft.schema.as_ref()),
            source: text(draft.source.as_ref()),
        }
    }
}

/// In protobuf an empty text and none are the same.
fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn sorted(map: HashMap<String, String>) -> Result<Headers, Invalid> {
    if map.len() > HEADERS_COUNT_MAX {
        return Err(Invalid::new("headers", format_args!("are more than {HEADERS_COUNT_MAX}")));
    }
    let mut headers = Headers::new();
    for (name, value) in map {
        headers.insert(&name, &value)?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn of(data: message::Data) -> v1::Message {
        v1::Message { data: Some(data), ..v1::Message::default() }
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let text = || of(message::Data::Text("x".to_owned()));
        let headers = |pairs: &[(&str, &str)]| {
            let headers = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            v1::Message { headers, ..text() }
        };
        let numbered: Vec<(String, &str)> = (0..17).map(|n| (format!("h{n}"), "v")).collect();
        let many: Vec<(&str, &str)> = numbered.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        for (message, part) in [
            (v1::Message::default(), "message has no `data`"),
            (of(message::Data::Json(Bytes::from("{"))), "data is not valid JSON"),
            (v1::Message { name: "fanfare.x".to_owned(), ..text() }, "is kept for the server's own events"),
            (v1::Message { name: "a\nb".to_owned(), ..text() }, "event name has the character U+000A"),
            (v1::Message { event_id: "x".repeat(129), ..text() }, "event id has 129 bytes"),
            (headers(&[("Upper", "v")]), "header name"),
            (headers(&many), "headers are more than 16"),
        ] {
            let error = Draft::try_from(message).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn without_an_id_it_gets_one_of_its_own() {
        let draft = || Draft::try_from(of(message::Data::Text(String::new()))).unwrap();
        assert_ne!(draft().id, draft().id);
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![Just(String::new()), "[a-zA-Zé0-9 ]{1,20}"]
    }

    proptest! {
        #[test]
        fn a_message_is_the_same_again(
            names in (name(), name(), name(), name()),
            event_id in "[a-z0-9]{1,20}",
            occurred_at in proptest::option::of(any::<i64>()),
            data in prop_oneof![
                "[0-9]{1,5}".prop_map(|json| message::Data::Json(format!("[\"{json}\"]").into())),
                any::<String>().prop_map(message::Data::Text),
                prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| message::Data::Binary(bytes.into())),
            ],
            headers in prop::collection::hash_map("[a-z]{1,8}", "[ -~]{0,20}", 0..4),
        ) {
            let (name, key, schema, source) = names;
            let message =
                v1::Message { name, data: Some(data), event_id, key, occurred_at, headers, schema, source };
            let draft = Draft::try_from(message.clone()).unwrap();
            prop_assert_eq!(v1::Message::from(&draft), message);
        }
    }
}
