//! What a kind of topic says about who is in it.

use std::collections::BTreeSet;

use fanfare_model::{ByteSize, Duration};
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, de};

/// When a session becomes a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Enter {
    /// When it says so.
    #[default]
    Explicit,
    /// When it subscribes; it leaves when it unsubscribes.
    OnSubscribe,
}

/// What one member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Each session is a member of its own.
    #[default]
    Connection,
    /// All sessions of a user are one member: it joins with the first and leaves with the last.
    User,
}

/// Something that happens to the membership of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// The first member is there.
    Occupied,
    /// The last member has left.
    Vacated,
    /// A member has joined.
    Join,
    /// A member has left.
    Leave,
}

/// `presence` of a kind of topic: `true`, `false`, or what is to be otherwise than by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum PresenceOptions {
    /// Whether there is presence, as it is by default.
    Is(bool),
    /// There is, in this way.
    With(PresencePolicy),
}

/// By hand, because the derived form of an untagged enum forgets which key inside was wrong.
impl<'de> Deserialize<'de> for PresenceOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> de::Visitor<'de> for Form {
            type Value = PresenceOptions;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false, or a table such as { per = \"user\", grace = \"10s\" }")
            }

            fn visit_bool<E: de::Error>(self, is: bool) -> Result<PresenceOptions, E> {
                Ok(PresenceOptions::Is(is))
            }

            // From the environment everything is text.
            fn visit_str<E: de::Error>(self, text: &str) -> Result<PresenceOptions, E> {
                match text {
                    "true" => Ok(PresenceOptions::Is(true)),
                    "false" => Ok(PresenceOptions::Is(false)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<PresenceOptions, A::Error> {
                PresencePolicy::deserialize(MapAccessDeserializer::new(map)).map(PresenceOptions::With)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl PresenceOptions {
    /// The policy, unless there is no presence.
    pub fn resolve(&self) -> Option<PresencePolicy> {
        match self {
            Self::Is(false) => None,
            Self::Is(true) => Some(PresencePolicy::default()),
            Self::With(policy) => Some(policy.clone()),
        }
    }
}

/// In seconds.
const MINUTE: u64 = 60;
/// In seconds.
const DAY: u64 = 24 * 3600;

/// A span of at most so many seconds.
fn at_most<'de, D: Deserializer<'de>, const SECONDS: u64>(deserializer: D) -> Result<Duration, D::Error> {
    let (span, most) = (Duration::deserialize(deserializer)?, Duration::from_secs(SECONDS));
    if span > most {
        return Err(de::Error::custom(format_args!("{span} is too long; set it to at most \"{most}\"")));
    }
    Ok(span)
}

/// How presence works in topics of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PresencePolicy {
    /// When a session becomes a member: `explicit` (when it says so) or `on_subscribe`. Default: `explicit`, so that
    /// listening is not shown to others unless that is wanted.
    pub enter: Enter,
    /// What a member is: each `connection`, or all connections of a `user` together. Default: `connection`.
    pub per: Per,
    /// With more members than this only their number is told, until there are a tenth fewer. Default 1000: with n
    /// members that come and go, n² messages tell everybody of everybody.
    pub members_max: u64,
    /// The most that a member may say of itself, in bytes of JSON. Default 4 KiB: a status, not a document.
    pub data_bytes_max: ByteSize,
    /// How long a member stays whose connection broke; one that is back by then was never gone. Default 10 s, the
    /// reconnect of a phone that changes networks; at most a day.
    #[serde(deserialize_with = "at_most::<_, DAY>")]
    pub grace: Duration,
    /// What happens within this time is told together. Default 250 ms, which people do not notice; at most a minute.
    #[serde(deserialize_with = "at_most::<_, MINUTE>")]
    pub flush: Duration,
    /// What is also appended to the topic itself, as the events `fanfare.occupied`, `fanfare.vacated`, `fanfare.join`
    /// and `fanfare.leave`, each once. Default: nothing.
    pub log: BTreeSet<Happening>,
}

impl Default for PresencePolicy {
    fn default() -> Self {
        Self {
            enter: Enter::Explicit,
            per: Per::Connection,
            members_max: 1000,
            data_bytes_max: ByteSize::kib(4),
            grace: Duration::from_secs(10),
            flush: Duration::from_millis(250),
            log: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Option<PresencePolicy>, serde_json::Error> {
        serde_json::from_str::<PresenceOptions>(json).map(|options| options.resolve())
    }

    #[test]
    fn a_word_or_a_table() {
        let plain = PresencePolicy::default();
        assert_eq!(read("true").unwrap(), Some(plain.clone()));
        assert_eq!(read("false").unwrap(), None);
        assert_eq!(read(r#""true""#).unwrap(), Some(plain.clone()));
        let own = read(r#"{"per":"user","grace":"0s","log":["join","leave"]}"#).unwrap().unwrap();
        assert_eq!(own.log, BTreeSet::from([Happening::Join, Happening::Leave]));
        assert_eq!((own.per, own.members_max), (Per::User, plain.members_max));
    }

    #[test]
    fn a_wrong_key_is_named() {
        let error = read(r#"{"grase":"1s"}"#).unwrap_err().to_string();
        assert!(error.contains("grase"), "{error}");
        let error = read(r#"{"flush":"2m"}"#).unwrap_err().to_string();
        assert!(error.contains("2m is too long; set it to at most \"1m\""), "{error}");
        assert!(read("1").unwrap_err().to_string().contains("true, false, or a table"));
    }
}
