//! What is wrong with a configuration, told so that it can be put right.

use std::fmt;

use figment::error::{Actual, Kind};
use figment::{Metadata, Profile};

use super::schema;

/// One mistake: which key, where its value came from, what is wrong, and the fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The key with its dots; empty if the whole source is wrong.
    key: String,
    /// Where the value came from, e.g. `the file fanfare.toml`; empty if from nowhere.
    source: String,
    what: String,
    fix: String,
}

/// Engines that a build may lack, and with them their sections.
const ENGINES: [&str; 4] = ["redis", "nats", "postgres", "remote"];

impl Problem {
    /// Something is wrong with the value of `key`.
    pub(super) fn about(key: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { key: key.into(), source: String::new(), what: what.into(), fix: fix.into() }
    }

    /// Something is wrong with a whole source.
    pub(super) fn about_source(source: String, what: String, fix: impl Into<String>) -> Self {
        Self { key: String::new(), source, what, fix: fix.into() }
    }

    /// From a section's `validate`: `key what; fix`, the key within the section or whole.
    pub(super) fn in_section(section: &str, text: &str) -> Self {
        let (key, rest) = text.split_once(' ').unwrap_or((text, ""));
        let key = key.trim_matches([':', '`']);
        let key = if key.starts_with(&format!("{section}.")) { key.to_owned() } else { format!("{section}.{key}") };
        let (what, fix) = rest.split_once("; ").unwrap_or((rest, ""));
        Self::about(key, what, fix)
    }

    /// The same problem, with its source.
    pub(super) fn from(mut self, metadata: &Metadata) -> Self {
        let keys: Vec<_> = self.key.split('.').collect();
        self.source = match (&metadata.source, metadata.name.as_ref()) {
            (Some(figment::Source::File(path)), _) => format!("the file {}", path.display()),
            (_, "the environment") => metadata.interpolate(&Profile::Default, &keys),
            (_, name) => name.to_owned(),
        };
        self
    }

    /// The key that is wrong.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Whether a source could not be read at all.
    pub(super) fn is_about_source(&self) -> bool {
        self.key.is_empty()
    }

    /// From what figment and serde say about one value.
    pub(super) fn of_value(error: &figment::Error) -> Self {
        let key = error.path.join(".");
        let problem = match &error.kind {
            Kind::UnknownField(name, _) if key == format!("engine.{name}") && ENGINES.contains(&name.as_str()) => {
                let fix = format!("remove it, or use a build with the feature `{name}`");
                Self::about(key, "belongs to an engine that this build does not have", fix)
            }
            Kind::UnknownField(name, known) => Self::about(key, "is not a key that exists", suggestion(name, known)),
            Kind::UnknownVariant(name, known) => {
                Self::about(key, format!("{name:?} is not one of the words allowed here"), suggestion(name, known))
            }
            Kind::MissingField(name) => {
                let key = if key.is_empty() { name.to_string() } else { format!("{key}.{name}") };
                let fix = schema::expectation(&key);
                Self::about(key, "is missing", fix)
            }
            Kind::Message(text) if text.contains("untagged enum") => {
                Self::about(key.clone(), "has a value that does not fit", schema::expectation(&key))
            }
            Kind::Message(text) => Self::about(key.clone(), text.clone(), schema::expectation(&key)),
            // Not the value: it may be a secret.
            Kind::InvalidType(actual, expected) => {
                let what = format!("is {}, but must be {}", type_of(actual), in_words(expected));
                Self::about(key.clone(), what, schema::expectation(&key))
            }
            Kind::InvalidValue(actual, expected) => Self::about(
                key.clone(),
                format!("is {actual}, but must be {}", in_words(expected)),
                schema::expectation(&key),
            ),
            other => Self::about(key.clone(), other.to_string(), schema::expectation(&key)),
        };
        match &error.metadata {
            Some(metadata) => problem.from(metadata),
            None => problem,
        }
    }
}

/// What was written, likewise.
fn type_of(actual: &Actual) -> &'static str {
    match actual {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Char(_) | Actual::Str(_) => "text",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "something else",
    }
}

/// What serde expected, for people who do not write Rust.
fn in_words(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" => "text",
        "a sequence" => "a list",
        "a map" => "a table",
        other => other,
    }
}

/// The nearest of the words that would have been right, or all of them.
fn suggestion(written: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(written, word), *word))
        .min()
        .filter(|(distance, word)| *distance <= 1 + word.len() / 4);
    let all = || known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match nearest {
        Some((_, word)) => format!("did you mean `{word}`?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("use one of {}", all()),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.is_empty(), self.source.is_empty()) {
            (false, false) => write!(f, "{} (from {}): {}", self.key, self.source, self.what)?,
            (false, true) => write!(f, "{}: {}", self.key, self.what)?,
            (true, _) => write!(f, "{} {}", self.source, self.what)?,
        }
        if self.fix.is_empty() { Ok(()) } else { write!(f, "\n    fix: {}", self.fix) }
    }
}
