//! Walking over JSON without making values of it, and saying what is wrong and where.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::fault::Fault;

/// A place in the request's body: for people (`messages[3].name`) and as a JSON pointer (`/messages/3/name`).
/// The body itself is empty in both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) pointer: String,
}

impl Place {
    pub(super) fn member(&self, name: &str) -> Self {
        let name: String = name.chars().take(64).collect();
        let dot = if self.path.is_empty() { "" } else { "." };
        let escaped = name.replace('~', "~0").replace('/', "~1");
        Self { path: format!("{}{dot}{name}", self.path), pointer: format!("{}/{escaped}", self.pointer) }
    }

    pub(super) fn item(&self, index: usize) -> Self {
        Self { path: format!("{}[{index}]", self.path), pointer: format!("{}/{index}", self.pointer) }
    }

    /// What is here is wrong; `problem` says how.
    pub(super) fn fault(&self, problem: impl fmt::Display) -> Fault {
        let path = if self.path.is_empty() { "the body" } else { &self.path };
        Fault::invalid(format_args!("{path}: {problem}")).at(&self.pointer)
    }

    /// What is here is not a `wanted`.
    pub(super) fn wrong_type(&self, value: &RawValue, wanted: &str) -> Fault {
        self.fault(format_args!("is {}; it must be {wanted}", type_of(value)))
    }
}

/// A JSON text as it came, checked to be one.
pub(super) fn whole(bytes: &[u8]) -> Result<&RawValue, Fault> {
    let problem = |detail| Place::default().fault(detail).with_code("invalid_json");
    let text = std::str::from_utf8(bytes)
        .map_err(|error| problem(format!("is not valid UTF-8 at byte {}", error.valid_up_to())))?;
    serde_json::from_str(text).map_err(|error| problem(syntax(&error)))
}

/// What a parser found, without the place, which is said before it.
fn syntax(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    format!("is not valid JSON at line {}, column {}: {what}", error.line(), error.column())
}

/// What sort of JSON value this is.
fn type_of(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The text of a string.
pub(super) fn string<'a>(value: &'a RawValue, place: &Place) -> Result<Cow<'a, str>, Fault> {
    /// A string without escapes is borrowed.
    #[derive(serde::Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    match serde_json::from_str::<Text<'a>>(value.get()) {
        Ok(Text(text)) => Ok(text),
        // Half of a surrogate pair gets through where strings are only skipped.
        Err(_) if value.get().starts_with('"') => Err(place.fault("has an escape that stands for no character")),
        Err(_) => Err(place.wrong_type(value, "a string")),
    }
}

/// More members than any object here has: whoever sends so many has sent an unknown one, or one twice, among them.
const MEMBERS_MAX: usize = 32;

/// The members of an object, in order; none is looked at.
pub(super) fn members<'a>(value: &'a RawValue, place: &Place) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, Fault> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(Cow<'de, str>, &'de RawValue)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while members.len() < MEMBERS_MAX {
                let Some(member) = map.next_entry::<String, &'de RawValue>()? else { return Ok(members) };
                members.push((Cow::Owned(member.0), member.1));
            }
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(members)
        }
    }
    if !value.get().starts_with('{') {
        return Err(place.wrong_type(value, "an object"));
    }
    let members = serde_json::Deserializer::from_str(value.get())
        .deserialize_map(Members)
        .map_err(|_| place.fault("has a member whose name has an escape that stands for no character"))?;
    for (at, (name, _)) in members.iter().enumerate() {
        if members[..at].iter().any(|(earlier, _)| earlier == name) {
            return Err(place.member(name).fault("is there twice"));
        }
    }
    Ok(members)
}

/// The items of an array, at most `max` of them, and how many there are in all.
pub(super) fn items<'a>(value: &'a RawValue, max: usize, place: &Place) -> Result<(Vec<&'a RawValue>, usize), Fault> {
    struct Items(usize);
    impl<'de> Visitor<'de> for Items {
        type Value = (Vec<&'de RawValue>, usize);
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while items.len() < self.0 {
                let Some(item) = seq.next_element::<&'de RawValue>()? else {
                    let count = items.len();
                    return Ok((items, count));
                };
                items.push(item);
            }
            let mut count = items.len();
            while seq.next_element::<IgnoredAny>()?.is_some() {
                count += 1;
            }
            Ok((items, count))
        }
    }
    serde_json::Deserializer::from_str(value.get())
        .deserialize_seq(Items(max))
        .map_err(|_| place.wrong_type(value, "an array"))
}
