//! Where a stream stands in each of its topics: its cursor.

use std::fmt::Write as _;

use fanfare_bus::SubscriptionId;
use fanfare_model::{Cursor, Position, Topic, TopicTag};

/// The positions of a stream, moved on with everything that is written.
pub(crate) struct Positions {
    /// `None` if it is not delivered any more.
    topics: Box<[Option<Topic>]>,
    /// In the order of the topics. A subscription's number is its place here: they were made in this order by a
    /// reader that had none.
    entries: Box<[(TopicTag, Position)]>,
}

impl Positions {
    pub(crate) fn new(topics: impl IntoIterator<Item = (Topic, Position)>) -> Self {
        let (topics, entries): (Vec<_>, Vec<_>) = topics
            .into_iter()
            .map(|(topic, position)| {
                let tag = TopicTag::of(&topic);
                (Some(topic), (tag, position))
            })
            .unzip();
        Self { topics: topics.into(), entries: entries.into() }
    }

    /// Whether the stream has one topic: its cursor is then the position of that topic.
    pub(crate) fn is_single(&self) -> bool {
        self.entries.len() == 1
    }

    /// The topic that a subscription delivers; `None` if it is none of the stream's topics, or no more.
    pub(crate) fn topic(&self, id: SubscriptionId) -> Option<&Topic> {
        self.topics.get(id.0 as usize)?.as_ref()
    }

    /// The topic is not delivered any more; gives its subscription. Its position stays in the cursor, for a client that
    /// comes back and asks for it.
    pub(crate) fn end(&mut self, topic: &Topic) -> Option<SubscriptionId> {
        let at = self.topics.iter().position(|known| known.as_ref() == Some(topic))?;
        self.topics[at] = None;
        u32::try_from(at).ok().map(SubscriptionId)
    }

    /// The stream is at `position` in the topic of a subscription now.
    pub(crate) fn move_to(&mut self, id: SubscriptionId, position: Position) {
        self.entries[id.0 as usize].1 = position;
    }

    /// Writes the cursor in place of what is in `out`.
    pub(crate) fn write(&self, out: &mut String) {
        out.clear();
        match &*self.entries {
            [(_, position)] => write!(out, "{position}").expect("a String grows"),
            entries => Cursor::write_many(entries, out),
        }
    }

    /// The cursor.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_follows() {
        let topic = |name: &str| Topic::new(name).unwrap();
        let position = |text: &str| text.parse::<Position>().unwrap();
        let mut one = Positions::new([(topic("a"), position("7.1.001"))]);
        assert!(one.is_single());
        one.move_to(SubscriptionId(0), position("7.2.002"));
        assert_eq!(one.text(), "7.2.002");

        let mut two = Positions::new([(topic("a"), position("7.1.001")), (topic("b"), position("7.5.003"))]);
        two.move_to(SubscriptionId(1), position("7.6.004"));
        let cursor: Cursor = two.text().parse().unwrap();
        assert_eq!(cursor.position_of(&topic("a"), false), Some(position("7.1.001")));
        assert_eq!(cursor.position_of(&topic("b"), false), Some(position("7.6.004")));
        assert_eq!((two.topic(SubscriptionId(1)), two.topic(SubscriptionId(2))), (Some(&topic("b")), None));

        assert_eq!(two.end(&topic("b")), Some(SubscriptionId(1)));
        assert_eq!((two.end(&topic("b")), two.topic(SubscriptionId(1))), (None, None));
        assert_eq!(two.text().parse::<Cursor>().unwrap(), cursor, "its position is kept");
    }
}
