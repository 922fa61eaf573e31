//! Query parameters, read strictly: a parameter that is not known, or is there twice, is a mistake worth telling.

use std::str::FromStr;

use fanfare_model::{Invalid, Topic};
use url::form_urlencoded;

use crate::fault::Fault;

/// The parameters of one request.
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Reads `query`; every name must be one of `known`.
    pub(crate) fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, Fault> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                let known = if known.is_empty() { "none".to_owned() } else { format!("`{}`", known.join("`, `")) };
                let name: String = name.chars().take(64).collect();
                return Err(Fault::invalid(format_args!("unknown parameter {name:?}; this route has {known}")));
            }
            if pairs.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Fault::invalid(format_args!("parameter `{name}` is given more than once")));
            }
            // What is not UTF-8 was replaced by this character, which nobody means.
            if value.contains(char::REPLACEMENT_CHARACTER) {
                return Err(Fault::invalid(format_args!("parameter `{name}` is not percent-encoded UTF-8")));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self { pairs })
    }

    /// The value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of `name` as what it stands for.
    pub(crate) fn parsed<T: FromStr<Err = Invalid>>(&self, name: &str) -> Result<Option<T>, Fault> {
        let problem = |invalid| Fault::invalid(format_args!("parameter `{name}`: {invalid}"));
        self.get(name).map(|text| text.parse().map_err(problem)).transpose()
    }

    /// The value of `name` as a whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Fault> {
        let problem = |_| Fault::invalid(format_args!("parameter `{name}` is not a whole number"));
        self.get(name).map(|text| text.parse().map_err(problem)).transpose()
    }

    /// The value of `name` as a number of items of a page, at most `max`.
    pub(crate) fn count(&self, name: &str, max: usize) -> Result<Option<usize>, Fault> {
        let Some(number) = self.number(name)? else { return Ok(None) };
        match usize::try_from(number) {
            Ok(number) if (1..=max).contains(&number) => Ok(Some(number)),
            _ => Err(Fault::invalid(format_args!("parameter `{name}` is {number}; it may be 1 to {max}"))),
        }
    }
}

/// A text that only whoever made it understands, such as where a page ended.
pub(crate) struct Opaque(String);

impl FromStr for Opaque {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Ok(Self(text.to_owned()))
    }
}

impl std::ops::Deref for Opaque {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// The topic in a path, already percent-decoded.
pub(crate) fn topic(text: &str) -> Result<Topic, Fault> {
    Ok(Topic::new(text)?)
}
