//! What this node is interested in, and how much of that the hub knows.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use fanfare_model::TopicKey;
use fanfare_proto::engine as proto;
use futures_util::stream::{Stream, unfold};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::wire;

/// The most topics of one message: about 100 KiB.
const TOPICS_MAX: usize = 1000;

pub(super) struct Interest {
    state: Mutex<State>,
    changed: Notify,
    /// Changes up to this one are in force on the connection there is, or were on the last one.
    confirmed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    topics: HashSet<TopicKey>,
    /// Topics that have become interesting, or cease to be, since the hub was last told.
    changes: Vec<TopicKey>,
    /// How many changes there have been.
    upto: u64,
    /// Which stream tells the hub: one that was made before this one must not take changes from it.
    stream: u64,
}

impl Interest {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Notify::new(), confirmed: watch::Sender::new(0) })
    }

    /// From now on `topics` are interesting. Returns the change that the hub must confirm.
    pub(super) fn attach(&self, topics: Vec<TopicKey>) -> u64 {
        self.change(topics, HashSet::insert)
    }

    pub(super) fn detach(&self, topics: Vec<TopicKey>) {
        self.change(topics, |known, topic| known.remove(&topic));
    }

    fn change(&self, topics: Vec<TopicKey>, apply: fn(&mut HashSet<TopicKey>, TopicKey) -> bool) -> u64 {
        let mut state = self.state.lock();
        for topic in topics {
            // What is known already may not have been confirmed yet: it is told again rather than looked for.
            apply(&mut state.topics, topic.clone());
            state.changes.push(topic);
        }
        state.upto += 1;
        let upto = state.upto;
        drop(state);
        self.changed.notify_one();
        upto
    }

    /// Waits until the hub has confirmed a change. `false`: it has not in this time.
    pub(super) async fn is_confirmed(&self, change: u64, within: Duration) -> bool {
        let mut confirmed = self.confirmed.subscribe();
        let in_force = confirmed.wait_for(|upto| *upto >= change);
        matches!(tokio::time::timeout(within, in_force).await, Ok(Ok(_)))
    }

    pub(super) fn confirm(&self, upto: u64) {
        self.confirmed.send_replace(upto);
    }

    /// What a new connection tells the hub: everything first, then every change. A stream that was made before ends.
    pub(super) fn tell(self: &Arc<Self>) -> impl Stream<Item = proto::Interest> + Send + use<> {
        let mut state = self.state.lock();
        state.stream += 1;
        state.changes.clear();
        let telling = Telling {
            interest: Arc::clone(self),
            stream: state.stream,
            all: Some((state.topics.iter().cloned().collect(), state.upto)),
        };
        drop(state);
        // Whoever waits for changes on an older stream finds that it is one.
        self.changed.notify_waiters();
        unfold(telling, |mut telling| async { Some((telling.next().await?, telling)) })
    }
}

struct Telling {
    interest: Arc<Interest>,
    stream: u64,
    /// What has not been told yet of what was interesting at the beginning, and up to which change that was.
    all: Option<(Vec<TopicKey>, u64)>,
}

impl Telling {
    async fn next(&mut self) -> Option<proto::Interest> {
        if let Some((mut topics, upto)) = self.all.take() {
            let rest = topics.split_off(topics.len().min(TOPICS_MAX));
            let attach = topics.iter().map(wire::topic).collect();
            let is_all = rest.is_empty();
            self.all = (!is_all).then_some((rest, upto));
            return Some(proto::Interest { attach, detach: Vec::new(), upto: is_all.then_some(upto) });
        }
        loop {
            let changed = self.interest.changed.notified();
            if let Some(message) = self.changes()? {
                return Some(message);
            }
            changed.await;
        }
    }

    /// The next changes, if there are any; outside, `None` if another stream tells them.
    #[expect(clippy::option_option, reason = "whether to go on, and whether there is anything")]
    fn changes(&self) -> Option<Option<proto::Interest>> {
        let mut state = self.interest.state.lock();
        if state.stream != self.stream {
            return None;
        }
        if state.changes.is_empty() {
            return Some(None);
        }
        let many = state.changes.len().min(TOPICS_MAX);
        let topics: Vec<TopicKey> = state.changes.drain(..many).collect();
        // As it is now, whatever happened in between.
        let (attach, detach): (Vec<_>, Vec<_>) = topics.iter().partition(|topic| state.topics.contains(*topic));
        let upto = state.changes.is_empty().then_some(state.upto);
        let tell = |topics: Vec<&TopicKey>| topics.into_iter().map(wire::topic).collect();
        Some(Some(proto::Interest { attach: tell(attach), detach: tell(detach), upto }))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use fanfare_model::{Tenant, Topic};
    use futures_util::StreamExt as _;

    use super::*;

    fn key(name: &str) -> TopicKey {
        TopicKey::new(Tenant::default(), Topic::new(name).unwrap())
    }

    fn names(topics: &[proto::TopicKey]) -> Vec<&str> {
        topics.iter().map(|key| key.topic.as_str()).collect()
    }

    #[tokio::test]
    async fn a_new_stream_begins_with_everything_and_the_one_before_ends() {
        let interest = Interest::new();
        interest.attach(vec![key("a")]);
        let mut first = pin!(interest.tell());
        let all = first.next().await.unwrap();
        assert_eq!((names(&all.attach), all.upto), (vec!["a"], Some(1)));
        interest.attach(vec![key("b")]);
        interest.detach(vec![key("a")]);
        interest.attach(vec![key("a")]);
        interest.detach(vec![key("b")]);
        let changes = first.next().await.unwrap();
        assert_eq!((names(&changes.attach), names(&changes.detach)), (vec!["a", "a"], vec!["b", "b"]));
        assert_eq!(changes.upto, Some(5));
        let mut second = pin!(interest.tell());
        assert!(first.next().await.is_none());
        interest.attach(vec![key("c")]);
        assert_eq!(names(&second.next().await.unwrap().attach), ["a"]);
        assert_eq!(names(&second.next().await.unwrap().attach), ["c"]);
    }

    #[tokio::test]
    async fn many_topics_are_confirmed_only_when_the_last_is_told() {
        let interest = Interest::new();
        let topics: Vec<_> = (0..=2 * TOPICS_MAX).map(|n| key(&format!("t:{n}"))).collect();
        let change = interest.attach(topics);
        let mut telling = pin!(interest.tell());
        let mut uptos = Vec::new();
        for _ in 0..3 {
            uptos.push(telling.next().await.unwrap().upto);
        }
        assert_eq!(uptos, [None, None, Some(change)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_waited_for() {
        let interest = Interest::new();
        let change = interest.attach(vec![key("a")]);
        assert!(!interest.is_confirmed(change, Duration::from_secs(1)).await);
        interest.confirm(change);
        assert!(interest.is_confirmed(change, Duration::from_secs(1)).await);
    }
}
