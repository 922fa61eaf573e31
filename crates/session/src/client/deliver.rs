//! From the reader to the outbox.

use std::cell::Cell;
use std::task::{Context, Poll};

use fanfare_bus::{Budget, Delivery, Ended, SubscriptionId};
use fanfare_model::{Timestamp, Topic};

use super::{Client, Push, UNAVAILABLE};
use crate::Goodbye;

thread_local! {
    /// Where deliveries lie between the reader and the outbox, for every client of the thread in turn: they are
    /// taken and written without waiting in between.
    static DELIVERIES: Cell<Vec<Delivery>> = const { Cell::new(Vec::new()) };
}

impl Client {
    /// Puts what there is to deliver in the outbox, up to `budget`. Ready when something was put there; `Err` means
    /// that the session is over. Call it only when the outbox is empty: then a client that reads slowly holds a
    /// cursor and one batch, not a queue.
    pub fn poll_deliver(&mut self, cx: &mut Context<'_>, budget: Budget) -> Poll<Result<(), Goodbye>> {
        if self.subscriptions.is_empty() {
            return Poll::Pending;
        }
        let mut deliveries = DELIVERIES.take();
        let ready = self.reader.poll(cx, budget, &mut deliveries);
        let done = ready.map(|()| self.put(&mut deliveries));
        deliveries.clear();
        DELIVERIES.set(deliveries);
        done
    }

    /// Whether [`Client::poll_deliver`] need not be called again before the task is woken or told of news.
    pub fn is_drained(&self) -> bool {
        self.reader.is_drained()
    }

    fn put(&mut self, deliveries: &mut Vec<Delivery>) -> Result<(), Goodbye> {
        let (mut events, mut longest): (u64, Option<Timestamp>) = (0, None);
        for delivery in deliveries.drain(..) {
            match delivery {
                Delivery::Event { id, entry } => {
                    if let Some(topic) = self.presence.as_ref().and_then(|presence| presence.watched(id)) {
                        self.out.push(self.dialect.signal(topic, &entry));
                        continue;
                    }
                    self.out.push(self.dialect.event(&entry));
                    events += 1;
                    if longest.is_none() && entry.event.time > self.listening_since {
                        longest = Some(entry.event.time);
                    }
                }
                Delivery::Gap { id, gap, position } => {
                    if self.has_missed_signals(id) {
                        continue;
                    }
                    if let Some(topic) = self.topic_of(id) {
                        self.push(&Push::Gap { topic, gap, position });
                    }
                }
                // It may come back and resume, as its policy says.
                Delivery::Ended { why: Ended::Slow, .. } => return Err(Goodbye::Slow),
                Delivery::Ended { id, why: Ended::Unavailable } => {
                    let Some(topic) = self.topic_of(id) else { continue };
                    self.unwatch(&topic);
                    self.subscriptions.retain(|known| known.id != id);
                    self.reader.unsubscribe(id);
                    let (code, reason) = UNAVAILABLE;
                    self.push(&Push::Unsubscribed { topic, code, reason });
                }
            }
        }
        self.host.delivered.increment(events);
        if let Some(time) = longest {
            // One sample a batch: that of the event that has waited longest.
            self.host.delivery_seconds.record(self.host.node.clock.now().since(time));
        }
        Ok(())
    }

    /// Whether this is of a companion; then the members have to be told again.
    fn has_missed_signals(&mut self, id: SubscriptionId) -> bool {
        let Some(presence) = &mut self.presence else { return false };
        let Some(topic) = presence.watched(id).cloned() else { return false };
        presence.missed(topic);
        true
    }

    /// The topic of a subscription, or that of which a companion is watched.
    fn topic_of(&self, id: SubscriptionId) -> Option<Topic> {
        let own = self.subscriptions.iter().find(|known| known.id == id).map(|known| &known.topic);
        own.or_else(|| self.presence.as_ref()?.watched(id)).cloned()
    }
}
