//! A reader that knows what it must get.

use std::sync::Arc;
use std::time::Duration;

use fanfare_model::{Event, Position, StartFrom};

use super::step::Start;
use super::truth::{Place, Truth};
use crate::contract::node::{Node, PATIENCE};
use crate::reader::{Budget, Delivery, Reader, Subscribe};

/// A subscription that is checked as it goes.
pub(super) struct Follower {
    /// On which node it is.
    pub(super) node: usize,
    /// Which of the topics it reads.
    pub(super) topic: usize,
    /// The last position that it was given: it would resume from there.
    pub(super) seen: Position,
    at: Place,
    reader: Reader,
}

impl Follower {
    /// Subscribes; says nothing if there is no such place to begin from yet.
    pub(super) async fn begin(
        (at_node, node): (usize, &Node),
        (at_topic, truth): (usize, &mut Truth),
        start: Start,
    ) -> Option<Self> {
        let from = match start {
            Start::Now => StartFrom::Now,
            Start::Oldest => StartFrom::Start,
            Start::Last(n) => StartFrom::Last(u32::from(n)),
            Start::After(which) => StartFrom::After(truth.some_position(which)?),
        };
        let this = Self::subscribe((at_node, node), (at_topic, truth), from).await;
        let is_current = this.at.life == truth.end().life;
        let latest = match start {
            Start::Oldest => truth.oldest().index,
            Start::Last(n) => truth.end().index.saturating_sub(usize::from(n)).max(truth.oldest().index),
            Start::Now | Start::After(_) => usize::MAX,
        };
        // A node that has not heard of the latest begins earlier.
        assert!(!is_current || this.at.index <= latest, "{start:?} began at {:?}, not at {latest}", this.at);
        Some(this)
    }

    /// Goes on elsewhere.
    pub(super) async fn resume(self, node: (usize, &Node), truth: &mut Truth) -> Self {
        let Self { topic, seen, reader, .. } = self;
        drop(reader);
        Self::subscribe(node, (topic, truth), StartFrom::After(seen)).await
    }

    /// Goes on after a position on another node.
    pub(super) async fn subscribe(
        (at_node, node): (usize, &Node),
        (at_topic, truth): (usize, &mut Truth),
        start: StartFrom,
    ) -> Self {
        let mut reader = node.bus.reader();
        let request = Subscribe { topic: truth.topic.clone(), start, on_slow: None, history: true };
        let subscribed = reader.subscribe(request).await.expect("the subscription is accepted");
        let at = truth.place(subscribed.position);
        match (start, subscribed.gap) {
            (StartFrom::After(position), Some(gap)) => drop(truth.is_true(position, gap, subscribed.position)),
            (StartFrom::After(position), None) => assert_eq!(at, truth.place(position), "it begins there"),
            (_, gap) => assert_eq!(gap, None, "nothing was asked for that there is not"),
        }
        Self { node: at_node, topic: at_topic, seen: subscribed.position, at, reader }
    }

    /// Takes what comes, up to so many deliveries; says whether anything came in time.
    pub(super) async fn take(&mut self, truth: &mut Truth, most: usize, patience: Duration) -> bool {
        let (mut out, budget) = (Vec::new(), Budget { deliveries: most, bytes: 1 << 20 });
        let taking = std::future::poll_fn(|cx| self.reader.poll(cx, budget, &mut out));
        drop(tokio::time::timeout(patience, taking).await);
        for delivery in &out {
            match delivery {
                Delivery::Event { entry, .. } => self.event(truth, &entry.event),
                Delivery::Gap { gap, position, .. } => {
                    self.at = truth.is_true(self.seen, *gap, *position);
                    self.seen = *position;
                }
                Delivery::Ended { why, .. } => panic!("the subscription ended: {why:?}"),
            }
        }
        !out.is_empty()
    }

    fn event(&mut self, truth: &Truth, event: &Arc<Event>) {
        truth.is_at(self.at, event);
        self.at.index += 1;
        self.seen = event.position();
    }

    /// Takes everything that there is.
    pub(super) async fn take_all(&mut self, truth: &mut Truth) {
        while self.at != truth.end() {
            let came = self.take(truth, 64, PATIENCE).await;
            assert!(
                came,
                "a reader of {} on node {} waits at {:?} for {:?}",
                truth.topic.topic,
                self.node,
                self.at,
                truth.end()
            );
        }
    }
}
