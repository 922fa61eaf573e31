//! What this node wants to hear, and what of it the servers have confirmed.

use std::collections::{HashMap, HashSet};

use fanfare_model::TopicKey;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::keys::{PARTITIONS, Partition, flat};
use crate::options::Interest as Mode;

/// Topics that are wanted, by partition.
pub(super) struct Interest {
    mode: Mode,
    parts: Vec<Mutex<Part>>,
    /// Tells the ears to look.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Part {
    /// By flat name; whether the server has confirmed that it announces it.
    wanted: HashMap<Vec<u8>, (TopicKey, bool)>,
    /// Names that came or went since the ear looked.
    changed: HashSet<Vec<u8>>,
    /// Who waits for those.
    waiting: Vec<oneshot::Sender<()>>,
    /// Whether the channel of the whole partition is confirmed, where there is one.
    whole: bool,
}

/// What an ear has to do for one partition.
pub(super) struct Changes {
    pub(super) partition: Partition,
    pub(super) subscribe: Vec<Vec<u8>>,
    pub(super) unsubscribe: Vec<Vec<u8>>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Interest {
    pub(super) fn new(mode: Mode) -> Self {
        let parts = (0..PARTITIONS).map(|_| Mutex::default()).collect();
        Self { mode, parts, changed: watch::Sender::new(()) }
    }

    fn part(&self, partition: Partition) -> &Mutex<Part> {
        &self.parts[partition.index()]
    }

    /// Hears when there are changes to take.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Wants these topics; answers whom to wait for until all of them are confirmed.
    pub(super) fn want(&self, topics: &[TopicKey]) -> Vec<oneshot::Receiver<()>> {
        let mut waits: HashMap<Partition, oneshot::Receiver<()>> = HashMap::new();
        for topic in topics {
            let flat = flat(topic);
            let partition = Partition::of(&flat);
            let mut part = self.part(partition).lock();
            let whole = part.whole;
            let confirmed = match self.mode {
                Mode::Topic => part.wanted.entry(flat.clone()).or_insert_with(|| (topic.clone(), false)).1,
                Mode::Partition => {
                    part.wanted.insert(flat.clone(), (topic.clone(), whole));
                    whole
                }
            };
            if confirmed {
                continue;
            }
            if self.mode == Mode::Topic {
                part.changed.insert(flat);
            }
            waits.entry(partition).or_insert_with(|| {
                let (done, wait) = oneshot::channel();
                part.waiting.push(done);
                wait
            });
        }
        if !waits.is_empty() {
            self.changed.send_replace(());
        }
        waits.into_values().collect()
    }

    /// Does not want these topics any more.
    pub(super) fn drop_all(&self, topics: &[TopicKey]) {
        let mut changed = false;
        for topic in topics {
            let flat = flat(topic);
            let mut part = self.part(Partition::of(&flat)).lock();
            if part.wanted.remove(&flat).is_some() && self.mode == Mode::Topic {
                part.changed.insert(flat);
                changed = true;
            }
        }
        if changed {
            self.changed.send_replace(());
        }
    }

    /// The topic, if it is wanted.
    pub(super) fn find(&self, flat: &[u8]) -> Option<TopicKey> {
        self.part(Partition::of(flat)).lock().wanted.get(flat).map(|(topic, _)| topic.clone())
    }

    /// How many topics are wanted.
    pub(super) fn count(&self) -> usize {
        self.parts.iter().map(|part| part.lock().wanted.len()).sum()
    }

    /// What came and went in `partitions` since this was last asked.
    pub(super) fn take_changes(&self, partitions: &[Partition]) -> Vec<Changes> {
        let take = |partition: &Partition| {
            let mut part = self.part(*partition).lock();
            if part.changed.is_empty() && part.waiting.is_empty() {
                return None;
            }
            let names = std::mem::take(&mut part.changed);
            let (subscribe, unsubscribe) = names.into_iter().partition(|name| part.wanted.contains_key(name));
            // Of the whole partition there is nothing to do but to wait until the connection stands.
            let waiting = std::mem::take(&mut part.waiting);
            Some(Changes { partition: *partition, subscribe, unsubscribe, waiting })
        };
        partitions.iter().filter_map(take).collect()
    }

    /// Everything that is wanted in `partitions`, for a new connection: nothing is confirmed on it.
    pub(super) fn take_all(&self, partitions: &[Partition]) -> Vec<Changes> {
        let take = |partition: &Partition| {
            let mut part = self.part(*partition).lock();
            part.changed.clear();
            part.whole = false;
            part.wanted.values_mut().for_each(|(_, confirmed)| *confirmed = false);
            let subscribe = match self.mode {
                Mode::Topic => part.wanted.keys().cloned().collect(),
                Mode::Partition => vec![Vec::new()],
            };
            let waiting = std::mem::take(&mut part.waiting);
            Changes { partition: *partition, subscribe, unsubscribe: Vec::new(), waiting }
        };
        partitions.iter().map(take).collect()
    }

    /// The servers have done this.
    pub(super) fn confirm(&self, changes: Vec<Changes>) {
        for Changes { partition, subscribe, waiting, .. } in changes {
            let mut part = self.part(partition).lock();
            match self.mode {
                Mode::Topic => {
                    for name in subscribe {
                        // One that went meanwhile is among the next changes.
                        if let Some((_, confirmed)) = part.wanted.get_mut(&name) {
                            *confirmed = true;
                        }
                    }
                }
                Mode::Partition => {
                    part.whole = true;
                    part.wanted.values_mut().for_each(|(_, confirmed)| *confirmed = true);
                }
            }
            drop(part);
            for done in waiting {
                // Who does not wait any more has given up.
                let _ = done.send(());
            }
        }
    }

    /// The servers have not done this: who waits, waits for the next connection.
    pub(super) fn put_back(&self, changes: Vec<Changes>) {
        for Changes { partition, subscribe, unsubscribe, waiting } in changes {
            let mut part = self.part(partition).lock();
            if self.mode == Mode::Topic {
                part.changed.extend(subscribe);
                part.changed.extend(unsubscribe);
            }
            part.waiting.extend(waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanfare_model::{Tenant, Topic};

    fn topic(name: &str) -> TopicKey {
        TopicKey::new(Tenant::default(), Topic::new(name).unwrap())
    }

    #[test]
    fn who_wants_a_topic_waits_until_it_is_confirmed() {
        let interest = Interest::new(Mode::Topic);
        let all: Vec<_> = Partition::all().collect();
        let mut waits = interest.want(&[topic("a")]);
        let changes = interest.take_changes(&all);
        assert_eq!(changes.iter().map(|changes| changes.subscribe.len()).sum::<usize>(), 1);
        let mut second = interest.want(&[topic("a")]);
        interest.confirm(changes);
        assert_eq!(waits[0].try_recv(), Ok(()));
        assert!(second[0].try_recv().is_err(), "it came after what was confirmed");
        interest.confirm(interest.take_changes(&all));
        assert_eq!(second[0].try_recv(), Ok(()));
        assert!(interest.want(&[topic("a")]).is_empty());
        // Another connection has confirmed nothing.
        let changes = interest.take_all(&all);
        assert_eq!(interest.want(&[topic("a")]).len(), 1);
        interest.put_back(changes);
        interest.drop_all(&[topic("a")]);
        let changes = interest.take_changes(&all);
        assert_eq!(changes.iter().map(|changes| changes.unsubscribe.len()).sum::<usize>(), 1);
        assert_eq!((interest.count(), interest.find(&flat(&topic("a")))), (0, None));
    }
}
