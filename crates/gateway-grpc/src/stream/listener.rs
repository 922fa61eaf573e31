//! The frames of a stream that only listens, and where it stands.

use bytes::Bytes;
use fanfare_bus::{Entry, State};
use fanfare_model::{Cursor, Position, Topic, TopicTag};
use fanfare_session::client::{Dialect, Incoming, Payload, Push, Reply, RequestId};
use parking_lot::Mutex;
use prost::encoding::string;

use super::frames::{Frames, PREFIX_BYTES, finish};
use crate::fault::Fault;

/// The field `ServerFrame.cursor`.
const CURSOR_FIELD: u32 = 20;

/// What one stream of `Events.Subscribe` speaks. It knows where the stream stands: with several topics every frame that
/// moves it has the cursor after the shared bytes. Both run on the stream's worker, so the lock is never waited for.
#[derive(Default)]
pub(crate) struct Listener(Mutex<Standing>);

#[derive(Default)]
struct Standing {
    topics: Vec<Topic>,
    /// In their order.
    entries: Vec<(TopicTag, Position)>,
    /// Where each was when the stream began, as far as it had to catch up.
    targets: Vec<(Topic, Position)>,
    /// The last error that was said.
    fault: Option<Fault>,
}

impl Listener {
    /// The last error since this was asked before.
    pub(crate) fn take_fault(&self) -> Option<Fault> {
        self.0.lock().fault.take()
    }

    /// Whether it receives `topic`.
    pub(crate) fn has(&self, topic: &Topic) -> bool {
        self.0.lock().topics.contains(topic)
    }

    /// Whether it receives nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().topics.is_empty()
    }

    /// The topics that have something to catch up with.
    pub(crate) fn behind(&self) -> Vec<Topic> {
        self.0.lock().targets.iter().map(|(topic, _)| topic.clone()).collect()
    }

    /// From now on it has caught up when it is at `heads`.
    pub(crate) fn aim(&self, heads: Vec<(Topic, Position)>) {
        self.0.lock().targets = heads;
    }

    /// Whether it has caught up with what was there when it began.
    pub(crate) fn has_caught_up(&self) -> bool {
        let mut standing = self.0.lock();
        let Standing { topics, entries, targets, .. } = &mut *standing;
        targets.retain(|(topic, head)| {
            let at = topics.iter().position(|known| known == topic).map(|at| entries[at].1);
            // In another life of the log there is nothing left of what was there.
            at.is_some_and(|at| at.epoch == head.epoch && at.offset < head.offset)
        });
        targets.is_empty()
    }
}

impl Standing {
    fn begin(&mut self, topic: &Topic, position: Position, state: State) {
        let entry = (TopicTag::of(topic), position);
        if let Some(at) = self.place(topic) {
            self.entries[at] = entry;
        } else {
            self.topics.push(topic.clone());
            self.entries.push(entry);
        }
        if state == State::Replaying {
            self.targets.push((topic.clone(), position));
        }
    }

    /// At most as many as a session may have subscriptions.
    fn place(&self, topic: &Topic) -> Option<usize> {
        self.topics.iter().position(|known| known == topic)
    }

    /// The stream is at `position` now; the frame that says so, with the cursor if that is more than the position.
    fn moved(&mut self, topic: &Topic, position: Position, frame: Bytes) -> Bytes {
        if let Some(at) = self.place(topic) {
            self.entries[at].1 = position;
        }
        self.with_cursor(frame)
    }

    fn with_cursor(&self, frame: Bytes) -> Bytes {
        if self.entries.len() < 2 {
            return frame;
        }
        let mut cursor = String::new();
        Cursor::write_many(&self.entries, &mut cursor);
        let mut message = Vec::with_capacity(frame.len() + cursor.len() + 8);
        message.extend_from_slice(&frame);
        // Fields of a message may stand in any order, so one more at the end makes a message of both.
        string::encode(CURSOR_FIELD, &cursor, &mut message);
        debug_assert!(message.len() > PREFIX_BYTES);
        finish(message)
    }
}

impl Dialect for Listener {
    fn name(&self) -> &'static str {
        Frames.name()
    }

    fn binary(&self) -> bool {
        true
    }

    fn read(&self, message: Payload<'_>, requests_max: usize, out: &mut Vec<Incoming>) {
        Frames.read(message, requests_max, out);
    }

    fn reply(&self, id: Option<RequestId>, reply: &Reply) -> Bytes {
        let frame = Frames.reply(id, reply);
        let mut standing = self.0.lock();
        match reply {
            Reply::Subscribed { topic, position, state } => {
                standing.begin(topic, *position, *state);
                standing.with_cursor(frame)
            }
            Reply::Error(error) => {
                standing.fault = Some(error.into());
                frame
            }
            _ => frame,
        }
    }

    fn push(&self, push: &Push) -> Bytes {
        let frame = Frames.push(push);
        match push {
            Push::Gap { topic, position, .. } => self.0.lock().moved(topic, *position, frame),
            _ => frame,
        }
    }

    fn event(&self, entry: &Entry) -> Bytes {
        let event = &entry.event;
        self.0.lock().moved(&event.topic.topic, event.position(), Frames.event(entry))
    }

    fn signal(&self, topic: &Topic, entry: &Entry) -> Bytes {
        Frames.signal(topic, entry)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fanfare_model::{Data, Draft, Epoch, Event, Tag, Tenant, Timestamp, TopicKey};
    use fanfare_proto::v1::{ServerFrame, server_frame::What};
    use prost::Message as _;

    use super::*;

    fn topic(text: &str) -> Topic {
        Topic::new(text).unwrap()
    }

    fn at(offset: u64) -> Position {
        Position { epoch: Epoch::from_u32(7).unwrap(), offset, tag: Tag::NONE }
    }

    fn entry(topic: &Topic, offset: u64) -> Entry {
        Entry::new(Arc::new(Event {
            topic: TopicKey::new(Tenant::default(), topic.clone()),
            epoch: Epoch::from_u32(7).unwrap(),
            offset,
            prev: offset - 1,
            time: Timestamp::from_micros(5),
            draft: Draft::new(Data::text("x")),
        }))
    }

    fn read(frame: &Bytes) -> ServerFrame {
        let length = u32::from_be_bytes(frame[1..5].try_into().unwrap()) as usize;
        assert_eq!((frame[0], length), (0, frame.len() - PREFIX_BYTES));
        ServerFrame::decode(&frame[PREFIX_BYTES..]).unwrap()
    }

    fn subscribed(listener: &Listener, name: &str, offset: u64, state: State) -> Bytes {
        listener.reply(None, &Reply::Subscribed { topic: topic(name), position: at(offset), state })
    }

    #[test]
    fn with_one_topic_the_bytes_are_shared_with_every_stream() {
        let listener = Listener::default();
        subscribed(&listener, "a", 3, State::Live);
        let entry = entry(&topic("a"), 4);
        let (heard, plain) = (listener.event(&entry), Frames.event(&entry));
        assert_eq!(heard.as_ptr(), plain.as_ptr());
        assert_eq!(read(&heard).cursor, "");
    }

    #[test]
    fn with_several_every_frame_that_moves_it_has_the_cursor() {
        let listener = Listener::default();
        subscribed(&listener, "a", 3, State::Live);
        subscribed(&listener, "b", 8, State::Live);
        let frame = read(&listener.event(&entry(&topic("b"), 9)));
        assert!(matches!(frame.what, Some(What::Event(event)) if event.offset == 9));
        let cursor: Cursor = frame.cursor.parse().unwrap();
        assert_eq!(cursor.position_of(&topic("a"), false), Some(at(3)));
        assert_eq!(cursor.position_of(&topic("b"), false).unwrap().offset, 9);
        let gap = fanfare_model::Gap { from: 4, to: 6, reason: fanfare_model::GapReason::Trimmed };
        let frame = read(&listener.push(&Push::Gap { topic: topic("a"), gap, position: at(6) }));
        let cursor: Cursor = frame.cursor.parse().unwrap();
        assert_eq!(cursor.position_of(&topic("a"), false), Some(at(6)));
    }

    #[test]
    fn it_has_caught_up_when_it_is_where_the_log_was() {
        let listener = Listener::default();
        subscribed(&listener, "a", 1, State::Replaying);
        subscribed(&listener, "b", 5, State::Live);
        assert_eq!(listener.behind(), [topic("a")]);
        listener.aim(vec![(topic("a"), at(3))]);
        for offset in 2..=3 {
            assert!(!listener.has_caught_up());
            listener.event(&entry(&topic("a"), offset));
        }
        assert!(listener.has_caught_up());
    }
}
