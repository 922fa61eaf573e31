//! Beginning and ending to receive a topic.

use std::sync::Arc;

use fanfare_bus::{Enter, SubscriptionId};
use fanfare_model::Topic;

use super::{Client, Done, Error, Failure, Push, Reply, Subscribe};
use crate::From;
use crate::access::{self, Receiving};
use crate::quota::Place;

/// A topic that the client receives.
pub(super) struct Subscription {
    pub(super) id: SubscriptionId,
    pub(super) topic: Topic,
    /// On the server's or the application's authority: the session's grants are not asked.
    pub(super) granted: bool,
    /// Among the subscriptions of its user, tenant and address.
    _place: Option<Place>,
}

impl Client {
    pub(super) async fn subscribe(&mut self, wish: Subscribe) -> Result<Done, Failure> {
        let Subscribe { topic, from, on_slow, presence } = wish;
        self.has_room_for(&topic)?;
        let session = Arc::clone(self.session()?);
        if presence {
            access::presence(&session.principal(), &topic)?;
        }
        let start = from.for_topic(&topic, true);
        let receiving = access::may_subscribe(&self.host.node, &session, topic, start, on_slow).await?;
        self.receive(receiving, false, presence).await
    }

    /// Subscribes on the server's or the application's authority.
    pub(super) async fn subscribe_granted(&mut self, topic: Topic, from: &From) -> Result<Done, Failure> {
        self.has_room_for(&topic)?;
        let start = from.for_topic(&topic, true);
        let receiving = Receiving::granted(self.session()?, topic, start)?;
        self.receive(receiving, true, false).await
    }

    /// Whether it can receive one more.
    fn has_room_for(&self, topic: &Topic) -> Result<(), Error> {
        if self.subscription(topic).is_some() {
            return Err(Error::AlreadySubscribed(topic.clone()));
        }
        let max = self.host.node.options.subscriptions_max;
        if self.subscriptions.len() >= max {
            return Err(Error::TooManySubscriptions(max));
        }
        Ok(())
    }

    async fn receive(&mut self, receiving: Receiving, granted: bool, watch: bool) -> Result<Done, Failure> {
        let Receiving { request, place } = receiving;
        let topic = request.topic.topic.clone();
        self.listening_since = self.host.node.clock.now();
        let subscribed = self.reader.subscribe(request).await.map_err(fanfare_bus::Error::from)?;
        // Most clients have one subscription, and very many of them wait.
        self.subscriptions.reserve_exact(1);
        self.subscriptions.push(Subscription { id: subscribed.id, topic: topic.clone(), granted, _place: place });
        let gap = subscribed.gap.map(|gap| Push::Gap { topic: topic.clone(), gap, position: subscribed.position });
        let mut pushes: Vec<Push> = gap.into_iter().collect();
        let there = async {
            self.enter_on_subscribe(&topic).await?;
            if watch { self.watch(&topic).await.map(Some) } else { Ok(None) }
        };
        match there.await {
            Ok(members) => pushes.extend(members),
            // All of it or nothing.
            Err(failure) => {
                self.drop_subscription(&topic).await;
                return Err(failure);
            }
        }
        Ok(Done { reply: Reply::Subscribed { topic, position: subscribed.position, state: subscribed.state }, pushes })
    }

    pub(super) async fn unsubscribe(&mut self, topic: Topic) -> Result<Done, Failure> {
        if !self.drop_subscription(&topic).await {
            return Err(Error::NotSubscribed(topic).into());
        }
        Ok(Done::quiet(Reply::Unsubscribed { topic }))
    }

    pub(super) fn subscription(&self, topic: &Topic) -> Option<&Subscription> {
        self.subscriptions.iter().find(|known| known.topic == *topic)
    }

    /// Receives a topic no more, with all that follows from it. Says whether it did.
    pub(super) async fn drop_subscription(&mut self, topic: &Topic) -> bool {
        let Some(at) = self.subscriptions.iter().position(|known| known.topic == *topic) else { return false };
        let subscription = self.subscriptions.swap_remove(at);
        self.reader.unsubscribe(subscription.id);
        self.unwatch(topic);
        if self.enters_on_subscribe(topic) {
            self.leave(topic).await;
        }
        true
    }

    /// Whether who receives the topic is a member of it.
    pub(super) fn enters_on_subscribe(&self, topic: &Topic) -> bool {
        self.host.node.bus.policy(topic).presence.as_ref().is_some_and(|presence| presence.enter == Enter::OnSubscribe)
    }
}
