//! Appending: what is published to one topic while a call is under way goes with the next one, together.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fanfare_history::{Append, Appended, Error, Keep, record};
use fanfare_lifecycle::TaskKind;
use fanfare_model::{Draft, Epoch, Event, Position, Tag, Timestamp, TopicKey};
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::sync::{Notify, oneshot};

use super::{Store, Voice, random};
use crate::answers;
use crate::error::Failure;
use crate::metrics::Operation;
use crate::scripts;
use crate::servers::Link;

/// The topics that are being appended to.
#[derive(Default)]
pub(super) struct Lanes {
    /// What waits behind the call that is under way.
    waiting: Mutex<HashMap<TopicKey, VecDeque<Waiting>>>,
    emptied: Notify,
}

impl Lanes {
    pub(super) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.waiting.lock().is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

/// Who waits for what became of some events.
type Answer = oneshot::Sender<Vec<Result<Appended, Failure>>>;

/// Events of one topic from one publish.
struct Waiting {
    keep: Arc<Keep>,
    drafts: Vec<Draft>,
    answer: Answer,
}

/// What a batch has of one topic.
struct Part {
    topic: TopicKey,
    keep: Arc<Keep>,
    indices: Vec<usize>,
    drafts: Vec<Draft>,
}

/// Events of one topic that go together.
struct Group {
    keep: Arc<Keep>,
    items: Vec<(Draft, Vec<u8>)>,
    answers: Vec<(usize, Answer)>,
}

impl Store {
    /// Accepts a batch at once; the future only waits for the answers.
    pub(crate) fn append(self: &Arc<Self>, batch: Vec<Append>) -> BoxFuture<'static, Vec<Result<Appended, Error>>> {
        let count = batch.len();
        if self.check_open().is_err() {
            return refuse(count, || Error::Closed);
        }
        let waiting = self.waiting.fetch_add(count, Ordering::Relaxed) + count;
        if waiting > self.options.queue_events_max && waiting > count {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            return refuse(count, || Error::Overloaded);
        }
        self.servers.handles.waiting.set(waiting as f64);
        let mut answers: Vec<Option<Result<Appended, Error>>> = (0..count).map(|_| None).collect();
        let mut parts: Vec<Part> = Vec::new();
        let mut at: HashMap<TopicKey, usize> = HashMap::new();
        for (index, Append { topic, draft, keep }) in batch.into_iter().enumerate() {
            let (size, size_max) = (draft.size(), self.options.event_bytes_max.as_usize());
            if size > size_max && !topic.topic.is_signals() {
                answers[index] = Some(Err(Error::TooLarge { size, size_max }));
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let part = match at.get(&topic) {
                Some(part) if parts[*part].keep == keep => *part,
                _ => {
                    at.insert(topic.clone(), parts.len());
                    parts.push(Part { topic, keep, indices: Vec::new(), drafts: Vec::new() });
                    parts.len() - 1
                }
            };
            parts[part].indices.push(index);
            parts[part].drafts.push(draft);
        }
        let mut waits = Vec::with_capacity(parts.len());
        for Part { topic, keep, indices, drafts } in parts {
            let (answer, answered) = oneshot::channel();
            self.enqueue(topic, Waiting { keep, drafts, answer });
            waits.push(async move { (indices, answered.await) });
        }
        Box::pin(async move {
            for (indices, answered) in join_all(waits).await {
                let mut answered = answered.unwrap_or_default().into_iter();
                for index in indices {
                    let answer = answered.next().unwrap_or(Err(Failure::Closed));
                    answers[index] = Some(answer.map_err(Failure::of_log));
                }
            }
            answers.into_iter().map(|answer| answer.unwrap_or(Err(Error::Closed))).collect()
        })
    }

    fn enqueue(self: &Arc<Self>, topic: TopicKey, waiting: Waiting) {
        let mut lanes = self.lanes.waiting.lock();
        if let Some(lane) = lanes.get_mut(&topic) {
            lane.push_back(waiting);
            return;
        }
        lanes.insert(topic.clone(), VecDeque::from([waiting]));
        drop(lanes);
        let store = Arc::clone(self);
        self.life.spawn(TaskKind::Background, "append to redis", async move { store.drive(topic).await });
    }

    /// Appends what waits for one topic until nothing does.
    async fn drive(&self, topic: TopicKey) {
        while let Some(group) = self.next_group(&topic) {
            let done = self.append_group(&topic, &group).await;
            self.waiting.fetch_sub(group.items.len(), Ordering::Relaxed);
            let mut done = match done {
                Ok(appended) => appended.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(failure) => {
                    tracing::debug!(error = %failure, "events could not be stored");
                    group.items.iter().map(|_| Err(failure.clone())).collect()
                }
            }
            .into_iter();
            for (count, answer) in group.answers {
                // Whoever gave up has lost nothing but the answer.
                let _ = answer.send(done.by_ref().take(count).collect());
            }
        }
    }

    /// What goes with the next call; ends the lane if nothing waits.
    fn next_group(&self, topic: &TopicKey) -> Option<Group> {
        let mut lanes = self.lanes.waiting.lock();
        let lane = lanes.get_mut(topic)?;
        let Some(first) = lane.pop_front() else {
            lanes.remove(topic);
            if lanes.is_empty() {
                self.lanes.emptied.notify_waiters();
            }
            return None;
        };
        let mut drafts = first.drafts;
        let mut group = Group { keep: first.keep, items: Vec::new(), answers: vec![(drafts.len(), first.answer)] };
        // A large batch goes alone: its answer needs all of it.
        while lane.front().is_some_and(|next| {
            next.keep == group.keep && drafts.len() + next.drafts.len() <= self.options.group_events_max
        }) {
            if let Some(next) = lane.pop_front() {
                group.answers.push((next.drafts.len(), next.answer));
                drafts.extend(next.drafts);
            }
        }
        drop(lanes);
        group.items = drafts
            .into_iter()
            .map(|draft| {
                let mut bytes = Vec::with_capacity(draft.size() + 64);
                record::encode_draft(&draft, &mut bytes);
                (draft, bytes)
            })
            .collect();
        Some(group)
    }

    async fn append_group(&self, topic: &TopicKey, group: &Group) -> Result<Vec<Appended>, Failure> {
        let mut appended = Vec::with_capacity(group.items.len());
        for items in group.items.chunks(self.options.group_events_max) {
            appended.extend(self.call_publish(topic, &group.keep, items).await?);
        }
        Ok(appended)
    }

    async fn call_publish(
        &self,
        topic: &TopicKey,
        keep: &Keep,
        items: &[(Draft, Vec<u8>)],
    ) -> Result<Vec<Appended>, Failure> {
        let passing = self.passing(topic);
        let names = self.names(topic, passing);
        let (command, channel) = self.announcing(&names);
        let window = (!keep.idempotency_window.is_zero()).then_some(keep.idempotency_window.as_micros());
        let mut keys = vec![
            names.head.clone(),
            names.log.clone(),
            self.born(names.partition),
            self.due(names.partition),
            self.servers.keys.key(names.partition, "t", topic.tenant.as_str().as_bytes()),
            self.floor(names.partition),
        ];
        if window.is_some() {
            keys.extend(items.iter().map(|(draft, _)| self.id(&names, &draft.id)));
        }
        let number = |number: Option<u128>| number.map_or_else(String::new, |n| n.to_string());
        let listed = if topic.topic.is_hidden() { "" } else { topic.topic.as_str() };
        let now = self.clock.now().as_micros();
        let make = |link: &Link| -> Vec<Cmd> {
            let mut call = scripts::PUBLISH.with(&keys);
            call.arg(now).arg(&*link.identity.life).arg(random()).arg(&names.flat).arg(listed);
            call.arg(&channel).arg(command).arg(self.options.announced_bytes_max.0);
            call.arg(number(keep.events_max.map(u128::from))).arg(number(keep.bytes_max.map(u128::from)));
            call.arg(number(keep.age_max.map(|age| age.as_micros()))).arg(number(window));
            call.arg(self.lifetime(passing)).arg(items.len());
            for (draft, bytes) in items {
                call.arg(Tag::of(&draft.id).as_u16()).arg(draft.size()).arg(bytes);
            }
            match self.options.replicas {
                replicas if replicas > 0 && !passing => {
                    let mut wait = redis::cmd("WAIT");
                    wait.arg(replicas).arg(u64::try_from(self.options.replicas_timeout.get().as_millis()).unwrap_or(0));
                    vec![call, wait]
                }
                _ => vec![call],
            }
        };
        // What has no id that is remembered must not be sent twice.
        let answers = self.servers.call(Operation::Publish, names.partition, window.is_some(), make).await?;
        if let [_, Value::Int(replicas)] = &answers[..]
            && *replicas < i64::from(self.options.replicas)
        {
            return Err(Failure::NotReplicated);
        }
        let (epoch, appended) = read_places(answers.first(), items)?;
        if let Voice::Local(announce) = &self.voice {
            announce.stored(&stored(topic, epoch, &appended, items));
        }
        Ok(appended)
    }
}

/// The answer of the script.
fn read_places(answer: Option<&Value>, items: &[(Draft, Vec<u8>)]) -> Result<(Epoch, Vec<Appended>), Failure> {
    const GARBLED: Failure = Failure::Garbled("publish");
    let Some(Value::Array(answer)) = answer else { return Err(GARBLED) };
    let [epoch, places @ ..] = &answer[..] else { return Err(GARBLED) };
    let epoch = answers::epoch(epoch).ok_or(GARBLED)?;
    if places.len() != items.len() * 3 {
        return Err(GARBLED);
    }
    let place = |(place, (draft, _)): (&[Value], &(Draft, Vec<u8>))| {
        let [Value::Int(offset), Value::Int(time), Value::Int(duplicate)] = place else { return None };
        let offset = u64::try_from(*offset).ok()?;
        let position = Position { epoch, offset, tag: Tag::of(&draft.id) };
        Some(Appended { position, time: Timestamp::from_micros(*time), duplicate: *duplicate == 1 })
    };
    let appended: Option<Vec<_>> = places.chunks(3).zip(items).map(place).collect();
    Ok((epoch, appended.ok_or(GARBLED)?))
}

/// The events of one answer that are new, for those who are told in this process.
fn stored(topic: &TopicKey, epoch: Epoch, appended: &[Appended], items: &[(Draft, Vec<u8>)]) -> Vec<Arc<Event>> {
    let mut events: Vec<Arc<Event>> = Vec::with_capacity(items.len());
    for (place, (draft, _)) in appended.iter().zip(items).filter(|(place, _)| !place.duplicate) {
        let offset = place.position.offset;
        // Only the first of a call can have jumped; a reader that misses something before it asks the log.
        let prev = events.last().map_or(offset - 1, |before| before.offset);
        let (time, draft) = (place.time, draft.clone());
        events.push(Arc::new(Event { topic: topic.clone(), epoch, offset, prev, time, draft }));
    }
    events
}

fn refuse(count: usize, error: fn() -> Error) -> BoxFuture<'static, Vec<Result<Appended, Error>>> {
    Box::pin(std::future::ready((0..count).map(|_| Err(error())).collect()))
}
