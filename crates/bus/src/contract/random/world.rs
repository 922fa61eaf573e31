//! The nodes, topics and readers of a random history.

use std::collections::BTreeMap;
use std::time::Duration;

use fanfare_history::{Admin, Head};
use fanfare_model::{Data, Draft, EventId};
use futures_util::future::join_all;

use super::follower::Follower;
use super::step::Step;
use super::truth::Truth;
use crate::broker::Receive as _;
use crate::contract::node::{Cluster, Node, numbered, topic};

/// How long a reader that is asked to read a little waits for that.
const A_LITTLE: Duration = Duration::from_millis(5);

/// Everything that there is.
pub(super) struct World {
    cluster: Cluster,
    topics: Vec<Truth>,
    followers: BTreeMap<u8, Follower>,
    /// What was last published.
    number: u64,
}

impl World {
    pub(super) fn new(cluster: Cluster) -> Self {
        // Two topics of which everything is kept, and one of which little is.
        let all = [("a:1", usize::MAX), ("a:2", usize::MAX), ("five:a", 5)];
        let topics = all.map(|(name, keeps)| Truth::new(topic(name), keeps, cluster.can.dense)).into();
        Self { cluster, topics, followers: BTreeMap::new(), number: 0 }
    }

    /// Does all this, and looks whether everybody has everything in the end.
    pub(super) async fn live(mut self, steps: Vec<Step>) {
        for step in steps {
            self.step(step).await;
        }
        self.settle().await;
        self.followers.clear();
        self.cluster.close().await;
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Publish { node, topic, ids } => self.publish(node, topic, &ids).await,
            Step::PublishEverywhere { topic, each } => self.publish_everywhere(topic, each).await,
            Step::Subscribe { reader, node, topic, start } => {
                self.followers.remove(&reader);
                let (at, topic) = (self.at(node), usize::from(topic) % self.topics.len());
                let on = (at, &self.cluster.nodes[at]);
                if let Some(new) = Follower::begin(on, (topic, &mut self.topics[topic]), start).await {
                    self.followers.insert(reader, new);
                }
            }
            Step::Resume { reader, node } => {
                if let Some(follower) = self.followers.remove(&reader) {
                    let (at, truth) = (self.at(node), &mut self.topics[follower.topic]);
                    self.followers.insert(reader, follower.resume((at, &self.cluster.nodes[at]), truth).await);
                }
            }
            Step::Read { reader, most } => {
                if let Some(follower) = self.followers.get_mut(&reader) {
                    follower.take(&mut self.topics[follower.topic], usize::from(most), A_LITTLE).await;
                }
            }
            Step::Leave { reader } => drop(self.followers.remove(&reader)),
            Step::Disturb { node, seed } => self.if_lossy(node, |node| node.ear.lose(seed)),
            Step::Deafen { node } => self.if_lossy(node, |node| node.ear.be_deaf()),
            Step::Mend { node } => self.if_lossy(node, mend),
            Step::Purge { node, topic } => self.purge(node, topic).await,
            Step::Truncate { node, topic, before } => self.truncate(node, topic, before).await,
            Step::Restart { node } => self.restart(node).await,
            Step::Settle => self.settle().await,
        }
    }

    fn at(&self, node: u8) -> usize {
        usize::from(node) % self.cluster.nodes.len()
    }

    fn node(&self, node: u8) -> &Node {
        &self.cluster.nodes[self.at(node)]
    }

    fn some_topic(&mut self, topic: u8) -> &mut Truth {
        let count = self.topics.len();
        &mut self.topics[usize::from(topic) % count]
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    async fn publish(&mut self, node: u8, topic: u8, ids: &[Option<u8>]) {
        let numbers: Vec<u64> = ids.iter().map(|_| self.next_number()).collect();
        let key = self.some_topic(topic).topic.clone();
        let draft = |(id, number): (&Option<u8>, &u64)| match id {
            Some(id) => {
                let id = EventId::new(format!("id-{id}")).expect("a valid id");
                Draft { id, ..Draft::new(Data::text(number.to_string())) }
            }
            None => numbered(*number),
        };
        let batch = ids.iter().zip(&numbers).map(|item| (key.clone(), draft(item))).collect();
        let answers = self.node(node).try_publish(batch).await;
        let truth = self.some_topic(topic);
        for ((id, number), answer) in ids.iter().zip(numbers).zip(&answers) {
            truth.published(*id, number, answer);
        }
    }

    async fn publish_everywhere(&mut self, topic: u8, each: u8) {
        let numbers: Vec<u64> = (0..usize::from(each) * self.cluster.nodes.len()).map(|_| self.next_number()).collect();
        let key = self.some_topic(topic).topic.clone();
        let publishing = numbers.iter().zip(self.cluster.nodes.iter().cycle()).map(|(number, node)| {
            let draft = numbered(*number);
            async { (*number, node.publish(&key, draft).await) }
        });
        let mut answers = join_all(publishing).await;
        answers.sort_by_key(|(_, answer)| answer.position.offset);
        let truth = self.some_topic(topic);
        for (number, answer) in answers {
            truth.published(None, number, &answer);
        }
    }

    /// Does something to the hearing of a node, if its engine says that hints may get lost.
    fn if_lossy(&self, node: u8, change: impl FnOnce(&Node)) {
        let node = self.node(node);
        if !node.broker.lossless() {
            change(node);
        }
    }

    async fn purge(&mut self, node: u8, topic: u8) {
        let key = self.some_topic(topic).topic.clone();
        // The epoch of a log that was never written to says nothing to anybody.
        if self.some_topic(topic).head().is_some() {
            let head = self.node(node).bus.admin(Admin::Purge(key)).await.expect("the purge succeeds");
            self.some_topic(topic).begins_again(head.last.epoch);
        }
    }

    async fn truncate(&mut self, node: u8, topic: u8, before: u8) {
        if self.cluster.can.truncates {
            let truth = self.some_topic(topic);
            let (key, before) = (truth.topic.clone(), truth.some_offset(before));
            let truncated = self.node(node).bus.admin(Admin::TruncateBefore(key, before)).await;
            truncated.expect("it is truncated");
            self.some_topic(topic).truncated(before);
        }
    }

    /// Of an engine that forgets with its process, that ends: all nodes do.
    async fn restart(&mut self, node: u8) {
        let at = self.at(node);
        let which = if self.cluster.can.survives_restart { at..at + 1 } else { 0..self.cluster.nodes.len() };
        let mut back = Vec::new();
        for (name, follower) in std::mem::take(&mut self.followers) {
            if which.contains(&follower.node) {
                // It holds the node that ends.
                back.push((name, follower.node, follower.topic, follower.seen));
            } else {
                self.followers.insert(name, follower);
            }
        }
        self.cluster.restart(which).await;
        if !self.cluster.can.survives_restart {
            let heads = heads(&self.cluster.nodes[at], &self.topics).await;
            for (truth, head) in self.topics.iter_mut().zip(heads) {
                if truth.epoch() != Some(head.last.epoch) {
                    truth.begins_again(head.last.epoch);
                }
            }
        }
        for (name, node, topic, seen) in back {
            let on = (node, &self.cluster.nodes[node]);
            let start = fanfare_model::StartFrom::After(seen);
            let follower = Follower::subscribe(on, (topic, &mut self.topics[topic]), start).await;
            self.followers.insert(name, follower);
        }
    }

    /// Every node has what is true, and every reader gets all of it.
    async fn settle(&mut self) {
        for node in &self.cluster.nodes {
            if !node.broker.lossless() {
                mend(node);
            }
            for (truth, head) in self.topics.iter().zip(heads(node, &self.topics).await) {
                let Some(last) = truth.head() else {
                    assert_eq!(head.events, 0, "nothing is in {}", truth.topic.topic);
                    continue;
                };
                assert_eq!(head.last, last, "the head of {}", truth.topic.topic);
                truth.is_kept(&node.all(&truth.topic, last).await);
            }
        }
        for follower in self.followers.values_mut() {
            follower.take_all(&mut self.topics[follower.topic]).await;
        }
    }
}

fn mend(node: &Node) {
    node.ear.be_good();
    node.ear.lost();
}

async fn heads(node: &Node, topics: &[Truth]) -> Vec<Head> {
    let topics = topics.iter().map(|truth| truth.topic.clone()).collect();
    node.bus.heads(topics).await.expect("the heads are read")
}
