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
    match find(&root, key).and_then(|schema| description(&root, schema)) {
        Some(text) => format!("{key}: {}", text.replace('\n', " ")),
        None => "see docs/reference/configuration.md".to_owned(),
    }
}

/// Whether the value of `key` is text, whatever it looks like.
pub(super) fn is_text(key: &str) -> bool {
    let root = json_schema();
    find(&root, key).is_some_and(|schema| types(&root, schema).all(|name| name == "string"))
}

/// The schema of `key`.
fn find<'a>(root: &'a Value, key: &str) -> Option<&'a Value> {
    let mut parts = key.split('.').filter(|part| !part.is_empty());
    parts.try_fold(root, |schema, part| child(root, schema, part))
}

/// The types that a value may have, but for none at all.
fn types<'a>(root: &'a Value, schema: &'a Value) -> Box<dyn Iterator<Item = &'a str> + 'a> {
    let schema = resolve(root, schema).unwrap_or(schema);
    if let Some(ways) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
        return Box::new(ways.iter().flat_map(|way| types(root, way)));
    }
    let names = match schema.get("type") {
        Some(Value::Array(names)) => names.as_slice(),
        Some(name) => std::slice::from_ref(name),
        // Anything.
        None => return Box::new(std::iter::once("any")),
    };
    Box::new(names.iter().filter_map(Value::as_str).filter(|name| *name != "null"))
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
