//! What is kept of an event that was refused, or that nobody could work off.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fanfare_model::{Data, DataKind, Draft, EventId, EventName, Position, TopicKey};
use serde::Serialize;
use serde_json::value::RawValue;

/// The name of the event that carries a letter.
const NAME: &str = "fanfare.dead_letter";

/// An event on its way to the dead-letter topic of its policy.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    /// Where it was meant for, or came from.
    pub topic: &'a TopicKey,
    /// The event.
    pub draft: &'a Draft,
    /// Where it is, if it is in the log.
    pub position: Option<Position>,
    /// Why it goes there.
    pub reason: &'a str,
    /// A JSON pointer to what is wrong in its data.
    pub at: Option<&'a str>,
}

/// The data of a letter.
#[derive(Serialize)]
struct Letter<'a> {
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    /// How many bytes of data there were, if they are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_bytes: Option<usize>,
    message: Message<'a>,
}

/// The event as its publisher could send it again.
#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurred_at: Option<i64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

impl DeadLetter<'_> {
    /// The event that carries it: with the data, or without them if it would have more than `bytes_max` then.
    pub(crate) fn into_draft(self, id: &EventId, bytes_max: usize) -> Option<Draft> {
        let name = EventName::new(NAME).expect("a word of the program");
        let draft = |data| Draft { id: id.clone(), name: Some(name.clone()), ..Draft::new(data) };
        // Data that are nested as deep as they may be do not fit into a letter.
        let whole = self.write(true).and_then(|json| Data::json(json).ok()).map(draft);
        let fits = |letter: &Draft| letter.size() <= bytes_max;
        whole.filter(fits).or_else(|| Some(draft(Data::json(self.write(false)?).ok()?)).filter(fits))
    }

    fn write(&self, with_data: bool) -> Option<Vec<u8>> {
        let draft = self.draft;
        let (encoding, data) = if with_data { show(&draft.data)? } else { (None, None) };
        let letter = Letter {
            topic: self.topic.topic.as_str(),
            position: self.position,
            reason: self.reason,
            at: self.at,
            user: draft.user.as_ref().map(AsRef::as_ref),
            source: draft.source.as_ref().map(AsRef::as_ref),
            data_bytes: (!with_data).then(|| draft.data.bytes().len()),
            message: Message {
                id: draft.id.as_str(),
                name: draft.name.as_ref().map(AsRef::as_ref),
                key: draft.key.as_ref().map(AsRef::as_ref),
                occurred_at: draft.occurred_at.map(fanfare_model::Timestamp::as_micros),
                headers: draft.headers.iter().collect(),
                schema: draft.schema.as_ref().map(AsRef::as_ref),
                encoding,
                data,
            },
        };
        serde_json::to_vec(&letter).ok()
    }
}

/// Data as they stand in a message.
fn show(data: &Data) -> Option<(Option<&'static str>, Option<Box<RawValue>>)> {
    let text = |text: &str| serde_json::value::to_raw_value(text).ok();
    Some(match data.kind() {
        DataKind::Json => (None, Some(RawValue::from_string(data.as_text()?.to_owned()).ok()?)),
        DataKind::Text => (Some("text"), Some(text(data.as_text()?)?)),
        DataKind::Binary => (Some("base64"), Some(text(&STANDARD.encode(data.bytes()))?)),
    })
}

#[cfg(test)]
mod tests {
    use fanfare_model::{Tenant, Topic};
    use serde_json::{Value, json};

    use super::*;

    fn letter(data: Data, bytes_max: usize) -> Option<Value> {
        let topic = TopicKey::new(Tenant::default(), Topic::new("orders:1").unwrap());
        let id = EventId::new("e1").unwrap();
        let draft = Draft { id: id.clone(), name: Some(EventName::new("paid").unwrap()), ..Draft::new(data) };
        let letter = DeadLetter { topic: &topic, draft: &draft, position: None, reason: "wrong", at: Some("/a") };
        let found = letter.into_draft(&id, bytes_max)?;
        assert!(found.size() <= bytes_max);
        assert_eq!(found.name.unwrap().as_str(), NAME);
        Some(serde_json::from_slice(found.data.bytes()).unwrap())
    }

    #[test]
    fn a_letter_holds_a_message_that_can_be_sent_again() {
        for data in [Data::json(r#"{"a":[1]}"#).unwrap(), Data::text("\"hi\"\n"), Data::binary(vec![0, 255])] {
            let found = letter(data.clone(), 1000).unwrap();
            assert_eq!(
                (&found["topic"], &found["reason"], &found["at"]),
                (&json!("orders:1"), &json!("wrong"), &json!("/a"))
            );
            let again = fanfare_model::json::parse_message(found["message"].to_string().as_bytes()).unwrap();
            assert_eq!((again.data, again.id.as_str(), again.name.unwrap().as_str()), (data, "e1", "paid"));
        }
    }

    #[test]
    fn data_that_do_not_fit_are_left_out() {
        let found = letter(Data::text("x".repeat(400)), 300).unwrap();
        assert_eq!((&found["data_bytes"], found["message"].get("data")), (&json!(400), None));
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(letter(Data::json(deep).unwrap(), 1000).unwrap()["data_bytes"], json!(200));
        assert_eq!(letter(Data::text("x"), 20), None, "not even without data");
    }
}
