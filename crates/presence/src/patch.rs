//! What a member says of itself: JSON, and merge patches of it.

use std::collections::BTreeMap;

use fanfare_model::json::complaint;
use fanfare_model::{Data, Invalid};
use serde_json::value::{RawValue, to_raw_value};

/// The JSON as it is kept: on one line, as line-based protocols need it, and not nested deeper than events may be. `null`
/// is nothing.
pub(crate) fn tidy(raw: &RawValue) -> Result<Option<Box<RawValue>>, Invalid> {
    Data::from_raw_json(raw)?;
    let text = raw.get();
    if text == "null" {
        return Ok(None);
    }
    // JSON has line breaks only between its tokens.
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    RawValue::from_string(text).map(Some).map_err(|error| complaint("data", &error))
}

/// Applies a merge patch (RFC 7396). Values that the patch does not name keep their text, so that no number loses digits.
pub(crate) fn merge(target: Option<&RawValue>, patch: &RawValue) -> Result<Box<RawValue>, Invalid> {
    let Some(changes) = object(patch)? else { return Ok(patch.to_owned()) };
    let mut members = match target {
        Some(target) => object(target)?.unwrap_or_default(),
        None => BTreeMap::new(),
    };
    for (name, change) in changes {
        if change.get() == "null" {
            members.remove(&name);
        } else {
            let merged = merge(members.get(&name).map(|member| &**member), &change)?;
            members.insert(name, merged);
        }
    }
    to_raw_value(&members).map_err(|error| complaint("data", &error))
}

fn object(raw: &RawValue) -> Result<Option<BTreeMap<String, Box<RawValue>>>, Invalid> {
    if !raw.get().starts_with('{') {
        return Ok(None);
    }
    serde_json::from_str(raw.get()).map(Some).map_err(|error| complaint("data", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn merges_as_the_standard_says() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merge(Some(&raw(target)), &raw(patch)).unwrap().get(), result, "{target} + {patch}");
        }
        let precise = r#"{"n":123456789012345678901234567890}"#;
        let merged = merge(Some(&raw(precise)), &raw(r#"{"a":1.10}"#)).unwrap();
        assert_eq!(merged.get(), r#"{"a":1.10,"n":123456789012345678901234567890}"#);
    }

    #[test]
    fn is_kept_on_one_line() {
        assert_eq!(tidy(&raw("{\r\n \"a\":\n1}")).unwrap().unwrap().get(), "{ \"a\":1}");
        assert!(tidy(&raw("null")).unwrap().is_none());
        let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
        assert!(tidy(&raw(&deep)).is_err());
    }
}
