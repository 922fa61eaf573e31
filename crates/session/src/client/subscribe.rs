//! Beginning and ending to receive a topic.

use fanfare_bus::OnSlow;
use fanfare_model::Topic;

use super::{Client, Done, Error, Failure, Push, Reply};
use crate::{From, access};

impl Client {
    pub(super) async fn subscribe(
        &mut self,
        topic: Topic,
        from: &From,
        on_slow: Option<OnSlow>,
    ) -> Result<Done, Failure> {
        if self.topics.iter().any(|(_, known)| *known == topic) {
            return Err(Error::AlreadySubscribed(topic).into());
        }
        let max = self.host.node.options.subscriptions_max;
        if self.topics.len() >= max {
            return Err(Error::TooManySubscriptions(max).into());
        }
        let start = from.for_topic(&topic, true);
        let request = access::subscribe(&*self.principal()?, topic.clone(), start, on_slow)?;
        self.listening_since = self.host.node.clock.now();
        let subscribed = self.reader.subscribe(request).await.map_err(fanfare_bus::Error::from)?;
        self.topics.push((subscribed.id, topic.clone()));
        let gap = subscribed.gap.map(|gap| Push::Gap { topic: topic.clone(), gap, position: subscribed.position });
        let reply = Reply::Subscribed { topic, position: subscribed.position, state: subscribed.state };
        Ok(Done { reply, pushes: gap.into_iter().collect() })
    }

    pub(super) fn unsubscribe(&mut self, topic: &Topic) -> Result<Done, Failure> {
        let Some(at) = self.topics.iter().position(|(_, known)| known == topic) else {
            return Err(Error::NotSubscribed(topic.clone()).into());
        };
        let (subscription, topic) = self.topics.swap_remove(at);
        self.reader.unsubscribe(subscription);
        Ok(Done::quiet(Reply::Unsubscribed { topic }))
    }
}
