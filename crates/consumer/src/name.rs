//! The name of a consumer.

use std::fmt;
use std::sync::Arc;

use fanfare_model::Invalid;

/// Names a consumer within its tenant, e.g. `billing`: 1–64 of `[A-Za-z0-9_.-]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The most bytes a name may have.
    pub const BYTES_MAX: usize = 64;

    /// Checks `text` and makes the name of it.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            let problem = format_args!("has {} bytes; 1 to {} are allowed", text.len(), Self::BYTES_MAX);
            return Err(Invalid::new("consumer", problem));
        }
        match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))) {
            None => Ok(Self(Arc::from(text))),
            Some(c) => {
                let problem = format_args!("has the character {c:?}; letters, digits, `_`, `.` and `-` are allowed");
                Err(Invalid::new("consumer", problem))
            }
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Name {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::new(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_rule() {
        assert_eq!(Name::new("billing-2.eu_west").unwrap().as_str(), "billing-2.eu_west");
        for (text, part) in [("", "0 bytes"), (&*"n".repeat(65), "65 bytes"), ("a/b", "'/'"), ("a\0", "'\\0'")] {
            let error = Name::new(text).unwrap_err().to_string();
            assert!(error.starts_with("consumer ") && error.contains(part), "{text:?}: {error}");
        }
    }
}
