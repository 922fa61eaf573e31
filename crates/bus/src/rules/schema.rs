//! A JSON Schema that is ready to be used.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use fanfare_model::ByteSize;
use jsonschema::{PatternOptions, Validator};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The largest schema. What is larger is a program, and takes a program's time for each event.
const SCHEMA_BYTES_MAX: ByteSize = ByteSize::kib(256);
/// The most memory of one compiled pattern: the `regex` crate's own default is 10 MiB, for programs that know theirs.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// What is told of why data were refused: a schema may have long texts.
const REASON_CHARS_MAX: usize = 300;
/// The longest path that is told.
const PATH_CHARS_MAX: usize = 200;

/// A JSON Schema (drafts 4 to 2020-12, `$schema` says which), compiled. It is read, and found good, when the configuration
/// is: one that exists can be used.
///
/// References lead within the schema: nothing is fetched. Patterns are of the kind that takes linear time, without
/// look-around and back-references.
#[derive(Clone)]
pub struct DataSchema {
    source: Source,
    validator: Arc<Validator>,
}

/// Where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
enum Source {
    File(String),
    Inline(Value),
}

/// What is wrong with data.
pub(super) struct Broken {
    pub(super) reason: String,
    /// A JSON pointer to where; empty for the whole.
    pub(super) at: String,
}

impl DataSchema {
    /// Compiles a schema. The error names what is wrong with it.
    pub fn new(schema: Value) -> Result<Self, String> {
        let validator = Arc::new(compile(&schema)?);
        Ok(Self { source: Source::Inline(schema), validator })
    }

    /// Reads a schema from a file. Blocks.
    pub fn read(path: &str) -> Result<Self, String> {
        let schema = load(Path::new(path)).map_err(|what| format!("the schema {path:?} {what}"))?;
        let validator = compile(&schema).map_err(|what| format!("the file {path:?}: {what}"))?;
        Ok(Self { source: Source::File(path.to_owned()), validator: Arc::new(validator) })
    }

    /// Whether JSON text, checked to be JSON, is as the schema says.
    pub(super) fn check(&self, json: &[u8]) -> Result<(), Broken> {
        let broken = |reason, at| Err(Broken { reason, at });
        let Ok(data) = serde_json::from_slice::<Value>(json) else {
            // JSON, but a number in it is beyond what the parser holds.
            return broken("the data cannot be read to be compared with the schema".to_owned(), String::new());
        };
        let Err(error) = self.validator.validate(&data) else { return Ok(()) };
        // The value itself stays out of it: the text goes to logs and other people's topics.
        let what = cut(&error.masked().to_string(), REASON_CHARS_MAX);
        let at = cut(error.instance_path().as_str(), PATH_CHARS_MAX);
        let place = if at.is_empty() { String::new() } else { format!(" at {at}") };
        broken(format!("the data break the schema{place}: {what}"), at)
    }
}

fn load(path: &Path) -> Result<Value, String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > SCHEMA_BYTES_MAX.0 {
        return Err(format!("has {bytes} bytes; at most {SCHEMA_BYTES_MAX} are allowed"));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    serde_json::from_str(&text).map_err(|error| format!("is not JSON: {error}"))
}

fn compile(schema: &Value) -> Result<Validator, String> {
    let bytes = schema.to_string().len();
    if ByteSize(bytes as u64) > SCHEMA_BYTES_MAX {
        return Err(format!("the schema has {bytes} bytes; at most {SCHEMA_BYTES_MAX} are allowed"));
    }
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
    jsonschema::options().offline().with_pattern_options(patterns).build(schema).map_err(|error| {
        let at = error.instance_path().as_str();
        let place = if at.is_empty() { String::new() } else { format!(" at {at}") };
        format!("the schema is wrong{place}: {error}")
    })
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

impl fmt::Debug for DataSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl PartialEq for DataSchema {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for DataSchema {}

impl Serialize for DataSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DataSchema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Source::deserialize(deserializer)? {
            Source::File(path) => Self::read(&path),
            Source::Inline(schema) => Self::new(schema),
        }
        .map_err(D::Error::custom)
    }
}

impl JsonSchema for DataSchema {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("DataSchema")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A JSON Schema, or the path of a file that has one.",
            "type": ["string", "object", "boolean"]
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(schema: Value) -> String {
        DataSchema::new(schema).unwrap_err()
    }

    #[test]
    fn a_bad_schema_is_found_when_it_is_read() {
        let typo = wrong(json!({"properties": {"a": {"type": "numbr"}}}));
        assert!(typo.contains("/properties/a/type"), "{typo}");
        let pattern = wrong(json!({"pattern": "(?=look)around"}));
        assert!(pattern.contains("look"), "{pattern}");
        let huge_pattern = wrong(json!({"pattern": "((a{1000}){1000}){1000}"}));
        assert!(huge_pattern.starts_with("the schema is wrong"), "{huge_pattern}");
        let large = wrong(json!({"description": "x".repeat(300 * 1024)}));
        assert!(large.contains("at most 256KiB"), "{large}");
    }

    #[test]
    fn nothing_is_fetched() {
        for reference in
            ["https://example.com/a.json", "http://127.0.0.1:1/a.json", "file:///etc/hostname", "other.json"]
        {
            let said = wrong(json!({"$ref": reference}));
            assert!(said.starts_with("the schema is wrong"), "{said}");
        }
        let within = json!({"$ref": "#/$defs/n", "$defs": {"n": {"type": "number"}}});
        assert!(DataSchema::new(within).unwrap().check(b"1").is_ok());
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = DataSchema::new(json!({"$ref": "#"})).unwrap();
        assert!(schema.check(b"[[]]").is_ok());
        let list = json!({"properties": {"next": {"$ref": "#"}}, "required": ["v"]});
        let list = DataSchema::new(list).unwrap();
        assert!(list.check(br#"{"v":1,"next":{"v":2}}"#).is_ok());
        assert_eq!(list.check(br#"{"v":1,"next":{}}"#).err().unwrap().at, "/next");
    }

    #[test]
    fn a_refusal_shows_no_value_and_is_short() {
        let names: Vec<String> = (0..1000).map(|n| format!("name-{n}")).collect();
        let schema = DataSchema::new(json!({"properties": {"a": {"enum": names}}})).unwrap();
        let broken = schema.check(br#"{"a":"secret"}"#).err().unwrap();
        assert!(broken.reason.contains("at /a") && !broken.reason.contains("secret"), "{}", broken.reason);
        assert!(broken.reason.chars().count() < REASON_CHARS_MAX + 100);
    }

    #[test]
    fn a_file_is_read_once_and_named_in_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("message.json");
        std::fs::write(&path, r#"{"type":"string"}"#).unwrap();
        let text = serde_json::to_string(path.to_str().unwrap()).unwrap();
        let schema: DataSchema = serde_json::from_str(&text).unwrap();
        assert!(schema.check(b"\"x\"").is_ok() && schema.check(b"1").is_err());
        assert_eq!(serde_json::to_string(&schema).unwrap(), text);
        for bad in ["{", "{\"type\":\"strng\"}"] {
            std::fs::write(&path, bad).unwrap();
            let error = serde_json::from_str::<DataSchema>(&text).unwrap_err().to_string();
            assert!(error.contains("message.json"), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        let error = serde_json::from_str::<DataSchema>(&text).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
