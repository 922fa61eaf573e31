//! The JSON Schema of the configuration, and what it says about a key.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;

/// The JSON Schema (draft 2020-12) of the configuration file.
pub(crate) fn json_schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    let mut schema = schema.to_value();
    // As a list a listener carries its name; as a table its key is the name.
    let table = schema["properties"]["listeners"].take();
    let description = table["description"].clone();
    let mut listener = resolve(&schema, &table["additionalProperties"]).cloned().unwrap_or_default();
    listener["properties"]["name"] = serde_json::json!({ "type": "string" });
    if let Some(required) = listener["required"].as_array_mut() {
        required.push("name".into());
    }
    let list = serde_json::json!({ "type": "array", "items": listener });
    schema["properties"]["listeners"] = serde_json::json!({ "description": description, "anyOf": [table, list] });
    schema
}

/// What a value of `key` should look like, from its description: the text for a person who got it wrong.
pub(super) fn expectation(key: &str) -> String {
    let root = json_schema();
    let mut at = Some(&root);
    for part in key.split('.').filter(|part| !part.is_empty()) {
        at = at.and_then(|schema| child(&root, schema, part));
    }
    match at.and_then(|schema| description(&root, schema)) {
        Some(text) => format!("{key}: {}", text.replace('\n', " ")),
        None => "see docs/reference/configuration.md".to_owned(),
    }
}

/// The description of `schema`, or of what it refers to.
pub(super) fn description<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a str> {
    schema.get("description").or_else(|| resolve(root, schema)?.get("description"))?.as_str()
}

/// The schema of the property, table entry or list item `part` of `schema`.
fn child<'a>(root: &'a Value, schema: &'a Value, part: &str) -> Option<&'a Value> {
    let schema = resolve(root, schema)?;
    if let Some(found) = schema.get("properties").and_then(|properties| properties.get(part)) {
        return Some(found);
    }
    let entries = schema.get("additionalProperties").filter(|entries| entries.is_object());
    let items = schema.get("items").filter(|_| part.parse::<usize>().is_ok());
    entries.or(items).or_else(|| {
        let mut ways = ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| schema.get(*word)?.as_array()).flatten();
        ways.find_map(|way| child(root, way, part))
    })
}

/// Follows `$ref`.
pub(super) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => root.pointer(reference.strip_prefix('#')?),
        None => Some(schema),
    }
}
