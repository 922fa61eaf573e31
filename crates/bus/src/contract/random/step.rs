//! What happens in a random history.

use proptest::prelude::*;

/// One thing that happens. Numbers name a node, a topic, a reader or an event, whatever there is of it then.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A node publishes a batch to a topic: events with one of a few ids, or each with an id of its own.
    Publish { node: u8, topic: u8, ids: Vec<Option<u8>> },
    /// Every node publishes so many events to a topic, all at once.
    PublishEverywhere { topic: u8, each: u8 },
    /// A reader subscribes on a node, and to nothing else any more.
    Subscribe { reader: u8, node: u8, topic: u8, start: Start },
    /// A reader goes to a node, and goes on there where it was.
    Resume { reader: u8, node: u8 },
    /// A reader takes up to so many deliveries.
    Read { reader: u8, most: u8 },
    /// A reader goes for good.
    Leave { reader: u8 },
    /// From now on announcements to a node are lost, doubled and reordered.
    Disturb { node: u8, seed: u64 },
    /// From now on a node hears nothing.
    Deafen { node: u8 },
    /// A node hears again, and is told that something was lost.
    Mend { node: u8 },
    /// A node purges a topic.
    Purge { node: u8, topic: u8 },
    /// A node truncates a topic before one of its events.
    Truncate { node: u8, topic: u8, before: u8 },
    /// A node ends as in a crash, and starts again; its readers resume.
    Restart { node: u8 },
    /// Nothing happens until everybody has everything.
    Settle,
}

/// Where a subscription begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    /// With what comes.
    Now,
    /// With the oldest.
    Oldest,
    /// With the last so many.
    Last(u8),
    /// After any event that there ever was, or before the first of any life of the log.
    After(u8),
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        2 => Just(Start::Now),
        1 => Just(Start::Oldest),
        1 => (1..8_u8).prop_map(Start::Last),
        3 => any::<u8>().prop_map(Start::After),
    ]
}

/// There are so many readers.
const READERS: u8 = 5;

fn step() -> impl Strategy<Value = Step> {
    let id = prop::option::weighted(0.3, 0..6_u8);
    let (node, topic, reader) = (any::<u8>(), any::<u8>(), 0..READERS);
    prop_oneof![
        10 => (node, topic, prop::collection::vec(id, 1..6)).prop_map(|(node, topic, ids)| Step::Publish { node, topic, ids }),
        2 => (topic, 1..5_u8).prop_map(|(topic, each)| Step::PublishEverywhere { topic, each }),
        6 => (reader.clone(), node, topic, start())
            .prop_map(|(reader, node, topic, start)| Step::Subscribe { reader, node, topic, start }),
        3 => (reader.clone(), node).prop_map(|(reader, node)| Step::Resume { reader, node }),
        5 => (reader.clone(), 1..10_u8).prop_map(|(reader, most)| Step::Read { reader, most }),
        1 => reader.prop_map(|reader| Step::Leave { reader }),
        2 => (node, any::<u64>()).prop_map(|(node, seed)| Step::Disturb { node, seed }),
        1 => node.prop_map(|node| Step::Deafen { node }),
        2 => node.prop_map(|node| Step::Mend { node }),
        1 => (node, topic).prop_map(|(node, topic)| Step::Purge { node, topic }),
        1 => (node, topic, any::<u8>()).prop_map(|(node, topic, before)| Step::Truncate { node, topic, before }),
        1 => node.prop_map(|node| Step::Restart { node }),
        1 => Just(Step::Settle),
    ]
}

/// What happens in a history, in order.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..40)
}
