//! Tokens: given as they are, or signed here, one for each user.

use std::collections::BTreeMap;

use anyhow::Context as _;
use jsonwebtoken::{EncodingKey, Header};

use super::adapter::Jwt;
use super::template::{Template, Values, fill};
use crate::clock;

/// Where `{token}` comes from.
pub(crate) enum Tokens {
    /// Nobody needs one.
    None,
    /// Everybody has the same.
    Same(String),
    /// Signed for each user and topic.
    Signed { key: EncodingKey, claims: Template },
}

impl Tokens {
    pub(crate) fn new(jwt: Option<&Jwt>, constants: &BTreeMap<String, String>) -> Self {
        jwt.map_or(Self::None, |jwt| Self::Signed {
            key: EncodingKey::from_secret(fill(&jwt.secret, constants).as_bytes()),
            claims: Template::new(&jwt.claims, constants),
        })
    }

    /// The token of a user who wants a topic.
    pub(crate) fn of(&self, user: u32, topic: &str) -> anyhow::Result<String> {
        match self {
            Self::None => Ok(String::new()),
            Self::Same(token) => Ok(token.clone()),
            Self::Signed { key, claims } => {
                let text = claims.text(&Values { topic, user, now: clock::unix_seconds(), ..Values::default() });
                let claims: serde_json::Value =
                    serde_json::from_str(&text).with_context(|| format!("the claims are not JSON: {text}"))?;
                Ok(jsonwebtoken::encode(&Header::default(), &claims, key)?)
            }
        }
    }
}
