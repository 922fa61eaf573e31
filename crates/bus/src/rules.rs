//! What the payload of an event must be like, by policy; and where an event goes that is not.

mod dead_letter;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use fanfare_model::{ByteSize, DataKind, Draft, EventName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use dead_letter::DeadLetter;
pub use schema::DataSchema;

use crate::error::Error;

/// What the data must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Any JSON.
    Json,
    /// A JSON object.
    JsonObject,
    /// Text; not JSON, and not bytes.
    Text,
    /// Bytes; not JSON, and not text.
    Binary,
}

/// The rules for events of a kind of topic. What is not set is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PayloadRules {
    /// What the data must be: `json`, `json_object`, `text` or `binary`. Default: anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// The names that events may have; `""` stands for an event without one. Default: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<BTreeSet<String>>,
    /// JSON Schemas of the data, by event name; `"*"` for all names that are not mentioned, and for events without one. A
    /// schema is written here, or is the path of a file of at most 256 KiB. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub schemas: BTreeMap<String, DataSchema>,
    /// The most bytes of data. Default: as many as `event_bytes_max` allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_bytes_max: Option<ByteSize>,
}

impl PayloadRules {
    /// Whether an event may be published.
    pub(crate) fn check(&self, draft: &Draft) -> Result<(), Error> {
        let (bytes, kind) = (draft.data.bytes(), draft.data.kind());
        if let Some(most) = self.data_bytes_max.filter(|most| bytes.len() > most.as_usize()) {
            return Err(refused(format!("the data have {} bytes; at most {most} are allowed", bytes.len())));
        }
        let name = draft.name.as_ref().map_or("", EventName::as_str);
        if let Some(names) = self.names.as_ref().filter(|names| !names.contains(name)) {
            return Err(refused(wrong_name(name, names)));
        }
        if let Some(content) = self.content.filter(|content| !content.is(draft)) {
            return Err(refused(format!("the data are not {}", content.as_str())));
        }
        let Some(schema) = self.schemas.get(name).or_else(|| self.schemas.get("*")) else { return Ok(()) };
        if kind != DataKind::Json {
            return Err(refused("the data are not JSON, and there is a schema for them".to_owned()));
        }
        schema.check(bytes).map_err(|broken| Error::Payload { reason: broken.reason, at: Some(broken.at) })
    }
}

impl Content {
    fn is(self, draft: &Draft) -> bool {
        let data = &draft.data;
        match self {
            Self::Json => data.kind() == DataKind::Json,
            Self::JsonObject => {
                let first = data.bytes().iter().find(|byte| !byte.is_ascii_whitespace());
                data.kind() == DataKind::Json && first == Some(&b'{')
            }
            Self::Text => data.kind() == DataKind::Text,
            Self::Binary => data.kind() == DataKind::Binary,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::JsonObject => "a JSON object",
            Self::Text => "text",
            Self::Binary => "binary",
        }
    }
}

/// So many of the allowed names are told: it is the publisher who made a mistake, not a list that is asked for.
const NAMES_TOLD_MAX: usize = 8;

fn wrong_name(name: &str, names: &BTreeSet<String>) -> String {
    let quoted = |name: &String| if name.is_empty() { "none".to_owned() } else { format!("`{name}`") };
    let allowed = names.iter().take(NAMES_TOLD_MAX).map(quoted).collect::<Vec<_>>().join(", ");
    let and_more = if names.len() > NAMES_TOLD_MAX { ", …" } else { "" };
    match name {
        "" => format!("the event has no name; allowed are {allowed}{and_more}"),
        name => format!("the event's name is `{name}`; allowed are {allowed}{and_more}"),
    }
}

fn refused(reason: String) -> Error {
    Error::Payload { reason, at: None }
}

#[cfg(test)]
mod tests {
    use fanfare_model::Data;

    use super::*;

    fn rules(toml: &str) -> PayloadRules {
        serde_json::from_str(toml).unwrap()
    }

    fn said(rules: &PayloadRules, name: Option<&str>, data: Data) -> Option<String> {
        let draft = Draft { name: name.map(|name| EventName::new(name).unwrap()), ..Draft::new(data) };
        rules.check(&draft).err().map(|error| {
            assert_eq!((error.kind(), error.code()), (fanfare_model::Kind::Invalid, "payload_refused"));
            error.to_string()
        })
    }

    #[test]
    fn content_is_checked() {
        let all = [Data::json("1").unwrap(), Data::json(" {}").unwrap(), Data::text("{}"), Data::binary("{}")];
        for (content, fit) in [
            ("json", [true, true, false, false]),
            ("json_object", [false, true, false, false]),
            ("text", [false, false, true, false]),
            ("binary", [false, false, false, true]),
        ] {
            let rules = rules(&format!(r#"{{"content":"{content}"}}"#));
            let found = all.clone().map(|data| said(&rules, None, data).is_none());
            assert_eq!(found, fit, "{content}");
        }
    }

    #[test]
    fn names_and_sizes_are_checked() {
        let rules = rules(r#"{"names":["message","typing"],"data_bytes_max":"4B"}"#);
        assert_eq!(said(&rules, Some("typing"), Data::text("1234")), None);
        let unknown = said(&rules, Some("other"), Data::text("")).unwrap();
        assert_eq!(unknown, "the event's name is `other`; allowed are `message`, `typing`");
        let none = said(&rules, None, Data::text("")).unwrap();
        assert_eq!(none, "the event has no name; allowed are `message`, `typing`");
        let large = said(&rules, Some("typing"), Data::text("12345")).unwrap();
        assert_eq!(large, "the data have 5 bytes; at most 4B are allowed");
    }

    #[test]
    fn a_schema_is_chosen_by_name() {
        let rules = rules(
            r#"{"schemas":{"n":{"type":"number"},"*":{"type":"object","properties":{"a":{"items":{"maximum":9}}}}}}"#,
        );
        assert_eq!(said(&rules, Some("n"), Data::json("1").unwrap()), None);
        let number = said(&rules, Some("n"), Data::json("{}").unwrap()).unwrap();
        assert_eq!(number, "the data break the schema: value is not of type \"number\"");
        assert_eq!(said(&rules, None, Data::json("{}").unwrap()), None);
        let item = said(&rules, Some("other"), Data::json(r#"{"a":[1,20]}"#).unwrap()).unwrap();
        assert_eq!(item, "the data break the schema at /a/1: value is greater than the maximum of 9");
        let text = said(&rules, None, Data::text("{}")).unwrap();
        assert_eq!(text, "the data are not JSON, and there is a schema for them");
    }
}
