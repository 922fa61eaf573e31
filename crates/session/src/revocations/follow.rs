//! Learning what is revoked from the log.

use std::future::poll_fn;
use std::time::Duration;

use fanfare_bus::{Budget, Delivery, Direction, Read, ReadFrom, Reader, Subscribe};
use fanfare_lifecycle::{Backoff, TaskKind};
use fanfare_model::{Event, GapReason, StartFrom};

use super::{change, topic};
use crate::Node;

/// How soon is tried again what the log did not let us, at first and at last: until then who was shut out is let in here.
const RETRY: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_millis(500));
const BUDGET: Budget = Budget { deliveries: 256, bytes: usize::MAX };
/// A page of the log, read before the node serves anybody.
const PAGE_EVENTS: usize = 1000;
const PAGE_BYTES: usize = 1024 * 1024;

impl Node {
    /// Learns what is revoked, as it is in the log now. To be waited for before anybody is let in, so that nobody gets in
    /// whom another node, or this one before its restart, has shut out.
    pub async fn learn_revocations(&self) -> Result<(), fanfare_bus::Error> {
        if self.auth.keeps_revocations() {
            return Ok(());
        }
        let mut from = ReadFrom::End;
        loop {
            let read = Read {
                topic: topic(),
                from,
                direction: Direction::Forward,
                limit: PAGE_EVENTS,
                bytes_max: PAGE_BYTES,
                age_max: None,
            };
            let page = self.bus.read(read).await?;
            page.events.iter().for_each(|event| self.learn(event));
            match page.events.last() {
                Some(last) if page.more => from = ReadFrom::Offset(last.offset + 1),
                _ => return Ok(()),
            }
        }
    }

    /// Follows the log of revocations from its start, until the hard stop. Call once, on the runtime of this worker.
    pub(crate) fn follow_revocations(&self) {
        if self.auth.keeps_revocations() {
            return;
        }
        let (node, stop) = (self.clone(), self.life.hard().clone());
        self.life.spawn(TaskKind::Critical, "follow revocations", async move {
            tokio::select! {
                () = node.follow() => {}
                () = stop.cancelled() => {}
            }
        });
        let (node, stop) = (self.clone(), self.life.soft().clone());
        self.life.spawn(TaskKind::Background, "keep revocations", async move {
            tokio::select! {
                () = node.keep_revocations() => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Never returns.
    async fn follow(&self) {
        let mut backoff = RETRY;
        loop {
            let mut reader = self.bus.reader();
            let subscribe = Subscribe { topic: topic(), start: StartFrom::Start, on_slow: None, history: true };
            match reader.subscribe(subscribe).await {
                Ok(_) => {
                    backoff.reset();
                    self.read_on(reader).await;
                }
                Err(error) => tracing::warn!(error = %error, "revocations of other nodes cannot be read now"),
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    /// Until the subscription ends.
    async fn read_on(&self, mut reader: Reader) {
        let mut heard = Vec::new();
        loop {
            poll_fn(|cx| reader.poll(cx, BUDGET, &mut heard)).await;
            for delivery in heard.drain(..) {
                match delivery {
                    Delivery::Event { entry, .. } => self.learn(&entry.event),
                    Delivery::Gap { gap, .. } => {
                        if matches!(gap.reason, GapReason::Epoch | GapReason::Fork) {
                            // The log has lost something that this node may know.
                            self.tell_all_revoked("").await;
                        }
                    }
                    Delivery::Ended { .. } => return,
                }
            }
        }
    }

    fn learn(&self, event: &Event) {
        match change(event) {
            Ok(change) => self.auth.learn(&change),
            Err(error) => tracing::error!(error = %error, "a revocation of another node cannot be understood"),
        }
    }
}
