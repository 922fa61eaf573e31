//! How an issuer's claims are read, as the configuration says it.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::ClaimPath;
use crate::Grant;

/// How an issuer's claims are read: the name of a known form, or a table that says where things stand.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ClaimMap {
    /// A form that is known.
    Form(ClaimForm),
    /// The issuer's own form.
    Own(Box<OwnClaims>),
}

/// A form of claims that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaimForm {
    /// Ours: `sub`, `topics` and `fanfare`.
    Fanfare,
    /// Those of Mercure: `mercure` (or `https://mercure.rocks/`) with `subscribe`, `publish` and `payload`.
    Mercure,
    /// Those of Centrifugo's connection tokens: `sub`, `info`, `channels`, `subs`, `caps`, `expire_at`.
    Centrifugo,
    /// Those of Ably: `x-ably-clientId` and `x-ably-capability`.
    Ably,
}

/// Where things stand in the tokens of an issuer with a form of its own. Only what is named here is read; the claims
/// `topics` and `fanfare` are not. A name is that of a claim as it is, or, with `/` in front, a path (RFC 6901).
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OwnClaims {
    /// The user: text, or a whole number. Default `sub`.
    pub user: Option<ClaimPath>,
    /// An object about the user that others may be shown. Default: none.
    pub info: Option<ClaimPath>,
    /// Topic patterns that may be listened to (`subscribe` and `history`): a list, or text with commas.
    /// Default: none.
    pub topics: Option<ClaimPath>,
    /// Topic patterns that may be published to: a list, or text with commas. Default: none.
    pub publish: Option<ClaimPath>,
    /// Topics that the client is subscribed to on arrival, and may listen to: a list, or an object with topics as
    /// names. Default: none.
    pub channels: Option<ClaimPath>,
    /// Grants as `fanfare.grants` has them. Default: none.
    pub grants: Option<ClaimPath>,
    /// What may be done by topic pattern, `{"chat:*": ["subscribe", "publish"]}`; `*` stands for subscribe, publish,
    /// history and presence, and what is unknown for nothing. Default: none.
    pub capabilities: Option<ClaimPath>,
    /// Names of permissions, roles or scopes: a list, or text with spaces. What each allows is in
    /// `permission_grants`; others allow nothing. Default: none.
    pub permissions: Option<ClaimPath>,
    /// What each permission allows. Default: nothing.
    pub permission_grants: BTreeMap<String, Vec<Grant>>,
}

impl Default for ClaimMap {
    fn default() -> Self {
        Self::Form(ClaimForm::Fanfare)
    }
}

impl ClaimMap {
    /// Checks that it makes sense. The text is the rest of a sentence that begins with its place.
    pub(crate) fn validate(&self) -> Result<(), String> {
        match self {
            Self::Own(own) if own.permissions.is_none() && !own.permission_grants.is_empty() => {
                Err(".permission_grants says what permissions allow, but .permissions does not say which claim holds \
                     them; name it"
                    .to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for ClaimMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrTable)
    }
}

/// Unlike an untagged enum, it tells what is wrong within the table.
struct NameOrTable;

impl<'de> Visitor<'de> for NameOrTable {
    type Value = ClaimMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a form of claims, or a table")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<ClaimMap, E> {
        ClaimForm::deserialize(de::value::StrDeserializer::new(name)).map(ClaimMap::Form)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ClaimMap, A::Error> {
        OwnClaims::deserialize(MapAccessDeserializer::new(map)).map(|own| ClaimMap::Own(Box::new(own)))
    }
}
