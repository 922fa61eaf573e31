//! What the application wants of sessions.

use fanfare_model::Topic;

use super::{Entry, Order, Registry, Whose};
use crate::From;

/// The most orders that wait for one session. It carries them out as soon as it has a turn, so that only one that is
/// busy with a command has any waiting.
const WAITING_MAX: usize = 256;

impl Registry {
    /// Has sessions receive a topic on the application's authority: their own grants are not asked. Says how many
    /// were told; a session for which 256 earlier ones wait is not. Sessions of protocols in which
    /// the client names its topics once and for all pass it over.
    pub fn subscribe(&self, whose: &Whose, topic: &Topic, from: &From) -> usize {
        self.order(whose, || Order::Subscribe { topic: topic.clone(), from: from.clone() })
    }

    /// Has sessions receive a topic no more. Says how many were told.
    pub fn unsubscribe(&self, whose: &Whose, topic: &Topic) -> usize {
        self.order(whose, || Order::Unsubscribe { topic: topic.clone() })
    }

    fn order(&self, whose: &Whose, order: impl Fn() -> Order) -> usize {
        let table = self.inner.table.lock();
        match whose {
            Whose::Session(tenant, id) => {
                let entry = table.by_id.get(id).map(|key| &table.sessions[*key]);
                let entry = entry.filter(|entry| entry.details.lock().info.tenant == *tenant);
                usize::from(entry.is_some_and(|entry| entry.order(order())))
            }
            Whose::User(tenant, user) => {
                let keys = table.by_user.get(&(tenant.clone(), user.clone())).map_or(&[][..], Vec::as_slice);
                keys.iter().filter(|key| table.sessions[**key].order(order())).count()
            }
        }
    }
}

impl Entry {
    /// Whether there was room for it.
    fn order(&self, order: Order) -> bool {
        let mut details = self.details.lock();
        let room = details.orders.len() < WAITING_MAX;
        if room {
            details.orders.push(order);
            drop(details);
            self.bell.orders();
        }
        room
    }
}
