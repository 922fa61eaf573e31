//! Who is in the topics of a stream.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use fanfare_bus::SubscriptionId;
use fanfare_model::{Tenant, Topic, TopicKey};
use fanfare_presence::{Error, Members, json};
use fanfare_session::{Goodbye, Node};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::control::Control;
use crate::encode::Wire;

/// What a stream tells of who is in its topics, apart from it because most streams tell nothing of that.
pub(crate) struct Watch {
    tenant: Tenant,
    /// The topics, by the subscriptions of their companions.
    topics: Vec<(SubscriptionId, Topic)>,
    /// Those of which changes were missed, so that the members must be told again.
    missed: VecDeque<Topic>,
    reading: Option<(Topic, BoxFuture<'static, Result<Members, Error>>)>,
}

impl Watch {
    pub(crate) fn new(tenant: Tenant) -> Self {
        Self { tenant, topics: Vec::new(), missed: VecDeque::new(), reading: None }
    }

    /// Changes of who is in `topic` come by this subscription.
    pub(crate) fn add(&mut self, id: SubscriptionId, topic: Topic) {
        self.topics.push((id, topic));
    }

    fn topic(&self, id: SubscriptionId) -> Option<&Topic> {
        self.topics.iter().find(|(known, _)| *known == id).map(|(_, topic)| topic)
    }

    /// The topic of a change that came by this subscription, if it is to be told: not before those who missed changes
    /// are told the members.
    pub(crate) fn changed(&self, id: SubscriptionId) -> Option<&Topic> {
        self.topic(id).filter(|topic| !self.missed.contains(topic))
    }

    /// Changes that would have come by this subscription were missed.
    pub(crate) fn missed(&mut self, id: SubscriptionId) {
        if let Some(topic) = self.topic(id).cloned()
            && !self.missed.contains(&topic)
        {
            self.missed.push_back(topic);
        }
    }

    /// Watches a topic no more; gives the subscription that its changes came by.
    pub(crate) fn remove(&mut self, topic: &Topic) -> Option<SubscriptionId> {
        self.missed.retain(|missed| missed != topic);
        self.reading.take_if(|(read, _)| read == topic);
        let at = self.topics.iter().position(|(_, known)| known == topic)?;
        Some(self.topics.swap_remove(at).0)
    }

    /// Whether [`Watch::poll`] has something to do that it has not begun.
    pub(crate) fn is_due(&self) -> bool {
        self.reading.is_none() && !self.missed.is_empty()
    }

    /// Writes the members of a topic again, if changes of it were missed.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        node: &Node,
        wire: Wire,
        out: &mut Vec<u8>,
    ) -> Poll<Result<(), Goodbye>> {
        if self.reading.is_none() {
            let Some(topic) = self.missed.pop_front() else { return Poll::Pending };
            let (node, tenant, of) = (node.clone(), self.tenant.clone(), topic.clone());
            self.reading = Some((topic, async move { members(&node, tenant, &of).await }.boxed()));
        }
        let Some((topic, reading)) = &mut self.reading else { return Poll::Pending };
        let read = ready!(reading.as_mut().poll(cx));
        // Whoever believes to know who is there must not be left in that belief.
        let told = read.map(|members| write(wire, topic, &members, out)).map_err(|_| Goodbye::Unavailable);
        self.reading = None;
        Poll::Ready(told)
    }
}

/// The first page of who is in a topic, as large as pages are (`presence.page_members_max`).
pub(crate) async fn members(node: &Node, tenant: Tenant, topic: &Topic) -> Result<Members, Error> {
    let topic = TopicKey::new(tenant, topic.clone());
    node.presence.members(&topic, None, usize::MAX).await
}

/// Writes who is in a topic, as a message of the stream.
pub(crate) fn write(wire: Wire, topic: &Topic, members: &Members, out: &mut Vec<u8>) {
    let mut object = Vec::new();
    json::write_members(topic, members, &mut object);
    Control::Presence { members: &object }.write(wire, None, out);
}
