//! How far this node has come with the feeds of the shards that it owns.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::watch;

/// Of every shard.
pub(crate) struct Progress {
    shards: Vec<Mutex<Shard>>,
    /// Counts what may let somebody go on who waits until something is announced or logged.
    steps: watch::Sender<u64>,
}

#[derive(Default)]
struct Shard {
    /// The last position that was read.
    read: u64,
    /// Positions of changes that are still to be announced: of each difference that grows the first.
    unannounced: Open,
    /// Positions of changes that are still to be logged.
    unlogged: Open,
}

/// Positions, with how often each is open.
#[derive(Default)]
struct Open(BTreeMap<u64, u32>);

impl Open {
    fn add(&mut self, position: u64) {
        *self.0.entry(position).or_default() += 1;
    }

    fn remove(&mut self, position: u64) {
        if let Some(count) = self.0.get_mut(&position) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&position);
            }
        }
    }

    /// Everything up to here is closed.
    fn closed(&self, read: u64) -> u64 {
        self.0.first_key_value().map_or(read, |(first, _)| read.min(first - 1))
    }
}

impl Progress {
    pub(crate) fn new(shards: u16) -> Self {
        Self { shards: (0..shards).map(|_| Mutex::default()).collect(), steps: watch::Sender::new(0) }
    }

    /// This node begins with the shard after `position`.
    pub(crate) fn begin(&self, shard: u16, position: u64) {
        *self.of(shard).lock() = Shard { read: position, ..Shard::default() };
    }

    /// The last position that was read.
    pub(crate) fn read_upto(&self, shard: u16) -> u64 {
        self.of(shard).lock().read
    }

    /// Everything up to `position` was read, and what is to be done about it is known.
    pub(crate) fn has_read(&self, shard: u16, position: u64) {
        self.of(shard).lock().read = position;
        self.step();
    }

    /// A difference begins with the change at `position`.
    pub(crate) fn to_announce(&self, shard: u16, position: u64) {
        self.of(shard).lock().unannounced.add(position);
    }

    /// The difference that began there is still to be announced.
    pub(crate) fn still_to_announce(&self, shard: u16, position: u64) {
        self.of(shard).lock().unannounced.0.entry(position).or_insert(1);
    }

    /// The difference that began there was announced.
    pub(crate) fn announced(&self, shard: u16, position: u64) {
        self.of(shard).lock().unannounced.remove(position);
        self.step();
    }

    /// The change at `position` is to be logged.
    pub(crate) fn to_log(&self, shard: u16, position: u64) {
        self.of(shard).lock().unlogged.add(position);
    }

    /// These were logged.
    pub(crate) fn logged(&self, places: impl IntoIterator<Item = (u16, u64)>) {
        for (shard, position) in places {
            self.of(shard).lock().unlogged.remove(position);
        }
        self.step();
    }

    /// Up to where everything is logged that is to be.
    pub(crate) fn logged_upto(&self, shard: u16) -> u64 {
        let shard = self.of(shard).lock();
        shard.unlogged.closed(shard.read)
    }

    /// Up to where everything is announced and logged.
    pub(crate) fn done_upto(&self, shard: u16) -> u64 {
        let shard = self.of(shard).lock();
        shard.unlogged.closed(shard.unannounced.closed(shard.read))
    }

    /// Rung when [`Progress::logged_upto`] or [`Progress::done_upto`] may be another one.
    pub(crate) fn steps(&self) -> watch::Receiver<u64> {
        self.steps.subscribe()
    }

    fn step(&self) {
        if self.steps.receiver_count() > 0 {
            self.steps.send_modify(|steps| *steps += 1);
        }
    }

    fn of(&self, shard: u16) -> &Mutex<Shard> {
        &self.shards[usize::from(shard)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_far_as_nothing_is_open() {
        let progress = Progress::new(2);
        progress.begin(1, 10);
        assert_eq!((progress.logged_upto(1), progress.done_upto(1)), (10, 10));
        progress.to_announce(1, 12);
        progress.to_log(1, 15);
        progress.to_log(1, 15);
        progress.has_read(1, 20);
        assert_eq!((progress.logged_upto(1), progress.done_upto(1)), (14, 11));
        progress.announced(1, 12);
        assert_eq!(progress.done_upto(1), 14);
        progress.logged([(1, 15)]);
        assert_eq!(progress.done_upto(1), 14, "one of two");
        progress.logged([(1, 15), (1, 15)]);
        assert_eq!((progress.logged_upto(1), progress.done_upto(1)), (20, 20));
        assert_eq!(progress.done_upto(0), 0);
    }
}
