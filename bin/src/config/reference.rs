//! The reference of every key, written from the schema.

use std::fmt::Write as _;

use serde_json::Value;

use super::schema::{description, resolve};
use super::{Config, json_schema};

/// Every key, its default and its meaning, as Markdown. `docs/reference/configuration.md` is this text.
pub(crate) fn markdown() -> String {
    let schema = json_schema();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut text = String::from(INTRODUCTION);
    let empty = serde_json::Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    for (name, section) in properties {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n## `{name}`\n\n{}\n", about(&schema, section));
        let mut rows = Vec::new();
        keys(&schema, section, name, defaults.get(name), &mut rows);
        if rows.is_empty() {
            let default = defaults.get(name).map(shown).unwrap_or_default();
            let _ = write!(text, "\nDefault: `{default}`\n");
        } else {
            text.push_str("\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n");
            text.extend(rows);
        }
    }
    text
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Written by `fanfare config reference`; a test fails if it is out of date. -->

Values come from, each winning over the one before: the defaults, the file (`--config`, `FANFARE_CONFIG`, or `fanfare.toml` in the
working directory), environment variables (`FANFARE__SECTION__KEY`, e.g. `FANFARE__ENGINE__KIND=memory`), and `--set section.key=value`.
Unknown keys are errors. Durations are written like `\"500ms\"`, `\"30s\"`, `\"15m\"`, `\"24h\"`, `\"7d\"`; sizes like `\"64KiB\"`, `\"1MiB\"`.
In the tables `<name>` stands for a name of your own, and `[]` for an entry of a list.
";

/// One row for each key below `schema`.
fn keys(root: &Value, schema: &Value, path: &str, default: Option<&Value>, rows: &mut Vec<String>) {
    let Some(schema) = resolve(root, schema) else { return };
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, property) in properties {
            let path = format!("{path}.{name}");
            let default = default.and_then(|value| value.get(name));
            let before = rows.len();
            keys(root, property, &path, default, rows);
            if rows.len() == before {
                let default = default.filter(|value| !value.is_null()).map(shown);
                let default = default.map_or(String::new(), |value| format!("`{value}`"));
                let (kind, about) = (kind(root, property), about(root, property));
                rows.push(format!("| `{path}` | {} | {} | {} |\n", cell(&kind), cell(&default), cell(&about)));
            }
        }
        return;
    }
    if let Some(entries) = schema.get("additionalProperties").filter(|entries| entries.is_object()) {
        return keys(root, entries, &format!("{path}.<name>"), None, rows);
    }
    if let Some(items) = schema.get("items") {
        return keys(root, items, &format!("{path}[]"), None, rows);
    }
    for ways in ["anyOf", "oneOf", "allOf"] {
        for way in schema.get(ways).and_then(Value::as_array).into_iter().flatten() {
            let before = rows.len();
            keys(root, way, path, default, rows);
            if rows.len() > before {
                return;
            }
        }
    }
}

/// The type of a value, in words.
fn kind(root: &Value, schema: &Value) -> String {
    let Some(schema) = resolve(root, schema) else { return String::new() };
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words
            .iter()
            .filter(|word| !word.is_null())
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(" ");
    }
    if let Some(word) = schema.get("const") {
        return format!("`{word}`");
    }
    for ways in ["anyOf", "oneOf"] {
        if let Some(ways) = schema.get(ways).and_then(Value::as_array) {
            let ways: Vec<_> = ways.iter().map(|way| kind(root, way)).filter(|kind| kind != "null").collect();
            return ways.join(" ");
        }
    }
    if let Some(format @ ("duration" | "size")) = schema.get("format").and_then(Value::as_str) {
        return format.to_owned();
    }
    match schema.get("type") {
        Some(Value::String(name)) if name == "array" => {
            let items = schema.get("items").map(|items| kind(root, items)).unwrap_or_default();
            format!("list of {items}")
        }
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect::<Vec<_>>().join(" or ")
        }
        _ => String::new(),
    }
}

fn about(root: &Value, schema: &Value) -> String {
    description(root, schema).unwrap_or_default().replace('\n', " ")
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    }
}

/// Text that a table can hold.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace("<name>", "&lt;name&gt;")
}
