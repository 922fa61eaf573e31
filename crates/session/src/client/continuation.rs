//! Where a client that comes back goes on, in all its topics at once.

use std::collections::BTreeMap;
use std::str::FromStr;

use fanfare_model::{Cursor, Invalid, Position, Topic};

/// Positions to go on from. What names its topics is subscribed to; a cursor knows only their tags, so it says where
/// those topics begin that the server subscribes to by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Continuation {
    /// Topics by name.
    Topics(BTreeMap<Topic, Position>),
    /// A cursor of several topics.
    Cursor(Cursor),
}

impl Continuation {
    /// The topics that it names.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        let named = match self {
            Self::Topics(topics) => Some(topics.keys()),
            Self::Cursor(_) => None,
        };
        named.into_iter().flatten()
    }

    /// Where `topic` goes on.
    pub fn position_of(&self, topic: &Topic) -> Option<Position> {
        match self {
            Self::Topics(topics) => topics.get(topic).copied(),
            Self::Cursor(cursor) => cursor.position_of(topic, false),
        }
    }

    /// From topics and the text of their positions.
    pub fn from_texts(texts: impl IntoIterator<Item = (String, String)>) -> Result<Self, Invalid> {
        let topics = texts.into_iter().map(|(topic, position)| Ok((Topic::new(topic)?, position.parse()?)));
        topics.collect::<Result<_, Invalid>>().map(Self::Topics)
    }
}

impl FromStr for Continuation {
    type Err = Invalid;

    /// A cursor (`~…`), or a JSON object of topics and their positions.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.trim_start().starts_with('{') {
            let texts: BTreeMap<String, String> = serde_json::from_str(text)
                .map_err(|_| Invalid::new("cursor", "is not an object of topics and their positions"))?;
            return Self::from_texts(texts);
        }
        match text.parse()? {
            Cursor::One(_) => Err(Invalid::new(
                "cursor",
                "is the position of one topic and does not say of which; write {\"<topic>\":\"<position>\"}",
            )),
            many @ Cursor::Many(_) => Ok(Self::Cursor(many)),
        }
    }
}

#[cfg(test)]
mod tests {
    use fanfare_model::TopicTag;

    use super::*;

    fn topic(text: &str) -> Topic {
        Topic::new(text).unwrap()
    }

    #[test]
    fn names_and_tags() {
        let position: Position = "k3J9.17.0x7".parse().unwrap();
        let named: Continuation = r#"{"chat:42":"k3J9.17.0x7"}"#.parse().unwrap();
        assert!(named.topics().eq([&topic("chat:42")]));
        let mut text = String::new();
        Cursor::write_many(&[(TopicTag::of(&topic("chat:42")), position)], &mut text);
        let tagged: Continuation = text.parse().unwrap();
        assert_eq!(tagged.topics().count(), 0);
        for continuation in [named, tagged] {
            assert_eq!(continuation.position_of(&topic("chat:42")), Some(position));
            assert_eq!(continuation.position_of(&topic("chat:43")), None);
        }
    }

    #[test]
    fn what_names_no_topic_is_refused() {
        for bad in ["", "k3J9.17.0x7", "{", "{\"a\":1}", "{\"a b\":\"k3J9.17.0x7\"}", "{\"a\":\"17\"}", "~"] {
            assert!(bad.parse::<Continuation>().is_err(), "{bad:?}");
        }
    }
}
