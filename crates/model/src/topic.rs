//! Topics: `kind` or `kind:id`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::Tenant;
use crate::text::{Invalid, check_name};

/// Where events are published and read: `kind` or `kind:id`, e.g. `news`, `orders:42`, `chat:room:7`.
///
/// The kind ends at the first `:` and is 1–50 of `[A-Za-z0-9_.-]`; the whole is at most 255 bytes of
/// UTF-8 without control or invisible format characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Topic(Arc<str>);

impl Topic {
    /// The most bytes a topic may have.
    pub const BYTES_MAX: usize = 255;
    /// The most bytes its kind may have.
    pub const KIND_BYTES_MAX: usize = 50;
    /// What the name of a companion begins with. No name from outside has it, because it is a control character.
    const SIGNALS: char = '\u{1}';
    /// What the name of an internal topic begins with, likewise.
    const INTERNAL: char = '\u{2}';

    /// Checks `text` and makes a topic of it.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Invalid> {
        let text = text.as_ref();
        check_name("topic", text, Self::BYTES_MAX)?;
        let (kind, id) = split(text);
        check_kind(kind)?;
        if id == Some("") {
            return Err(Invalid::new("topic", "ends at its `:`; write `kind` or `kind:id`"));
        }
        Ok(Self(Arc::from(text)))
    }

    /// A topic by which the nodes of a cluster talk to each other, e.g. `cluster`. Nobody can name it from outside, and it
    /// is in no list of topics. What is kept of it is set by the program.
    ///
    /// # Panics
    ///
    /// If `name`, a word of the program, is not a valid topic.
    #[must_use]
    pub fn internal(name: &str) -> Self {
        let name = Self::new(name).expect("a word of the program");
        Self(Arc::from(format!("{}{name}", Self::INTERNAL)))
    }

    /// A topic from text that an engine has stored or carried: also that of a companion or of an internal topic, which
    /// [`Topic::new`] refuses.
    pub fn from_stored(text: &str) -> Result<Self, Invalid> {
        let named = text.strip_prefix(Self::SIGNALS).unwrap_or(text);
        let named = named.strip_prefix(Self::INTERNAL).unwrap_or(named);
        if named.len() == text.len() {
            return Self::new(text);
        }
        Self::new(named)?;
        Ok(Self(Arc::from(text)))
    }

    /// The topic as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `:`, which selects the policy.
    pub fn kind(&self) -> &str {
        split(&self.0).0
    }

    /// The part after the first `:`, if there is one.
    pub fn id(&self) -> Option<&str> {
        split(&self.0).1
    }

    /// The companion of this topic: where signals about it are announced. Nobody can name it from outside, nothing of
    /// it is kept, and it is in no list of topics. A companion is its own.
    #[must_use]
    pub fn signals(&self) -> Self {
        if self.is_signals() { self.clone() } else { Self(Arc::from(format!("{}{self}", Self::SIGNALS))) }
    }

    /// The topic that this is the companion of.
    pub fn signals_of(&self) -> Option<Self> {
        self.0.strip_prefix(Self::SIGNALS).map(|topic| Self(Arc::from(topic)))
    }

    /// Whether this is the companion of a topic.
    pub fn is_signals(&self) -> bool {
        self.0.starts_with(Self::SIGNALS)
    }

    /// Whether this is an internal topic.
    pub fn is_internal(&self) -> bool {
        self.0.starts_with(Self::INTERNAL)
    }

    /// The name of an internal topic.
    pub fn internal_name(&self) -> Option<&str> {
        self.0.strip_prefix(Self::INTERNAL)
    }

    /// Whether nobody can name it from outside: a companion or an internal topic. Lists of topics leave it out.
    pub fn is_hidden(&self) -> bool {
        self.is_signals() || self.is_internal()
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(kind, id)| (kind, Some(id)))
}

fn check_kind(kind: &str) -> Result<(), Invalid> {
    if kind.is_empty() || kind.len() > Topic::KIND_BYTES_MAX {
        return Err(Invalid::new(
            "topic",
            format_args!(
                "has a kind (the part before `:`) of {} bytes; 1 to {} are allowed",
                kind.len(),
                Topic::KIND_BYTES_MAX
            ),
        ));
    }
    match kind.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))) {
        None => Ok(()),
        Some(c) => Err(Invalid::new(
            "topic",
            format_args!(
                "has the character {c:?} in its kind (the part before `:`); letters, digits, `_`, `.` and `-` are allowed"
            ),
        )),
    }
}

impl TryFrom<String> for Topic {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::new(text)
    }
}

impl From<Topic> for String {
    fn from(topic: Topic) -> Self {
        topic.as_str().to_owned()
    }
}

impl std::str::FromStr for Topic {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::new(text)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A topic of one tenant: what identifies a log. Every map below the doors is keyed by this, never by
/// a joined string, so that no two tenants' topics can collide.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TopicKey {
    /// Whose topic it is.
    pub tenant: Tenant,
    /// Which topic.
    pub topic: Topic,
}

impl TopicKey {
    /// The key of `topic` in `tenant`.
    pub fn new(tenant: Tenant, topic: Topic) -> Self {
        Self { tenant, topic }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_ends_at_the_first_colon() {
        let topic = Topic::new("chat:room:7").unwrap();
        assert_eq!((topic.kind(), topic.id()), ("chat", Some("room:7")));
        assert_eq!(Topic::new("news").unwrap().id(), None);
    }

    #[test]
    fn a_companion_cannot_be_named_from_outside() {
        let topic = Topic::new("chat:42").unwrap();
        let companion = topic.signals();
        assert_eq!(companion.signals_of(), Some(topic.clone()));
        assert_eq!(companion.signals(), companion);
        assert_eq!((topic.is_signals(), topic.signals_of()), (false, None));
        assert!(Topic::new(companion.as_str()).is_err());
    }

    #[test]
    fn an_internal_topic_cannot_be_named_from_outside_and_is_stored_like_any_other() {
        let internal = Topic::internal("revocations");
        assert!(internal.is_internal() && internal.is_hidden() && !internal.is_signals());
        assert_eq!(internal.internal_name(), Some("revocations"));
        assert!(Topic::new(internal.as_str()).is_err());
        let plain = Topic::new("chat:42").unwrap();
        assert_eq!((plain.is_hidden(), plain.internal_name()), (false, None));
        for topic in [internal.signals(), internal, plain.signals(), plain] {
            assert_eq!(Topic::from_stored(topic.as_str()), Ok(topic));
        }
        for text in ["", "\u{1}", "\u{2}", "\u{2}\u{1}a", "\u{1}\u{1}a", "\u{2}a:", "a\u{1}"] {
            assert!(Topic::from_stored(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn refusals_name_the_rule() {
        for (text, part) in [
            ("", "is empty"),
            (":x", "kind"),
            ("a:", "ends at its `:`"),
            ("a b:c", "' '"),
            ("a:x\ny", "U+000A"),
            ("a:x\u{202e}y", "U+202E"),
            (&"k".repeat(51), "51 bytes"),
            (&format!("k:{}", "x".repeat(254)), "256 bytes"),
        ] {
            let error = Topic::new(text).unwrap_err().to_string();
            assert!(error.starts_with("topic ") && error.contains(part), "{text:?}: {error}");
        }
    }
}
