//! Where in a token something stands.

use std::borrow::Cow;
use std::fmt;

use fanfare_model::Invalid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::members::Members;

/// Where in a token something stands: the name of a claim, as it is (`sub`, `https://example.com/roles`), or a path
/// that begins with `/` (RFC 6901: `/user/id`; `~1` stands for `/` within a name, `~0` for `~`).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ClaimPath(String);

/// The longest path, in bytes.
const BYTES_MAX: usize = 255;
/// The most steps of a path: each reads the object again.
const STEPS_MAX: usize = 8;

impl ClaimPath {
    /// Checks `text` and makes a path of it.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        let problem = |what: &str| Err(Invalid::new("claim", what));
        if text.is_empty() || text.len() > BYTES_MAX {
            return problem("must be named by 1 to 255 bytes");
        }
        if text.starts_with('/') && text.matches('/').count() > STEPS_MAX {
            return problem("lies deeper than the 8 levels that are looked into");
        }
        Ok(Self(text))
    }

    /// The text, as in the configuration.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands there in `payload`.
    pub(super) fn find<'a>(&self, payload: &Members<'a>) -> Option<&'a RawValue> {
        let Some(path) = self.0.strip_prefix('/') else { return payload.get(&self.0) };
        let mut steps = path.split('/').map(unescape);
        let first = payload.get(&steps.next()?)?;
        steps.try_fold(first, |value, step| Members::of(value)?.get(&step))
    }
}

fn unescape(step: &str) -> Cow<'_, str> {
    if step.contains('~') { step.replace("~1", "/").replace("~0", "~").into() } else { step.into() }
}

impl TryFrom<String> for ClaimPath {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl From<ClaimPath> for String {
    fn from(path: ClaimPath) -> Self {
        path.0
    }
}

impl fmt::Debug for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
