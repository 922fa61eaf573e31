//! Events, as readers get them.

use fanfare_model::{Data, DataKind, Event, Headers};

use crate::v1::{self, event, message};

impl From<&Event> for v1::Event {
    fn from(event: &Event) -> Self {
        let draft = &event.draft;
        Self {
            topic: event.topic.topic.as_str().to_owned(),
            position: event.position().to_string(),
            offset: event.offset,
            id: draft.id.as_str().to_owned(),
            name: text(draft.name.as_ref()),
            time: event.time.as_micros(),
            data: Some((&draft.data).into()),
            occurred_at: draft.occurred_at.map(fanfare_model::Timestamp::as_micros),
            user: text(draft.user.as_ref()),
            source: text(draft.source.as_ref()),
            key: text(draft.key.as_ref()),
            headers: map(&draft.headers),
            schema: text(draft.schema.as_ref()),
        }
    }
}

impl From<&Data> for event::Data {
    fn from(data: &Data) -> Self {
        match (data.kind(), data.as_text()) {
            (DataKind::Json, _) => Self::Json(data.bytes().clone()),
            (DataKind::Text, Some(text)) => Self::Text(text.to_owned()),
            // Text that is none cannot be made; it would still be shown.
            (DataKind::Text, None) | (DataKind::Binary, _) => Self::Binary(data.bytes().clone()),
        }
    }
}

impl From<event::Data> for message::Data {
    fn from(data: event::Data) -> Self {
        match data {
            event::Data::Json(json) => Self::Json(json),
            event::Data::Text(text) => Self::Text(text),
            event::Data::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

/// The text of a name that may be missing: empty if it is.
pub(super) fn text(name: Option<&impl AsRef<str>>) -> String {
    name.map(|name| name.as_ref().to_owned()).unwrap_or_default()
}

pub(super) fn map(headers: &Headers) -> std::collections::HashMap<String, String> {
    headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
