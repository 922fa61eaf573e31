//! Clients that take nothing although something waits for them.
//!
//! A stream only does something when its socket takes more, so a stalled one finds out nothing by itself, and a timer for
//! each stream would cost more than the stream. Instead each stream counts what it does, and one task a door looks through
//! all of them a few times per [`Options::stall_timeout`](crate::Options::stall_timeout).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use slab::Slab;
use tokio_util::sync::CancellationToken;

/// Cuts a connection. The binary puts one in the extensions of each request on an HTTP/1 connection and drops the
/// connection when the token is cancelled: the only way to end one whose socket takes nothing. On HTTP/2, where
/// others share the connection, it is not used; there the stream lets go of all it holds.
#[derive(Debug, Clone)]
pub struct ConnectionAbort(pub CancellationToken);

/// How often a stream is looked at before it counts as stalled.
pub(crate) const LOOKS: u32 = 5;

/// A stream among those that are looked at.
pub(crate) trait Watched: Send + Sync {
    /// What it counts.
    fn pulse(&self) -> &Pulse;
    /// Its client has stalled: it lets go of all it holds.
    fn end_stalled(&self);
    /// The process stops at once.
    fn cut(&self);
}

/// How often a stream did something, and whether something waits that is not known to be taken.
#[derive(Debug)]
pub(crate) struct Pulse(AtomicU32);

impl Pulse {
    /// A stream that did nothing yet; it has something to say.
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(1))
    }

    /// Something was done. Only the stream's own worker calls this.
    pub(crate) fn beat(&self, waits: bool) {
        let count = (self.0.load(Ordering::Relaxed) | 1).wrapping_add(1);
        self.0.store(count | u32::from(waits), Ordering::Relaxed);
    }

    fn read(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether something waits, as of a reading.
const fn waits(reading: u32) -> bool {
    reading & 1 == 1
}

/// The streams of one door.
#[derive(Default)]
pub(crate) struct Stalls(Mutex<Slab<Looked>>);

struct Looked {
    stream: Weak<dyn Watched>,
    reading: u32,
    /// How often this reading was seen again.
    again: u32,
}

impl Stalls {
    /// Watches a stream until [`Stalls::forget`].
    pub(crate) fn watch<W: Watched + 'static>(&self, stream: &Arc<W>) -> usize {
        let reading = stream.pulse().read();
        let stream: Weak<W> = Arc::downgrade(stream);
        self.0.lock().insert(Looked { stream, reading, again: 0 })
    }

    pub(crate) fn forget(&self, key: usize) {
        drop(self.0.lock().try_remove(key));
    }

    /// Looks at every stream once, and ends those that have stalled.
    pub(crate) fn look(&self) {
        let mut stalled = Vec::new();
        for (_, looked) in &mut *self.0.lock() {
            let Some(stream) = looked.stream.upgrade() else { continue };
            let reading = stream.pulse().read();
            if waits(reading) && reading == looked.reading {
                looked.again += 1;
            } else {
                (looked.reading, looked.again) = (reading, 0);
            }
            if looked.again == LOOKS {
                stalled.push(stream);
            }
        }
        // Ended without the lock: a stream that ends leaves the list.
        for stream in stalled {
            stream.end_stalled();
        }
    }

    /// Cuts every stream.
    pub(crate) fn cut(&self) {
        let streams: Vec<_> = self.0.lock().iter().filter_map(|(_, looked)| looked.stream.upgrade()).collect();
        for stream in streams {
            stream.cut();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_tells_each_poll_from_the_last() {
        let pulse = Pulse::new();
        let first = pulse.read();
        assert!(waits(first));
        pulse.beat(true);
        let second = pulse.read();
        assert!(waits(second) && second != first);
        pulse.beat(false);
        let third = pulse.read();
        assert!(!waits(third));
        pulse.beat(true);
        assert!(waits(pulse.read()) && pulse.read() != second);
    }
}
