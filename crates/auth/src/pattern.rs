//! Patterns: which topics a grant is about.

use std::borrow::Cow;
use std::fmt;

use fanfare_model::{Invalid, Topic, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stands for the principal's user; always a whole segment.
const USER: &str = "{user}";
/// Stands for everything from here on; always the whole last segment.
const ANY: &str = "*";

/// Topics that a grant is about. Segments are what `:` separates. Matching is by bytes and
/// case-sensitive.
///
/// - `chat:42`: this topic.
/// - `chat:*`: every topic that begins with `chat:`, also `chat:room:7`, but not `chat`.
/// - `*`: every topic.
/// - `user:{user}`, `inbox:{user}:*`: with the principal's user in place of `{user}`.
///
/// A user whose name holds `:`, `*`, `{` or `}` cannot stand in a pattern: for it, or for a principal
/// without a user, the pattern grants nothing (else the user `alice:admin` would enter what belongs to
/// `alice`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Shape {
    Every,
    Exact,
    /// Ends in `:*`; the text without its last byte is what topics must begin with.
    Prefix,
    /// Has `{user}` in it and so matches nothing until the user is put in.
    Template,
}

impl Pattern {
    /// Checks `text` and makes a pattern of it.
    pub fn parse(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        let problem = |what: &str| Err(Invalid::new("topic pattern", what));
        if text == ANY {
            return Ok(Self { text: text.to_owned(), shape: Shape::Every });
        }
        let (fixed, prefix) = match text.strip_suffix(":*") {
            Some(fixed) => (fixed, true),
            None => (text, false),
        };
        if fixed.contains('*') {
            return problem("has a `*` that is not its whole last segment; write `kind:*`, or `*` for every topic");
        }
        let mut template = false;
        for (index, segment) in fixed.split(':').enumerate() {
            if segment == USER {
                if index == 0 {
                    return problem("begins with `{user}`; the kind (the part before the first `:`) must be fixed");
                }
                template = true;
            } else if segment.contains(['{', '}']) {
                return problem("has a `{` or `}` that is not a whole segment `{user}`");
            }
        }
        // Whatever it may match is a topic, so it keeps the rules of topics.
        let example = if template { Cow::Owned(fixed.replace(USER, "u")) } else { Cow::Borrowed(fixed) };
        Topic::new(&*example).map_err(|e| Invalid::new("topic pattern", e.problem))?;
        let shape = match (template, prefix) {
            (true, _) => Shape::Template,
            (false, true) => Shape::Prefix,
            (false, false) => Shape::Exact,
        };
        Ok(Self { text: text.to_owned(), shape })
    }

    /// The pattern of exactly this topic; `None` if the topic has characters that mean something in a
    /// pattern.
    pub fn exact(topic: &Topic) -> Option<Self> {
        let pattern = Self::parse(topic.as_str()).ok()?;
        (pattern.shape == Shape::Exact).then_some(pattern)
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is `*`.
    pub fn is_every(&self) -> bool {
        self.shape == Shape::Every
    }

    /// Whether `topic` is one of those meant. A pattern with `{user}` still in it means none.
    pub fn matches(&self, topic: &Topic) -> bool {
        match self.shape {
            Shape::Every => true,
            Shape::Exact => self.text == topic.as_str(),
            Shape::Prefix => {
                let prefix = self.prefix();
                topic.as_str().len() > prefix.len() && topic.as_str().starts_with(prefix)
            }
            Shape::Template => false,
        }
    }

    /// The pattern of the topics that both mean; `None` if there are none. Neither may have `{user}` in it still.
    ///
    /// What two of these patterns mean is either apart or one within the other, so the answer is one of them.
    pub(crate) fn intersection(&self, other: &Self) -> Option<Self> {
        if self.covers(other) { Some(other.clone()) } else { other.covers(self).then(|| self.clone()) }
    }

    /// Whether it means every topic that `other` means.
    fn covers(&self, other: &Self) -> bool {
        match (self.shape, other.shape) {
            (Shape::Every, shape) => shape != Shape::Template,
            (Shape::Exact, Shape::Exact) => self.text == other.text,
            (Shape::Prefix, Shape::Exact) => {
                let prefix = self.prefix();
                other.text.len() > prefix.len() && other.text.starts_with(prefix)
            }
            (Shape::Prefix, Shape::Prefix) => other.prefix().starts_with(self.prefix()),
            _ => false,
        }
    }

    /// What topics must begin with, for `kind:*`: `kind:`.
    fn prefix(&self) -> &str {
        &self.text[..self.text.len() - ANY.len()]
    }

    /// The pattern with `user` in place of `{user}`; `None` if that user cannot stand there.
    pub(crate) fn expand(&self, user: Option<&UserId>) -> Option<Self> {
        if self.shape != Shape::Template {
            return Some(self.clone());
        }
        let user = user?.as_str();
        if user.contains([':', '*', '{', '}']) {
            return None;
        }
        let segments: Vec<_> =
            self.text.split(':').map(|segment| if segment == USER { user } else { segment }).collect();
        // Fails if the user makes it too long to match any topic.
        Self::parse(segments.join(":")).ok()
    }
}

impl TryFrom<String> for Pattern {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl std::str::FromStr for Pattern {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, user: Option<&str>, topic: &str) -> bool {
        let user = user.map(|u| UserId::new(u).unwrap());
        Pattern::parse(pattern).unwrap().expand(user.as_ref()).is_some_and(|p| p.matches(&Topic::new(topic).unwrap()))
    }

    #[test]
    fn what_each_form_matches() {
        for (pattern, topic, expected) in [
            ("chat:42", "chat:42", true),
            ("chat:42", "chat:420", false),
            ("chat:42", "Chat:42", false),
            ("chat", "chat", true),
            ("chat", "chat:42", false),
            ("chat:*", "chat:42", true),
            ("chat:*", "chat:room:7", true),
            ("chat:*", "chat:*", true),
            ("chat:*", "chat", false),
            ("chat:*", "chats:42", false),
            ("chat:room:*", "chat:room:7", true),
            ("chat:room:*", "chat:room", false),
            ("chat:room:*", "chat:rooms:7", false),
            ("*", "news", true),
            ("*", "chat:room:7", true),
        ] {
            assert_eq!(matches(pattern, None, topic), expected, "{pattern} on {topic}");
        }
    }

    #[test]
    fn a_user_cannot_widen_a_pattern() {
        for (pattern, user, topic, expected) in [
            ("user:{user}", Some("alice"), "user:alice", true),
            ("user:{user}", Some("alice"), "user:bob", false),
            ("user:{user}", Some("alice"), "user:{user}", false),
            ("user:{user}", None, "user:alice", false),
            ("user:{user}", None, "user:{user}", false),
            ("user:{user}", Some("*"), "user:alice", false),
            ("user:{user}", Some("*"), "user:*", false),
            ("user:{user}", Some("alice:admin"), "user:alice:admin", false),
            ("user:{user}", Some("{user}"), "user:{user}", false),
            ("user:{user}", Some("alice,*"), "user:bob", false),
            ("inbox:{user}:*", Some("alice"), "inbox:alice:1", true),
            ("inbox:{user}:*", Some("alice"), "inbox:alicia:1", false),
            ("inbox:{user}:*", Some("alice:1"), "inbox:alice:1:x", false),
            ("inbox:{user}:*", Some("*"), "inbox:alice:1", false),
            ("pair:{user}:{user}", Some("a"), "pair:a:a", true),
            ("pair:{user}:{user}", Some("a"), "pair:a:b", false),
        ] {
            assert_eq!(matches(pattern, user, topic), expected, "{pattern} for {user:?} on {topic}");
        }
    }

    #[test]
    fn refusals_name_the_rule() {
        for (text, part) in [
            ("", "is empty"),
            ("chat:a*", "whole last segment"),
            ("ch*t:1", "whole last segment"),
            ("*:1", "whole last segment"),
            ("chat:*:*", "whole last segment"),
            ("**", "whole last segment"),
            (":*", "is empty"),
            ("{user}", "begins with `{user}`"),
            ("{user}:*", "begins with `{user}`"),
            ("user:{usr}", "whole segment `{user}`"),
            ("user:x{user}", "whole segment `{user}`"),
            ("chat:", "ends at its `:`"),
            ("a b:*", "' '"),
            ("a:x\ny", "U+000A"),
        ] {
            let error = Pattern::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("topic pattern ") && error.contains(part), "{text:?}: {error}");
        }
    }

    fn segment() -> impl Strategy<Value = String> {
        prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("*".to_owned()), Just("{user}".to_owned())]
    }

    /// A second, slower way to say what a pattern means: segment by segment.
    fn oracle(pattern: &str, user: &str, topic: &str) -> bool {
        let pattern: Vec<_> = pattern.split(':').collect();
        let topic: Vec<_> = topic.split(':').collect();
        if pattern.contains(&USER) && (user.contains(':') || user.contains('*') || user.contains('{')) {
            return false;
        }
        for (i, want) in pattern.iter().enumerate() {
            match *want {
                ANY => return topic.len() > i,
                USER if topic.get(i) == Some(&user) => {}
                fixed if fixed != USER && topic.get(i) == Some(&fixed) => {}
                _ => return false,
            }
        }
        topic.len() == pattern.len()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn agrees_with_the_oracle(
            pattern in prop::collection::vec(segment(), 1..4),
            user in prop::collection::vec(segment(), 1..3),
            topic in prop::collection::vec(segment(), 1..4),
        ) {
            let (pattern, user, topic) = (pattern.join(":"), user.join(":"), topic.join(":"));
            if Pattern::parse(&pattern).is_ok() && Topic::new(&topic).is_ok() {
                prop_assert_eq!(matches(&pattern, Some(&user), &topic), oracle(&pattern, &user, &topic));
            }
        }

        #[test]
        fn the_intersection_is_what_both_mean(
            one in prop::collection::vec(segment(), 1..4),
            other in prop::collection::vec(segment(), 1..4),
            topic in prop::collection::vec(segment(), 1..4),
        ) {
            let (one, other) = (Pattern::parse(one.join(":")), Pattern::parse(other.join(":")));
            if let (Ok(one), Ok(other), Ok(topic)) = (one, other, Topic::new(topic.join(":"))) {
                let both = one.intersection(&other).is_some_and(|both| both.matches(&topic));
                prop_assert_eq!(both, one.matches(&topic) && other.matches(&topic), "{} and {}", one, other);
            }
        }

        #[test]
        fn text_round_trips(text in "[ab:*{}]{0,8}|\\PC{0,20}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                prop_assert_eq!(pattern.as_str(), &text);
                let json = serde_json::to_string(&pattern).unwrap();
                prop_assert_eq!(serde_json::from_str::<Pattern>(&json).unwrap(), pattern);
            }
        }
    }
}
