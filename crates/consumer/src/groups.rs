//! Who is busy with which consumer on this node.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::cursors::Key;

/// The consumers that somebody is busy with now.
#[derive(Default)]
pub(crate) struct Groups(Arc<Mutex<HashMap<Key, Arc<Group>>>>);

/// What those share who are busy with one consumer.
#[derive(Default)]
pub(crate) struct Group {
    /// Held while its progress is changed, so that callers on this node queue up rather than overtake each other with
    /// compare-and-swap.
    pub(crate) turn: tokio::sync::Mutex<()>,
    /// Told when something may have become free to give out.
    pub(crate) freed: Notify,
    /// How many pull.
    pub(crate) pullers: AtomicUsize,
}

/// A share in a group; the last one that is dropped takes the group with it.
pub(crate) struct Member {
    key: Key,
    group: Option<Arc<Group>>,
    groups: Arc<Mutex<HashMap<Key, Arc<Group>>>>,
}

impl Groups {
    pub(crate) fn join(&self, key: &Key) -> Member {
        let group = Arc::clone(self.0.lock().entry(key.clone()).or_default());
        Member { key: key.clone(), group: Some(group), groups: Arc::clone(&self.0) }
    }

    /// Tells everybody who waits.
    pub(crate) fn tell_all(&self) {
        for group in self.0.lock().values() {
            group.freed.notify_waiters();
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl std::ops::Deref for Member {
    type Target = Group;

    fn deref(&self) -> &Group {
        self.group.as_ref().expect("it is taken only by drop")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut groups = self.groups.lock();
        drop(self.group.take());
        // Shares are made and dropped under this lock, so that one count is the table's own.
        if groups.get(&self.key).is_some_and(|group| Arc::strong_count(group) == 1) {
            groups.remove(&self.key);
        }
    }
}

/// A place among those who pull.
pub(crate) struct Puller<'a>(&'a Group);

impl Group {
    /// Takes a place, if there is one.
    pub(crate) fn pull(&self, most: usize) -> Option<Puller<'_>> {
        let before = self.pullers.fetch_add(1, Ordering::AcqRel);
        let puller = Puller(self);
        (before < most).then_some(puller)
    }
}

impl Drop for Puller<'_> {
    fn drop(&mut self) {
        self.0.pullers.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use fanfare_model::{Tenant, Topic};

    use super::*;
    use crate::Name;

    #[test]
    fn a_group_lasts_as_long_as_somebody_is_in_it() {
        let groups = Groups::default();
        let key =
            Key { tenant: Tenant::default(), consumer: Name::new("a").unwrap(), topic: Topic::new("jobs").unwrap() };
        let (one, two) = (groups.join(&key), groups.join(&key));
        assert!(std::ptr::eq(&raw const *one, &raw const *two));
        let place = one.pull(1);
        assert!(place.is_some() && two.pull(1).is_none(), "there is one place");
        drop(place);
        assert!(two.pull(1).is_some(), "the place is free again");
        drop(one);
        assert_eq!(groups.len(), 1);
        drop(two);
        assert_eq!(groups.len(), 0);
    }
}
