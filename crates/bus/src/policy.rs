//! What a kind of topic allows and keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use fanfare_history::{Capabilities, Durability, Keep, Window};
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

    /// Of companions ([`Topic::signals`]) and most internal topics: a signal passes by, and who was too slow for one asks
    /// for the state anew.
    fn passing() -> Self {
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

    /// Of internal topics that are logged.
    fn logged(age_max: Duration) -> Self {
        let keep = Keep { events_max: None, bytes_max: None, age_max: Some(age_max.get()), ..Keep::default() };
        Self { history: true, keep: Arc::new(keep), on_slow: OnSlow::Replay, ..Self::passing() }
    }
}

/// The internal topic that is always logged: what was revoked must be known after a restart.
const REVOCATIONS: &str = "revocations";
/// Longer than any token should live.
const REVOCATIONS_AGE_SECONDS: u64 = 30 * 24 * 3600;

/// The policies of all kinds, resolved once.
#[derive(Debug, Clone)]
pub struct Policies {
    by_kind: BTreeMap<String, Arc<Policy>>,
    fallback: Arc<Policy>,
    /// Of companions, and of internal topics that are not logged.
    passing: Arc<Policy>,
    /// Of internal topics that are logged, by their names.
    logged: BTreeMap<&'static str, Arc<Policy>>,
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
        Self {
            by_kind,
            fallback: Arc::new(Policy::resolve(star, &none)),
            passing: Arc::new(Policy::passing()),
            logged: BTreeMap::new(),
        }
        .with_logged(REVOCATIONS, Duration::from_secs(REVOCATIONS_AGE_SECONDS))
    }

    /// The same with an internal topic ([`Topic::internal`]) that is logged: durably, whole, for `age_max`. Every node must
    /// be told the same.
    #[must_use]
    pub fn with_logged(mut self, internal: &'static str, age_max: Duration) -> Self {
        self.logged.insert(internal, Arc::new(Policy::logged(age_max)));
        self
    }

    /// The policy of a topic. Companions ([`Topic::signals`]) and internal topics have one of their own, whatever their
    /// kind: nothing of them is kept, but for the internal topics that are logged ([`Policies::with_logged`];
    /// `revocations` is, for 30 days, unless that is changed).
    pub fn of(&self, topic: &Topic) -> &Arc<Policy> {
        if topic.is_signals() {
            return &self.passing;
        }
        if let Some(name) = topic.internal_name() {
            return self.logged.get(name).unwrap_or(&self.passing);
        }
        self.by_kind.get(topic.kind()).unwrap_or(&self.fallback)
    }

    /// Every policy that is configured: the kind (`*` for the fallback) and the policy.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Policy)> {
        self.by_kind.iter().map(|(k, p)| (k.as_str(), &**p)).chain([("*", &*self.fallback)])
    }

    /// The internal topics that are logged, and their policies. An engine that must know every policy when it starts
    /// knows them by [`Policies::all`] and this.
    pub fn internal(&self) -> impl Iterator<Item = (Topic, &Policy)> {
        self.logged.iter().map(|(name, policy)| (Topic::internal(name), &**policy))
    }

    /// Whether the engine can do what is asked for; otherwise says which key asks for too much and what to set instead.
    pub fn check(&self, engine: &Capabilities) -> Result<(), String> {
        for (kind, policy) in self.all().filter(|(_, policy)| policy.history) {
            let Keep { bytes_max, durability, idempotency_window: window, .. } = &*policy.keep;
            let refused = |key: &str, asks: String, instead: String| {
                let name = engine.name;
                Err(format!("topics.\"{kind}\".{key} {asks}, which the engine `{name}` cannot; {instead}"))
            };
            if *durability > engine.durability_max {
                let most = word(engine.durability_max);
                let asks = format!("asks for `{}`", word(*durability));
                return refused(
                    "durability",
                    asks,
                    format!("set it to `{most}`, which is the most it can, or change engine.kind"),
                );
            }
            if bytes_max.is_some() && !engine.bounds_bytes {
                let instead = "bound it by max_events and max_age, or change engine.kind".to_owned();
                return refused("history.max_bytes", "bounds a topic by its bytes".to_owned(), instead);
            }
            if let Window::Fixed(fixed) = engine.window
                && *window > fixed
            {
                let asks = format!("remembers event ids for {}", Duration(*window));
                return refused("idempotency_window", asks, format!("set it to at most \"{}\"", Duration(fixed)));
            }
            if policy.event_bytes_max > engine.event_bytes_max {
                let asks = format!("allows events of {} bytes", policy.event_bytes_max);
                let most = engine.event_bytes_max;
                return refused("event_bytes_max", asks, format!("set it to at most \"{most}B\""));
            }
        }
        Ok(())
    }
}

/// The word of the configuration.
fn word(durability: Durability) -> &'static str {
    match durability {
        Durability::None => "none",
        Durability::Buffered => "buffered",
        Durability::Committed => "committed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_history::{Failover, Retention, TimeOf};

    #[test]
    fn what_the_engine_cannot_is_refused_with_what_to_do() {
        let all = Capabilities {
            name: "some",
            durability_max: Durability::Committed,
            survives_restart: true,
            failover: Failover::None,
            event_bytes_max: 1 << 20,
            dense: true,
            retention: Retention::PerAppend,
            bounds_bytes: true,
            truncates: true,
            window: Window::PerAppend,
            time: TimeOf::Node,
        };
        let policies = |json: &str| Policies::new(&serde_json::from_str(json).unwrap());
        let asks = policies(r#"{"*":{"history":{"max_bytes":"1MiB"}}}"#);
        assert_eq!(asks.check(&all), Ok(()));
        for (less, key) in [
            (
                Capabilities { durability_max: Durability::Buffered, ..all },
                "topics.\"*\".durability asks for `committed`",
            ),
            (Capabilities { bounds_bytes: false, ..all }, "topics.\"*\".history.max_bytes"),
            (Capabilities { window: Window::Fixed(std::time::Duration::from_secs(120)), ..all }, "at most \"2m\""),
            (Capabilities { event_bytes_max: 1000, ..all }, "at most \"1000B\""),
        ] {
            let refused = asks.check(&less).unwrap_err();
            assert!(refused.contains(key) && refused.contains("engine `some`"), "{refused}");
        }
        let nothing_kept = policies(r#"{"*":{"history":"none"}}"#);
        assert_eq!(nothing_kept.check(&Capabilities { durability_max: Durability::None, ..all }), Ok(()));
    }

    #[test]
    fn internal_topics_have_policies_of_their_own() {
        let policies = Policies::new(&BTreeMap::new()).with_logged("votes", Duration::from_secs(60));
        assert!(!policies.of(&Topic::internal("cluster")).history);
        let votes = policies.of(&Topic::internal("votes"));
        assert!(votes.history && !votes.client_publish);
        assert_eq!((votes.keep.events_max, votes.keep.age_max), (None, Some(std::time::Duration::from_secs(60))));
        assert!(policies.of(&Topic::internal("revocations")).history);
        assert!(!policies.of(&Topic::internal("votes").signals()).history);
        assert_eq!(policies.internal().count(), 2);
    }

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
