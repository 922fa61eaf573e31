//! Clients that take nothing although something waits for them.
//!
//! A stream is only looked at by its server when the connection takes more, so a stalled one finds out nothing by itself.
//! Instead each stream counts what it does, and one task a gateway looks through all of them a few times per
//! [`Options::stall_timeout`](crate::Options::stall_timeout).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use slab::Slab;

use super::Shared;

/// How often a stream is looked at before it counts as stalled.
pub(crate) const LOOKS: u32 = 5;

/// How often a stream did something; odd if something was handed out that is not known to be taken.
#[derive(Debug)]
pub(super) struct Pulse(AtomicU32);

impl Pulse {
    /// A stream that did nothing yet and has something to say.
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(1))
    }

    /// Something was done. Only the stream's own task calls this.
    pub(super) fn beat(&self, waits: bool) {
        let count = (self.0.load(Ordering::Relaxed) | 1).wrapping_add(1);
        self.0.store(count | u32::from(waits), Ordering::Relaxed);
    }

    fn read(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The streams of a gateway.
#[derive(Default)]
pub(crate) struct Stalls(Mutex<Slab<Looked>>);

struct Looked {
    stream: Weak<Shared>,
    reading: u32,
    /// How often this reading was seen again.
    again: u32,
}

impl Stalls {
    /// Watches a stream until [`Stalls::forget`].
    pub(super) fn watch(&self, stream: &Arc<Shared>) -> usize {
        self.0.lock().insert(Looked { stream: Arc::downgrade(stream), reading: 0, again: 0 })
    }

    pub(super) fn forget(&self, watched: usize) {
        self.0.lock().remove(watched);
    }

    /// Looks at every stream once.
    pub(crate) fn look(&self) {
        let mut stalled = Vec::new();
        for (_, looked) in &mut *self.0.lock() {
            let Some(stream) = looked.stream.upgrade() else { continue };
            let reading = stream.pulse.read();
            let waits = reading % 2 == 1;
            looked.again = if waits && reading == looked.reading { looked.again + 1 } else { 0 };
            looked.reading = reading;
            if looked.again == LOOKS {
                stalled.push(stream);
            }
        }
        // Not under the lock: what a stream lets go of may be the last of many things.
        for stream in stalled {
            stream.end_stalled();
        }
    }
}
