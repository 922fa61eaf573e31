//! What all streams of one door share.

use std::sync::Arc;
use std::time::Duration;

use fanfare_lifecycle::TaskKind;
use fanfare_session::{Goodbye, Node};

use crate::accept::Shape;
use crate::control::jittered;
use crate::metrics::Delivered;
use crate::options::Options;
use crate::stall::{LOOKS, Stalls};

/// The label of long polls in metrics; they are no sessions of a protocol of their own.
pub(crate) const LONG_POLL: &str = "long_poll";

/// A batch is rarely worth more: this many of the smallest events fill it.
const BATCH_BYTES_PER_DELIVERY: usize = 64;

pub(crate) struct Gateway {
    pub(crate) node: Node,
    pub(crate) options: Arc<Options>,
    pub(crate) stalls: Stalls,
    /// The most events that a reader hands out for one batch.
    pub(crate) deliveries_max: usize,
    /// What was delivered by long polls.
    pub(crate) polled: Delivered,
    events: Delivered,
    lines: Delivered,
}

impl Gateway {
    pub(crate) fn new(node: Node, options: Arc<Options>) -> Arc<Self> {
        Arc::new(Self {
            node,
            stalls: Stalls::default(),
            deliveries_max: options.write_batch.as_usize().div_ceil(BATCH_BYTES_PER_DELIVERY).max(1),
            polled: Delivered::new(LONG_POLL),
            events: Delivered::new(protocol(Shape::EventStream)),
            lines: Delivered::new(protocol(Shape::Lines)),
            options,
        })
    }

    /// Starts looking for stalled streams, until the door and its last stream are gone; cuts the streams that are left at
    /// the hard stop.
    pub(crate) fn start(self: &Arc<Self>) {
        let (gateway, stop) = (Arc::downgrade(self), self.node.life.hard().clone());
        let every = self.options.stall_timeout.get() / LOOKS;
        self.node.life.spawn(TaskKind::Background, "look for stalled streams", async move {
            while tokio::time::timeout(every, stop.cancelled()).await.is_err() {
                let Some(gateway) = gateway.upgrade() else { return };
                gateway.stalls.look();
            }
            if let Some(gateway) = gateway.upgrade() {
                gateway.stalls.cut();
            }
        });
    }

    pub(crate) fn delivered(&self, shape: Shape) -> &Delivered {
        match shape {
            Shape::EventStream => &self.events,
            Shape::Lines => &self.lines,
        }
    }

    /// When a client that is sent away with `goodbye` should come back, if it should.
    pub(crate) fn retry_after(&self, goodbye: Goodbye) -> Option<Duration> {
        match goodbye {
            Goodbye::Overloaded => Some(self.retry_after_overload()),
            other if other.reconnect() => {
                let retry = self.options.retry.get();
                Some(jittered(retry / 2, retry * 3 / 2))
            }
            _ => None,
        }
    }

    /// When a client that found no room should come back.
    pub(crate) fn retry_after_overload(&self) -> Duration {
        jittered(self.options.overload_retry_min.get(), self.options.overload_retry_max.get())
    }
}

/// The label of a shape in metrics.
pub(crate) const fn protocol(shape: Shape) -> &'static str {
    match shape {
        Shape::EventStream => "sse",
        Shape::Lines => "ndjson",
    }
}
