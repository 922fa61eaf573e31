//! What a kind of topic allows and keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use fanfare_history::{Durability, Keep};
use fanfare_model::{ByteSize, Duration, Topic};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::presence::{PresenceOptions, PresencePolicy};
use crate::rules::PayloadRules;

/// What happens to a live reader that falls further behind than the tail's ring reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnSlow {
    /// It is served from history until it has caught up: it gets everything, later.
    #[default]
    Replay,
    /// Its session is closed; it may come back and resume.
    Disconnect,
    /// It jumps to the newest event and is told of the gap.
    Skip,
    /// It gets the latest event of each key, and is told of the gap.
    Conflate,
}

/// What is kept of a topic: bounds, or `"none"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum History {
    /// `"none"`: nothing is kept, a reader gets what is published while it listens.
    Off(Off),
    /// Bounds; whichever is reached first trims.
    Bounds(Bounds),
}

/// By hand, because the derived form of an untagged enum forgets which key inside was wrong.
impl<'de> Deserialize<'de> for History {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> serde::de::Visitor<'de> for Form {
            type Value = History;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"none\" or bounds such as { max_events = 1000, max_age = \"24h\" }")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<History, E> {
                match text {
                    "none" => Ok(History::Off(Off::None)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<History, A::Error> {
                Bounds::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(History::Bounds)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// The word `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Off {
    /// Nothing is kept.
    None,
}

/// Bounds of what is kept of each topic.
#[expect(clippy::struct_field_names, reason = "the names of the configuration, where each stands alone")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// At most so many events; 0 for no bound by count. 1000 covers minutes of a lively topic.
    pub max_events: u64,
    /// At most so many bytes; `"0B"` for no bound by size.
    pub max_bytes: ByteSize,
    /// At most so old; `"0s"` for no bound by age. A day covers a night's sleep of a laptop.
    pub max_age: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { max_events: 1000, max_bytes: ByteSize(0), max_age: Duration::from_secs(24 * 3600) }
    }
}

impl Default for History {
    fn default() -> Self {
        Self::Bounds(Bounds::default())
    }
}

/// One entry of `[topics.<kind>]`. What it does not set comes from `[topics."*"]`, then from the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyOptions {
    /// What is kept. Default: 1000 events, 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// What an acknowledgement means: `committed` (on the disk), `buffered` (survives the process) or `none`.
    /// Default: `committed`, because an acknowledgement that can be lost surprises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// Publishing an event id again within this time stores it once. Default: 5 minutes, longer than clients retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_window: Option<Duration>,
    /// Whether clients (WebSocket) may publish, if their token allows it too. Default: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_publish: Option<bool>,
    /// What happens to a live reader that falls behind. Default: `replay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_slow: Option<OnSlow>,
    /// The largest event that may be published (data, names and headers together). Default: 1 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_bytes_max: Option<ByteSize>,
    /// Who is there: `true`, `false`, or a table of how. A table stands for itself: what it does not set is as by
    /// default, whatever `[topics."*"]` says. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<PresenceOptions>,
    /// What events must be like: `content`, `names`, `schemas`, `data_bytes_max`. A table stands for itself: what it does
    /// not set is not looked at, whatever `[topics."*"]` says. Default: anything goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadRules>,
    /// The topic where events go that `payload` refuses, and events that a consumer was given too often
    /// (`consumers.deliveries_max`). Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<Topic>,
}

/// A resolved policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whether events are kept at all.
    pub history: bool,
    /// What the log is told to keep.
    pub keep: Arc<Keep>,
    /// Whether clients may publish.
    pub client_publish: bool,
    /// What happens to a live reader that falls behind.
    pub on_slow: OnSlow,
    /// The largest event, in bytes.
    pub event_bytes_max: usize,
    /// How presence works, if there is any.
    pub presence: Option<Arc<PresencePolicy>>,
    /// What events must be like, if that is looked at.
    pub payload: Option<Arc<PayloadRules>>,
    /// Where refused events go, and those that were given out too often.
    pub dead_letter: Option<Topic>,
}

impl Policy {
    fn resolve(own: &PolicyOptions, fallback: &PolicyOptions) -> Self {
        let history = own.history.clone().or_else(|| fallback.history.clone()).unwrap_or_default();
        let durability = own.durability.or(fallback.durability).unwrap_or_default();
        let window = own.idempotency_window.or(fallback.idempotency_window).unwrap_or(Duration::from_secs(300));
        let nonzero = |n: u64| (n > 0).then_some(n);
        let (kept, events_max, bytes_max, age_max) = match &history {
            History::Off(Off::None) => (false, Some(0), None, None),
            History::Bounds(b) => (
                true,
                nonzero(b.max_events),
                nonzero(b.max_bytes.0),
                (!b.max_age.get().is_zero()).then_some(b.max_age.get()),
            ),
        };
        Self {
            history: kept,
            keep: Arc::new(Keep { events_max, bytes_max, age_max, durability, idempotency_window: window.get() }),
            client_publish: own.client_publish.or(fallback.client_publish).unwrap_or(false),
            on_slow: own.on_slow.or(fallback.on_slow).unwrap_or_default(),
            event_bytes_max: own.event_bytes_max.or(fallback.event_bytes_max).unwrap_or(ByteSize::mib(1)).as_usize(),
            presence: own.presence.as_ref().or(fallback.presence.as_ref()).and_then(|of| of.resolve().map(Arc::new)),
            payload: own.payload.as_ref().or(fallback.payload.as_ref()).cloned().map(Arc::new),
            dead_letter: own.dead_letter.as_ref().or(fallback.dead_letter.as_ref()).cloned(),
        }
    }

    /// Of companions ([`Topic::signals`]): a signal passes by, and who was too slow for one asks for the state anew.
    fn signals() -> Self {
        let window = std::time::Duration::ZERO;
        let keep = Keep {
            events_max: Some(0),
            bytes_max: None,
            age_max: None,
            durability: Durability::None,
            idempotency_window: window,
        };
        Self {
            history: false,
            keep: Arc::new(keep),
            client_publish: false,
            on_slow: OnSlow::Skip,
            event_bytes_max: usize::MAX,
            presence: None,
            payload: None,
            dead_letter: None,
        }
    }
}

/// The policies of all kinds, resolved once.
#[derive(Debug, Clone)]
pub struct Policies {
    by_kind: BTreeMap<String, Arc<Policy>>,
    fallback: Arc<Policy>,
    signals: Arc<Policy>,
}

impl Policies {
    /// Resolves the section `topics`: kind → policy, with `*` for all others.
    pub fn new(topics: &BTreeMap<String, PolicyOptions>) -> Self {
        let none = PolicyOptions::default();
        let star = topics.get("*").unwrap_or(&none);
        let by_kind = topics
            .iter()
            .filter(|(kind, _)| kind.as_str() != "*")
            .map(|(kind, options)| (kind.clone(), Arc::new(Policy::resolve(options, star))))
            .collect();
        Self { by_kind, fallback: Arc::new(Policy::resolve(star, &none)), signals: Arc::new(Policy::signals()) }
    }

    /// The policy of a topic. Companions ([`Topic::signals`]) have one of their own, whatever their kind.
    pub fn of(&self, topic: &Topic) -> &Arc<Policy> {
        if topic.is_signals() {
            return &self.signals;
        }
        self.by_kind.get(topic.kind()).unwrap_or(&self.fallback)
    }

    /// Every policy, for checks against what an engine can do: the kind (`*` for the fallback) and the policy.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Policy)> {
        self.by_kind.iter().map(|(k, p)| (k.as_str(), &**p)).chain([("*", &*self.fallback)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_inherits_from_the_star() {
        let topics = BTreeMap::from([
            ("*".to_owned(), PolicyOptions { client_publish: Some(true), ..PolicyOptions::default() }),
            ("quiet".to_owned(), PolicyOptions { history: Some(History::Off(Off::None)), ..PolicyOptions::default() }),
        ]);
        let policies = Policies::new(&topics);
        let quiet = policies.of(&Topic::new("quiet:1").unwrap());
        assert!(quiet.client_publish && !quiet.history);
        let other = policies.of(&Topic::new("other").unwrap());
        assert!(other.client_publish && other.history);
        assert_eq!(other.keep.events_max, Some(1000));
    }
}
