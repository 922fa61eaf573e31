//! Clients that take nothing although something waits for them.
//!
//! A body is only polled when its socket takes more, so a stalled one finds out nothing by itself, and a timer for
//! each stream would cost more than the stream. Instead each stream counts its polls, and one task a router looks
//! through all of them a few times per [`Options::stall_timeout`](crate::Options::stall_timeout).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use slab::Slab;
use tokio_util::sync::CancellationToken;

use crate::stream::Shared;

/// Cuts a connection. The binary puts one in the extensions of each request on an HTTP/1 connection and drops the
/// connection when the token is cancelled: the only way to end one whose socket takes nothing. On HTTP/2, where
/// others share the connection, it is not used; there the stream lets go of all it holds.
#[derive(Debug, Clone)]
pub struct ConnectionAbort(pub CancellationToken);

/// How often a stream is looked at before it counts as stalled.
pub(crate) const LOOKS: u32 = 5;

/// How often a body was polled, and whether the last poll gave something that is not known to be taken.
#[derive(Debug)]
pub(crate) struct Pulse(AtomicU32);

impl Pulse {
    /// A body that was not polled yet; it has something to say.
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(1))
    }

    /// The body was polled. Only its own task calls this.
    pub(crate) fn beat(&self, gave_something: bool) {
        let count = (self.0.load(Ordering::Relaxed) | 1).wrapping_add(1);
        self.0.store(count | u32::from(gave_something), Ordering::Relaxed);
    }

    fn read(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether something waits, as of a reading.
const fn waits(reading: u32) -> bool {
    reading & 1 == 1
}

/// The streams of one router.
#[derive(Default)]
pub(crate) struct Stalls(Mutex<Slab<Watched>>);

struct Watched {
    stream: Weak<Shared>,
    abort: Option<ConnectionAbort>,
    reading: u32,
    /// How often this reading was seen again.
    again: u32,
}

impl Stalls {
    /// Watches a stream until [`Stalls::forget`].
    pub(crate) fn watch(&self, stream: &Arc<Shared>, abort: Option<ConnectionAbort>) -> usize {
        let reading = stream.pulse.read();
        self.0.lock().insert(Watched { stream: Arc::downgrade(stream), abort, reading, again: 0 })
    }

    pub(crate) fn forget(&self, key: usize) {
        drop(self.0.lock().try_remove(key));
    }

    /// Looks at every stream once, and ends those that have stalled.
    pub(crate) fn look(&self) {
        let mut stalled = Vec::new();
        for (_, watched) in &mut *self.0.lock() {
            let Some(stream) = watched.stream.upgrade() else { continue };
            let reading = stream.pulse.read();
            if waits(reading) && reading == watched.reading {
                watched.again += 1;
            } else {
                (watched.reading, watched.again) = (reading, 0);
            }
            if watched.again == LOOKS {
                stalled.push((stream, watched.abort.clone()));
            }
        }
        // Ended without the lock: a stream that ends leaves the list.
        for (stream, abort) in stalled {
            stream.end_stalled();
            if let Some(abort) = abort {
                abort.0.cancel();
            }
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
