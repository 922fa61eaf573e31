//! The shards as this node knows them, and how they are changed: whoever changes one replaces its message, if that is
//! still the one it knew.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use async_nats::header::{HeaderMap, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use fanfare_model::Timestamp;
use fanfare_presence::Error;
use parking_lot::Mutex;

use super::SHARDS;
use super::state::{Entry, State};
use crate::error::{Fault, code};
use crate::gets::{BATCH_MAX, BYTES_MAX, Get, Stored};
use crate::life::Stream;
use crate::link::Link;
use crate::metrics::Operation;
use crate::stream::Ack;

/// A shard as it was at a place of the stream.
pub(super) struct Known {
    /// The place of its message; 0 if there is none yet.
    seq: u64,
    pub(super) state: State,
    /// By tenant and session, and by tenant and user: the topics, sorted.
    by_session: HashMap<(String, String), Vec<String>>,
    by_user: HashMap<(String, String), Vec<String>>,
    pub(super) seats: usize,
}

impl Known {
    fn new(seq: u64, state: State) -> Self {
        let (mut by_session, mut by_user) = (HashMap::<_, Vec<String>>::new(), HashMap::<_, Vec<String>>::new());
        for (tenant, topic, session, seat) in state.all_seats() {
            by_session.entry((tenant.to_owned(), session.to_owned())).or_default().push(topic.to_owned());
            if let Some(user) = &seat.user {
                let topics = by_user.entry((tenant.to_owned(), user.as_str().to_owned())).or_default();
                if topics.last().is_none_or(|last| last != topic) {
                    topics.push(topic.to_owned());
                }
            }
        }
        let seats = state.seats();
        Self { seq, state, by_session, by_user, seats }
    }

    pub(super) fn topics_of_session(&self, tenant: &str, session: &str) -> &[String] {
        self.by_session.get(&(tenant.to_owned(), session.to_owned())).map_or(&[], Vec::as_slice)
    }

    pub(super) fn topics_of_user(&self, tenant: &str, user: &str) -> &[String] {
        self.by_user.get(&(tenant.to_owned(), user.to_owned())).map_or(&[], Vec::as_slice)
    }
}

/// All shards.
pub(super) struct Replica {
    link: Arc<Link>,
    stream: Arc<Stream>,
    feed_stream: String,
    /// What subjects of states begin with, the last dot included.
    subject: String,
    /// The same of feeds.
    feed_subject: String,
    known: Vec<Mutex<Arc<Known>>>,
    /// Changes of this node wait for each other, rather than to collide.
    turns: Vec<tokio::sync::Mutex<()>>,
    seen: Mutex<Seen>,
}

/// What was read of the stream.
#[derive(Default)]
struct Seen {
    /// Its life.
    created: Option<Arc<str>>,
    /// Up to where it was read.
    upto: u64,
}

/// A shard in which nobody ever was.
fn nobody() -> Arc<Known> {
    Arc::new(Known::new(0, State::new(Timestamp::from_micros(0))))
}

impl Replica {
    pub(super) fn new(link: Arc<Link>, stream: Arc<Stream>, prefix: &str) -> Self {
        Self {
            link,
            stream,
            feed_stream: format!("{prefix}-presence-feed"),
            subject: format!("{prefix}.presence.state."),
            feed_subject: format!("{prefix}.presence-feed."),
            known: (0..SHARDS).map(|_| Mutex::new(nobody())).collect(),
            turns: (0..SHARDS).map(|_| tokio::sync::Mutex::new(())).collect(),
            seen: Mutex::default(),
        }
    }

    /// A shard as it is known here.
    pub(super) fn known(&self, shard: u16) -> Arc<Known> {
        Arc::clone(&self.known[usize::from(shard)].lock())
    }

    /// Every shard as it is known here.
    pub(super) fn all(&self) -> impl Iterator<Item = Arc<Known>> {
        self.known.iter().map(|known| Arc::clone(&known.lock()))
    }

    /// Takes note of a shard's message, unless a later one is known.
    fn learn(&self, shard: u16, seq: u64, state: State) -> Arc<Known> {
        let mut known = self.known[usize::from(shard)].lock();
        if known.seq < seq {
            *known = Arc::new(Known::new(seq, state));
        }
        Arc::clone(&known)
    }

    /// Reads what has changed since the last time. The next change of a shard that this node makes reads it for sure.
    pub(super) async fn refresh(&self) -> Result<(), Fault> {
        loop {
            let filter = format!("{}*", self.subject);
            let life = self.stream.life(&self.link, self.link.timeout).await?;
            let from = self.seen(&life.created) + 1;
            let get = Get { max_bytes: Some(BYTES_MAX), ..Get::next(&filter, from, BATCH_MAX) };
            let batch = self.link.get(&self.stream.name, &get).await?;
            let Some(last) = batch.messages.last().map(|last| last.seq) else { return Ok(()) };
            for message in batch.messages {
                self.take(&message)?;
            }
            let mut seen = self.seen.lock();
            seen.upto = last.max(seen.upto);
            if batch.pending == 0 {
                return Ok(());
            }
        }
    }

    /// Up to where the stream was read in its life. What is known of an earlier one is forgotten, as the servers have.
    fn seen(&self, created: &Arc<str>) -> u64 {
        let mut seen = self.seen.lock();
        if seen.created.as_ref() != Some(created) {
            if seen.created.is_some() {
                self.known.iter().for_each(|known| *known.lock() = nobody());
            }
            *seen = Seen { created: Some(Arc::clone(created)), upto: 0 };
        }
        seen.upto
    }

    fn take(&self, message: &Stored) -> Result<Option<Arc<Known>>, Fault> {
        let shard = message.subject.strip_prefix(&self.subject).and_then(|shard| shard.parse::<u16>().ok());
        let Some(shard) = shard.filter(|shard| *shard < SHARDS) else { return Ok(None) };
        if self.known(shard).seq >= message.seq {
            return Ok(Some(self.known(shard)));
        }
        let state = serde_json::from_slice(&message.payload).map_err(|error| Fault::Garbled(error.to_string()))?;
        Ok(Some(self.learn(shard, message.seq, state)))
    }

    /// A shard as the leader has it.
    pub(super) async fn latest(&self, shard: u16) -> Result<Arc<Known>, Fault> {
        let subject = format!("{}{shard}", self.subject);
        let before = self.known(shard).seq;
        if let Some(message) = self.link.last_by_leader(&self.stream.name, &subject).await? {
            return Ok(self.take(&message)?.unwrap_or_else(|| self.known(shard)));
        }
        let mut known = self.known[usize::from(shard)].lock();
        // What was there is forgotten, with its stream.
        if known.seq == before && before > 0 {
            *known = nobody();
        }
        Ok(Arc::clone(&known))
    }

    /// Changes a shard as one step. `change` says whether it has changed anything, and is asked again if another node was
    /// faster. Answers with what it said last, and the shard afterwards.
    pub(super) async fn change<T>(
        &self,
        shard: u16,
        now: impl Fn() -> Timestamp + Send,
        mut change: impl FnMut(&mut State, Timestamp) -> Result<(T, bool), Error> + Send,
    ) -> Result<(T, Arc<Known>), Error> {
        let _turn = self.turns[usize::from(shard)].lock().await;
        let since = Instant::now();
        let mut known = self.known(shard);
        // What is known may be old, and then nothing would seem to be done: the leader has the last word on that.
        let mut is_latest = false;
        loop {
            let now = now();
            let mut state = if known.seq == 0 { State::new(now) } else { known.state.clone() };
            let answer = change(&mut state, now);
            if !matches!(answer, Ok((_, true))) && !is_latest {
                (known, is_latest) = (self.latest(shard).await?, true);
                continue;
            }
            let (answer, changed) = answer?;
            if !changed {
                return Ok((answer, known));
            }
            // What waited before is in the feed before anything else is.
            self.flush(shard, &known.state.outbox).await?;
            state.outbox.retain(|entry| entry.position > known.state.position);
            match self.put(shard, known.seq, &state).await {
                Ok(Some(seq)) => {
                    let fresh = self.learn(shard, seq, state);
                    // If this fails, whoever makes the next change does it.
                    if let Err(fault) = self.flush(shard, &fresh.state.outbox).await {
                        tracing::warn!(error = %fault, shard, "changes of presence wait for their feed");
                    }
                    return Ok((answer, fresh));
                }
                Ok(None) if since.elapsed() < self.link.timeout => {
                    (known, is_latest) = (self.latest(shard).await?, true);
                }
                Ok(None) => return Err(Fault::Unavailable("others change it all the time".to_owned()).into()),
                Err(fault) if fault.is(code::MESSAGE_TOO_LARGE) => return Err(Error::Full),
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// Replaces a shard's message. `None` if another one is there.
    async fn put(&self, shard: u16, expected: u64, state: &State) -> Result<Option<u64>, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        // Should the answer be lost, the same is asked again, and done once.
        headers.insert(NATS_MESSAGE_ID, self.link.client.new_inbox().as_str());
        let body = serde_json::to_vec(state).map_err(|error| Fault::Garbled(error.to_string()))?;
        let subject = format!("{}{shard}", self.subject);
        match self.link.ask(Operation::Store, &subject, Some(&headers), body.into()).await {
            Ok(answer) => {
                let ack: Ack = serde_json::from_value(answer).map_err(|error| Fault::Garbled(error.to_string()))?;
                Ok(Some(ack.seq))
            }
            Err(fault) if fault.is(code::WRONG_LAST) || fault.is(code::WRONG_LAST_NOW) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Puts changes into the feed, in order. Each is there once, whoever puts it there.
    async fn flush(&self, shard: u16, outbox: &[Entry]) -> Result<(), Fault> {
        for entry in outbox {
            let mut headers = HeaderMap::new();
            headers.insert(NATS_MESSAGE_ID, format!("{shard}.{}", entry.position));
            let body = serde_json::to_vec(entry).map_err(|error| Fault::Garbled(error.to_string()))?;
            let subject = format!("{}{shard}", self.feed_subject);
            self.link.ask(Operation::Store, &subject, Some(&headers), body.into()).await?;
        }
        Ok(())
    }

    /// The holders that hold something.
    pub(super) fn holders(&self) -> HashSet<Arc<str>> {
        self.all()
            .flat_map(|known| {
                known.state.all_seats().map(|(.., seat)| Arc::clone(&seat.holder)).collect::<HashSet<_>>()
            })
            .collect()
    }

    pub(super) fn feed_stream(&self) -> &str {
        &self.feed_stream
    }

    pub(super) fn feed_subject(&self, shard: u16) -> String {
        format!("{}{shard}", self.feed_subject)
    }

    pub(super) fn stream(&self) -> &str {
        &self.stream.name
    }
}
