//! Texts with places to fill: `{topic}`, `{payload}` and the like. What is not the name of a place stays as it is, so
//! that JSON needs no escaping.

use std::collections::BTreeMap;

/// A place that is filled anew for each request or frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Topic,
    Also,
    Payload,
    Items,
    Token,
    From,
    Position,
    User,
    Now,
    Expires,
    OccurredAt,
}

impl Place {
    const NAMES: [(&'static str, Self); 11] = [
        ("topic", Self::Topic),
        ("also", Self::Also),
        ("payload", Self::Payload),
        ("items", Self::Items),
        ("token", Self::Token),
        ("from", Self::From),
        ("position", Self::Position),
        ("user", Self::User),
        ("now", Self::Now),
        ("expires", Self::Expires),
        ("occurred_at", Self::OccurredAt),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, place)| *place)
    }
}

/// What is put into the places. What a template does not mention need not be given.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Values<'a> {
    /// Name of the topic.
    pub(crate) topic: &'a str,
    /// What names the further topics of a reader that has several.
    pub(crate) also: &'a str,
    /// The stamped payload.
    pub(crate) payload: &'a [u8],
    /// The items of a batch, joined.
    pub(crate) items: &'a [u8],
    /// Credential of the reader or publisher.
    pub(crate) token: &'a str,
    /// Where to begin, in the server's words.
    pub(crate) from: &'a str,
    /// What the server gave with the last event that came.
    pub(crate) position: &'a str,
    /// Number of the user.
    pub(crate) user: u32,
    /// Seconds since 1970.
    pub(crate) now: u64,
    /// When the event happened, in microseconds since 1970.
    pub(crate) occurred_at: u64,
}

/// How long tokens live that are made here: as long as servers commonly allow.
const TOKEN_SECONDS: u64 = 23 * 3600;

/// A parsed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

impl Template {
    /// Parses `text` after its constants have been put in.
    pub(crate) fn new(text: &str, constants: &BTreeMap<String, String>) -> Self {
        let text = fill(text, constants);
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, name, after)) = next_name(rest) {
            let Some(place) = Place::named(name) else {
                let end = rest.len() - after.len();
                push_text(&mut parts, &rest[..end]);
                rest = after;
                continue;
            };
            push_text(&mut parts, before);
            parts.push(Part::Place(place));
            rest = after;
        }
        push_text(&mut parts, rest);
        Self { parts }
    }

    /// Whether it is filled with the items of a batch.
    pub(crate) fn takes_items(&self) -> bool {
        self.parts.contains(&Part::Place(Place::Items))
    }

    /// Whether it is different for each topic.
    pub(crate) fn takes_topic(&self) -> bool {
        self.parts.contains(&Part::Place(Place::Topic))
    }

    /// Appends the filled text.
    pub(crate) fn render(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            let place = match part {
                Part::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                Part::Place(place) => place,
            };
            match place {
                Place::Topic => out.extend_from_slice(values.topic.as_bytes()),
                Place::Also => out.extend_from_slice(values.also.as_bytes()),
                Place::Payload => out.extend_from_slice(values.payload),
                Place::Items => out.extend_from_slice(values.items),
                Place::Token => out.extend_from_slice(values.token.as_bytes()),
                Place::From => out.extend_from_slice(values.from.as_bytes()),
                Place::Position => out.extend_from_slice(values.position.as_bytes()),
                Place::User => out.extend_from_slice(values.user.to_string().as_bytes()),
                Place::Now => out.extend_from_slice(values.now.to_string().as_bytes()),
                Place::Expires => out.extend_from_slice((values.now + TOKEN_SECONDS).to_string().as_bytes()),
                Place::OccurredAt => out.extend_from_slice(values.occurred_at.to_string().as_bytes()),
            }
        }
    }

    /// The filled text.
    pub(crate) fn text(&self, values: &Values<'_>) -> String {
        let mut out = Vec::new();
        self.render(values, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Puts constants into a text.
pub(crate) fn fill(text: &str, constants: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, after)) = next_name(rest) {
        if let Some(value) = constants.get(name) {
            out.push_str(before);
            out.push_str(value);
        } else {
            out.push_str(&rest[..rest.len() - after.len()]);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(text),
        _ if text.is_empty() => {}
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

/// What stands before, in and behind the first `{name}`.
fn next_name(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        let inside = &text[open + 1..];
        let length = inside.bytes().take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_').count();
        if length > 0 && inside.as_bytes().get(length) == Some(&b'}') {
            return Some((&text[..open], &inside[..length], &inside[length + 1..]));
        }
        from = open + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> String {
        let constants = BTreeMap::from([("port".to_owned(), "8080".to_owned())]);
        let values = Values { topic: "t:1", payload: b"PAY", token: "TOK", user: 7, now: 1, ..Values::default() };
        Template::new(text, &constants).text(&values)
    }

    #[test]
    fn places_and_constants_are_filled() {
        assert_eq!(rendered("http://h:{port}/{topic}?u={user}"), "http://h:8080/t:1?u=7");
        assert_eq!(rendered("{payload}"), "PAY");
        assert_eq!(rendered(r#"{"exp":{expires}}"#), r#"{"exp":82801}"#);
    }

    #[test]
    fn json_and_unknown_names_stay() {
        let json = r#"{"id":1,"subscribe":{"topic":"{topic}","x":{},"y":{other}}}"#;
        assert_eq!(rendered(json), r#"{"id":1,"subscribe":{"topic":"t:1","x":{},"y":{other}}}"#);
        assert_eq!(rendered("{{topic}}"), "{t:1}");
        assert_eq!(rendered("{"), "{");
        assert_eq!(rendered(""), "");
    }

    #[test]
    fn whether_it_takes_a_batch_is_known() {
        let none = BTreeMap::new();
        assert!(Template::new("[{items}]", &none).takes_items());
        assert!(!Template::new("[{payload}]", &none).takes_items());
    }
}
