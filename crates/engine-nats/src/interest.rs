//! Live events: which topics this node listens to, and what it hears.
//!
//! A stream announces what it stored on live subjects, which are divided in parts; a node listens to the parts in which it
//! has a topic. What comes is a hint: it names the place of the event before it, so that whoever missed one notices.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use async_nats::{Message, Subscriber};
use fanfare_bus::Receive;
use fanfare_history::{Reset, record};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Event, Position};
use futures_util::stream::iter;
use futures_util::{StreamExt as _, TryStreamExt as _};
use parking_lot::{Mutex, RwLock};
use tokio::sync::OnceCell;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::classes::{Class, Classes, Spot};
use crate::error::Fault;
use crate::gets::{header, time};
use crate::hint::{self, Hint};
use crate::life::Life;
use crate::link::Link;
use crate::lives::{Lives, TopicLife, reset};

/// The most messages of a part that are announced at once.
const TOGETHER_MAX: usize = 64;
/// How many parts are begun at the same time.
const BEGUN_TOGETHER_MAX: usize = 64;

/// A topic that this node listens to.
struct Attached {
    spot: Spot,
    /// The last place of it that this node knows.
    known: Mutex<Option<Position>>,
}

/// A part that this node listens to.
struct Part {
    topics: usize,
    /// Set once the servers have confirmed it.
    ready: Arc<OnceCell<()>>,
    end: CancellationToken,
    _until_dropped: DropGuard,
}

/// A part that topics were attached to.
pub(crate) struct Begun {
    class: Arc<Class>,
    number: u32,
    ready: Arc<OnceCell<()>>,
    end: CancellationToken,
}

type Topics = RwLock<HashMap<Box<str>, Arc<Attached>>>;

/// All that this node listens to.
pub(crate) struct Interest {
    link: Arc<Link>,
    life: Lifecycle,
    lives: Arc<Lives>,
    receive: Arc<dyn Receive>,
    parts_count: u32,
    /// By class: by `<tenant>.<topic>`.
    topics: Vec<Topics>,
    /// By class and number.
    parts: Mutex<HashMap<(usize, u32), Part>>,
    /// Cancelled when all is over.
    end: CancellationToken,
    _until_dropped: DropGuard,
}

impl Interest {
    pub(crate) fn new(
        link: Arc<Link>,
        life: &Lifecycle,
        lives: Arc<Lives>,
        receive: Arc<dyn Receive>,
        parts_count: u32,
        classes: &Classes,
    ) -> Arc<Self> {
        let end = life.hard().child_token();
        Arc::new(Self {
            link,
            life: life.clone(),
            lives,
            receive,
            parts_count,
            topics: classes.all().iter().map(|_| Topics::default()).collect(),
            parts: Mutex::default(),
            _until_dropped: end.clone().drop_guard(),
            end,
        })
    }

    /// Listens to these topics from now on; [`Interest::confirm`] waits until the servers know.
    pub(crate) fn attach(&self, spots: &[Spot]) -> Vec<Begun> {
        let mut begun = HashMap::new();
        for spot in spots {
            let class = Arc::clone(&spot.class);
            let number = spot.part(self.parts_count);
            // The locks are taken in this order, here and when detaching.
            let mut parts = self.parts.lock();
            let mut topics = self.topics[class.index].write();
            let part = parts.entry((class.index, number)).or_insert_with(|| {
                self.link.metrics.parts.increment(1);
                let end = self.end.child_token();
                let until_dropped = end.clone().drop_guard();
                Part { topics: 0, ready: Arc::default(), end, _until_dropped: until_dropped }
            });
            topics.entry(spot.tail().into()).or_insert_with(|| {
                part.topics += 1;
                Arc::new(Attached { spot: spot.clone(), known: Mutex::new(None) })
            });
            let (ready, end) = (Arc::clone(&part.ready), part.end.clone());
            begun.insert((class.index, number), Begun { class, number, ready, end });
        }
        begun.into_values().collect()
    }

    /// Waits until the servers know that this node listens.
    pub(crate) async fn confirm(self: &Arc<Self>, begun: Vec<Begun>) -> Result<(), Fault> {
        iter(begun)
            .map(|Begun { class, number, ready, end }| async move {
                ready.get_or_try_init(|| self.begin(class, number, end)).await.map(drop)
            })
            .buffer_unordered(BEGUN_TOGETHER_MAX)
            .try_collect()
            .await
    }

    async fn begin(self: &Arc<Self>, class: Arc<Class>, number: u32, end: CancellationToken) -> Result<(), Fault> {
        let subject = format!("{}{number}.>", class.live);
        let unavailable = |error: &dyn std::fmt::Display| Fault::Unavailable(error.to_string());
        let ears = self.link.client.subscribe(subject).await.map_err(|error| unavailable(&error))?;
        let listener = Arc::downgrade(self);
        let name = Arc::clone(&class);
        self.life.spawn(TaskKind::Background, "nats-live", listen(listener, name, ears, end));
        // The question goes the way that the subscription went: when the stream's leader answers, its server knows of both.
        class.stream.info(&self.link).await.map(drop)
    }

    /// Stops listening to these topics.
    pub(crate) fn detach(&self, spots: &[Spot]) {
        for spot in spots {
            let place = (spot.class.index, spot.part(self.parts_count));
            let mut parts = self.parts.lock();
            if self.topics[spot.class.index].write().remove(spot.tail()).is_none() {
                continue;
            }
            if let Some(part) = parts.get_mut(&place) {
                part.topics -= 1;
                if part.topics == 0 {
                    parts.remove(&place);
                    self.link.metrics.parts.decrement(1);
                }
            }
        }
    }

    fn find(&self, class: &Class, tail: &str) -> Option<Arc<Attached>> {
        self.topics[class.index].read().get(tail).cloned()
    }

    /// The last place of a topic in this life that this node knows, if it listens to it.
    pub(crate) fn known(&self, spot: &Spot, life: TopicLife) -> Option<Position> {
        let known = *self.find(&spot.class, spot.tail())?.known.lock();
        known.filter(|known| known.epoch == life.epoch)
    }

    /// This node knows of an event at `at`.
    pub(crate) fn learn(&self, spot: &Spot, at: Position) {
        if let Some(attached) = self.find(&spot.class, spot.tail()) {
            attached.learn(at);
        }
    }

    /// Reads the records of purged topics, and announces those that concern topics of this node.
    pub(crate) async fn refresh_lives(&self, classes: &Classes) -> Result<(), Fault> {
        for place in self.lives.refresh(&self.link).await? {
            for class in classes.all() {
                let end = place.split_once('.').and_then(|(word, tail)| {
                    let same = class.subject.trim_end_matches('.').rsplit('.').next() == Some(word);
                    same.then_some(tail)
                });
                if let Some(attached) = end.and_then(|tail| self.find(class, tail)) {
                    let life = self.lives.of(&attached.spot);
                    *attached.known.lock() = None;
                    self.receive.reset(&reset(&attached.spot, life));
                }
            }
        }
        Ok(())
    }

    /// Tells of hints of another engine's log.
    fn hear_hints(&self, class: &Class, messages: &[Message]) {
        for message in messages {
            let tail = message.subject.strip_prefix(class.live.as_str()).and_then(|rest| rest.split_once('.'));
            let Some(attached) = tail.and_then(|(_, tail)| self.find(class, tail)) else { continue };
            match hint::read(&attached.spot.key, &message.payload) {
                Some(Hint::Stored(event)) => self.receive.stored(&[Arc::new(event)]),
                Some(Hint::Heard(last)) => self.receive.heard(&attached.spot.key, last),
                Some(Hint::Reset(head)) => self.receive.reset(&Reset { topic: attached.spot.key.clone(), head }),
                None => self.garbled(&attached.spot),
            }
        }
    }

    fn garbled(&self, spot: &Spot) {
        self.link.metrics.garbled.increment(1);
        tracing::warn!(topic = %spot.key.topic, "live message could not be understood");
    }

    /// Announces what came of one part.
    fn hear(&self, class: &Class, messages: &[Message]) {
        if class.hints {
            return self.hear_hints(class, messages);
        }
        // Not until it is known of which life this is; then everybody is told that something was missed.
        let Some(stream) = class.stream.settled(&self.link) else { return };
        let mut events: Vec<Arc<Event>> = Vec::with_capacity(messages.len());
        for message in messages {
            // Nobody here listens to most topics of a part.
            let tail = message.subject.strip_prefix(class.live.as_str()).and_then(|rest| rest.split_once('.'));
            let Some(attached) = tail.and_then(|(_, tail)| self.find(class, tail)) else { continue };
            match self.read(&attached.spot, &stream, message) {
                Said::Event(event) => {
                    attached.learn(event.position());
                    events.push(event);
                }
                Said::Nothing => {}
                Said::Garbled => self.garbled(&attached.spot),
            }
        }
        if !events.is_empty() {
            self.receive.stored(&events);
        }
    }

    /// What a live message says.
    fn read(&self, spot: &Spot, stream: &Life, message: &Message) -> Said {
        let life = self.lives.within(spot, stream);
        let number = |name| header(message, name).and_then(|text| text.parse::<u64>().ok());
        let at = header(message, "Nats-Time-Stamp").and_then(time);
        match (number("Nats-Sequence"), number("Nats-Last-Sequence"), at) {
            // The server's own note, or of an earlier life.
            _ if header(message, "Nats-Marker-Reason").is_some() => Said::Nothing,
            (Some(offset), ..) if offset <= life.after => Said::Nothing,
            // It has waited here since before the stream was made.
            (.., Some(time)) if time < stream.since => Said::Nothing,
            (Some(offset), Some(last), Some(time)) => match record::decode_draft(&message.payload) {
                Ok(draft) => {
                    let (topic, epoch, prev) = (spot.key.clone(), life.epoch, life.prev(last));
                    Said::Event(Arc::new(Event { topic, epoch, offset, prev, time, draft }))
                }
                Err(_) => Said::Garbled,
            },
            _ => Said::Garbled,
        }
    }
}

/// What a live message says.
enum Said {
    /// This was stored.
    Event(Arc<Event>),
    /// Nothing of the topic as it is now.
    Nothing,
    /// What cannot be understood.
    Garbled,
}

impl Attached {
    fn learn(&self, at: Position) {
        let mut known = self.known.lock();
        if known.is_none_or(|known| known.epoch != at.epoch || known.offset < at.offset) {
            *known = Some(at);
        }
    }
}

/// Takes what comes of one part until nobody has a topic in it.
async fn listen(listener: Weak<Interest>, class: Arc<Class>, ears: Subscriber, end: CancellationToken) {
    let mut ears = ears.ready_chunks(TOGETHER_MAX);
    while let Some(Some(messages)) = end.run_until_cancelled(ears.next()).await {
        let Some(interest) = listener.upgrade() else { return };
        interest.hear(&class, &messages);
    }
}
