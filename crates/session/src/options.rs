//! Limits and times of client sessions, for every protocol.

use fanfare_model::{Duration, Topic, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section `session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The most sessions on this node; beyond it a new one is told to come back. 100,000 idle ones take well under
    /// a gigabyte.
    pub sessions_max: usize,
    /// The most sessions of one user on this node: room for many tabs and devices, not for a leak.
    pub sessions_per_user_max: usize,
    /// The most subscriptions of one session. Others allow 100 to 128; what needs more wants a pattern.
    pub subscriptions_max: usize,
    /// How long a session stays silent before the server pings. Below the 30 to 60 s after which common proxies
    /// close an idle connection. `"0s"` for never.
    pub ping_interval: Duration,
    /// A session is ended, to come back at once, when it is about this old (each at 80 to 100 % of it), so that a
    /// restart finds few old ones and load spreads over new nodes. `"0s"` for never.
    pub age_max: Duration,
    /// How long before its credentials end a session is warned, so that it can refresh them. Default: 30 s, time to
    /// fetch a token over a bad network, with one more try. Who comes with less to go is not warned: it has been told
    /// when it connected. `"0s"` for never.
    pub expiry_warning: Duration,
    /// A topic that every session with a user is subscribed to by itself; `{user}` stands for the user, e.g.
    /// `"user:{user}"`. Needs no grant. Default: none.
    pub personal_topic: Option<String>,
    /// Whether a user's new session ends the older ones, on all nodes, which are told not to come back (`replaced`).
    /// Default: false; most users have several tabs and devices.
    pub single_per_user: bool,
    /// For how long a resume token is good, so that it is renewed in time. Set by the owner, from the section `auth`.
    #[serde(skip)]
    pub resume_window: Duration,
    /// Over how long sessions are sent away when the node stops. Set by the owner, from the section `drain`.
    #[serde(skip)]
    pub drain_window: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sessions_max: 100_000,
            sessions_per_user_max: 1000,
            subscriptions_max: 128,
            ping_interval: Duration::from_secs(25),
            age_max: Duration::from_secs(0),
            expiry_warning: Duration::from_secs(30),
            personal_topic: None,
            single_per_user: false,
            resume_window: Duration::from_secs(120),
            drain_window: Duration::from_secs(20),
        }
    }
}

impl Options {
    /// Whether the values make sense; the text names the key and the fix.
    pub fn validate(&self) -> Result<(), String> {
        if let Some(pattern) = &self.personal_topic {
            if !pattern.contains(USER) {
                return Err(format!(
                    "personal_topic is {pattern:?}, one topic for all users; write `{USER}` where the user's name goes: \
                     \"user:{USER}\""
                ));
            }
            if let Err(error) = Topic::new(pattern.replace(USER, "u")) {
                return Err(format!("personal_topic is {pattern:?}, and its {error}; write e.g. \"user:{USER}\""));
            }
        }
        Ok(())
    }

    /// The personal topic of `user`; none if there are none, or if the name makes no topic.
    pub fn personal_topic_of(&self, user: &UserId) -> Option<Topic> {
        Topic::new(self.personal_topic.as_ref()?.replace(USER, user.as_str())).ok()
    }
}

/// Stands for the user.
const USER: &str = "{user}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_personal_topic_is_of_one_user() {
        let with = |topic: &str| Options { personal_topic: Some(topic.to_owned()), ..Options::default() };
        assert!(with("news").validate().unwrap_err().contains("personal_topic"));
        assert!(with("a b:{user}").validate().unwrap_err().contains("personal_topic"));
        with("user:{user}").validate().unwrap();
        let alice = UserId::new("alice").unwrap();
        assert_eq!(with("user:{user}").personal_topic_of(&alice), Some(Topic::new("user:alice").unwrap()));
        assert_eq!(Options::default().personal_topic_of(&alice), None);
        assert_eq!(with("user:{user}").personal_topic_of(&UserId::new("x".repeat(255)).unwrap()), None);
    }
}
