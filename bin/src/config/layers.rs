//! Where values come from. Each layer is a figment provider, so every value remembers its layer.

use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider, Source};

use super::problem::Problem;
use super::schema;

/// The prefix of environment variables that set a key: `FANFARE__ENGINE__KIND` sets `engine.kind`.
pub(super) const ENV_PREFIX: &str = "FANFARE__";
const ENV_SEPARATOR: &str = "__";

/// Values, and where they came from.
pub(super) struct Layer {
    metadata: Metadata,
    pub(super) values: Dict,
}

impl Layer {
    /// What the program itself says.
    pub(super) fn defaults(values: Dict) -> Self {
        Self { metadata: Metadata::named("the defaults"), values }
    }

    /// A file. A relative path stays relative in messages: that is how the operator knows it.
    pub(super) fn file(path: &Path) -> Result<Self, Problem> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Problem::about_source(
                format!("the file {shown}"),
                format!("cannot be read ({error})"),
                "check the path after --config (or in FANFARE_CONFIG) and that this user may read the file",
            )
        })?;
        let values = text
            .parse::<toml::Table>()
            .map_err(|error| error.to_string())
            .and_then(|table| Value::serialize(table).map_err(|error| error.to_string()))
            .map_err(|error| {
                Problem::about_source(
                    format!("the file {shown}"),
                    format!("is not TOML:\n{}", error.trim_end()),
                    "write it as in docs/reference/configuration.md: `[section]` lines and `key = value` lines",
                )
            })?;
        let metadata = Metadata::from("the file", Source::File(PathBuf::from(path)));
        Ok(Self { metadata, values: values.into_dict().unwrap_or_default() })
    }

    /// Environment variables. A variable that looks like a mistyped one of ours is a problem rather than ignored;
    /// others that begin with `FANFARE_` are left alone, because Kubernetes makes such for a service of that name.
    pub(super) fn environment(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, Problem> {
        let mut values = Dict::new();
        for (name, text) in variables {
            if let Some(path) = name.strip_prefix(ENV_PREFIX) {
                let keys: Vec<_> = path.split(ENV_SEPARATOR).map(str::to_ascii_lowercase).collect();
                let value = text.parse().unwrap_or_else(|_| Value::from(text.as_str()));
                insert(&mut values, &keys, fitting(&keys, &text, value));
            } else if let Some(rest) = name.strip_prefix("FANFARE_").filter(|rest| rest.contains(ENV_SEPARATOR)) {
                return Err(Problem::about_source(
                    format!("the environment variable {name}"),
                    "begins with FANFARE and one underscore, so it would set nothing".to_owned(),
                    format!("did you mean {ENV_PREFIX}{rest}?"),
                ));
            }
        }
        let metadata = Metadata::named("the environment").interpolater(|_: &Profile, keys: &[&str]| {
            format!("the environment variable {ENV_PREFIX}{}", keys.join(ENV_SEPARATOR).to_ascii_uppercase())
        });
        Ok(Self { metadata, values })
    }

    /// `key=value` of the command line. A value is read as TOML, and as plain text if it is not.
    pub(super) fn command_line(settings: &[String]) -> Result<Self, Problem> {
        let mut values = Dict::new();
        for setting in settings {
            let (key, text) = setting.split_once('=').filter(|(key, _)| !key.trim().is_empty()).ok_or_else(|| {
                Problem::about_source(
                    format!("the option --set {setting}"),
                    "has no key and value".to_owned(),
                    "write it like --set engine.kind=memory",
                )
            })?;
            let keys: Vec<_> = key.split('.').map(|key| key.trim().to_owned()).collect();
            let text = text.trim();
            insert(&mut values, &keys, fitting(&keys, text, toml_value(text)));
        }
        let metadata = Metadata::named("the option --set");
        Ok(Self { metadata, values })
    }

    /// Turns a list of listeners into a table by name. Returns whether there was a list: it then replaces what
    /// earlier layers say, while a table changes it.
    pub(super) fn name_listeners(&mut self) -> Result<bool, Problem> {
        if !matches!(self.values.get("listeners"), Some(Value::Array(..))) {
            return Ok(false);
        }
        let Some(Value::Array(_, list)) = self.values.remove("listeners") else {
            return Ok(false);
        };
        let mut named = Dict::new();
        for (at, listener) in list.into_iter().enumerate() {
            let wrong =
                |what: &str, fix: &str| Problem::about(format!("listeners.{at}"), what, fix).from(&self.metadata);
            let Value::Dict(_, mut listener) = listener else {
                return Err(wrong("is not a table", "write [[listeners]] with name, bind and serves below it"));
            };
            let Some(Value::String(_, name)) = listener.remove("name") else {
                return Err(wrong("has no name", "add a line like name = \"public\""));
            };
            if named.insert(name.clone(), Value::from(listener)).is_some() {
                return Err(wrong(
                    &format!("has the name {name:?}, which another listener has too"),
                    "give each listener its own name",
                ));
            }
        }
        self.values.insert("listeners".to_owned(), Value::from(named));
        Ok(true)
    }
}

impl Provider for &Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

fn insert(values: &mut Dict, keys: &[String], value: Value) {
    match keys {
        [] => {}
        [last] => drop(values.insert(last.clone(), value)),
        [first, rest @ ..] => {
            let inner = values.entry(first.clone()).or_insert_with(|| Value::from(Dict::new()));
            if !matches!(inner, Value::Dict(..)) {
                *inner = Value::from(Dict::new());
            }
            if let Value::Dict(_, inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// What was read, or the text itself where text belongs: a password may look like a number.
fn fitting(keys: &[String], text: &str, value: Value) -> Value {
    let is_text = !matches!(value, Value::String(..)) && schema::is_text(&keys.join("."));
    if is_text { Value::from(text) } else { value }
}

fn toml_value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("value"));
    // A date is text to every key there is.
    let parsed = parsed.filter(|value| !value.is_datetime());
    parsed.and_then(|value| Value::serialize(value).ok()).unwrap_or_else(|| Value::from(text))
}
