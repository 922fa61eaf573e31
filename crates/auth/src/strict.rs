//! JSON in which no object has a member twice.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Reads `text` and checks that it is one JSON object, and that no object in it has a member twice. Two readers
/// may take different ones of the two; a token must mean one thing.
///
/// The depth is limited by `serde_json` (128), the size by the caller.
pub(crate) fn check_object(text: &str) -> bool {
    text.trim_ascii_start().starts_with('{') && serde_json::from_str::<NoDuplicates>(text).is_ok()
}

struct NoDuplicates;

impl<'de> Deserialize<'de> for NoDuplicates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

/// Visits a value of any type and keeps nothing of it.
struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = NoDuplicates;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_i64<E>(self, _: i64) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_u64<E>(self, _: u64) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_f64<E>(self, _: f64) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_str<E>(self, _: &str) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_unit<E>(self) -> Result<NoDuplicates, E> {
        Ok(NoDuplicates)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<NoDuplicates, A::Error> {
        while items.next_element::<NoDuplicates>()?.is_some() {}
        Ok(NoDuplicates)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<NoDuplicates, A::Error> {
        let mut names = HashSet::new();
        while let Some(Name(name)) = members.next_key()? {
            if !names.insert(name) {
                return Err(de::Error::custom("a member twice"));
            }
            members.next_value::<NoDuplicates>()?;
        }
        Ok(NoDuplicates)
    }
}

/// A member's name, borrowed if it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::check_object;

    #[test]
    fn objects_without_duplicates_only() {
        for (text, expected) in [
            (r"{}", true),
            (r#" {"a":1,"b":[{"a":1},{"a":null}],"c":{"a":1.5,"b":true}} "#, true),
            (r#"{"a":1,"a":1}"#, false),
            (r#"{"a":1,"\u0061":1}"#, false),
            (r#"{"x":{"a":1,"a":2}}"#, false),
            (r#"{"x":[[{"a":1,"a":2}]]}"#, false),
            (r"[]", false),
            (r"1", false),
            (r"", false),
            (r#"{"a":1}{"#, false),
            (r#"{"a":1e400}"#, false),
            (r#"{"a":"\ud800"}"#, false),
        ] {
            assert_eq!(check_object(text), expected, "{text}");
        }
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert!(!check_object(&deep));
    }
}
