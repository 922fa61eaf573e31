//! Waits until there may be something to give out, without asking for it again and again.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use fanfare_bus::{Budget, Delivery, OnSlow, Reader, Subscribe};
use fanfare_model::{StartFrom, Timestamp, TopicKey};
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::metrics::Handles;
use crate::{Error, Handle};

/// How much of what a reader has to say is taken at once; it is only listened to, not read.
const BUDGET: Budget = Budget { deliveries: 256, bytes: usize::MAX };

/// A caller that waits.
pub(super) struct Wait<'a> {
    handle: &'a Handle,
    deadline: Instant,
    /// Hears of new events; made when it first is to be waited for them.
    reader: Option<Reader>,
    _counted: Counted<'a>,
}

impl<'a> Wait<'a> {
    pub(super) fn begin(handle: &'a Handle, wait: Duration) -> Self {
        let counted = Counted::begin(&handle.shared.metrics);
        Self { handle, deadline: Instant::now() + wait, reader: None, _counted: counted }
    }

    /// Waits for news of the topic, for something to be freed, or until `due`. False if there is no time left.
    pub(super) async fn for_news(
        &mut self,
        topic: &TopicKey,
        freed: Pin<&mut Notified<'_>>,
        due: Option<Timestamp>,
    ) -> Result<bool, Error> {
        if Instant::now() >= self.deadline {
            return Ok(false);
        }
        let Some(reader) = &mut self.reader else {
            // From now on nothing is missed; what came before is seen by the next look.
            let mut reader = self.handle.bus.reader();
            let (start, on_slow) = (StartFrom::Now, Some(OnSlow::Skip));
            let subscribe = Subscribe { topic: topic.clone(), start, on_slow, history: false };
            reader.subscribe(subscribe).await.map_err(fanfare_bus::Error::from)?;
            self.reader = Some(reader);
            return Ok(true);
        };
        let due = due.map(|due| Instant::now() + due.since(self.handle.shared.clock.now()).max(TICK));
        let until = due.map_or(self.deadline, |due| due.min(self.deadline));
        let mut heard = Vec::new();
        tokio::select! {
            () = freed => {}
            () = tokio::time::sleep_until(until) => return Ok(Instant::now() < self.deadline || due.is_some()),
            () = poll_fn(|cx| reader.poll(cx, BUDGET, &mut heard)) => {}
        }
        if heard.iter().any(|delivery| matches!(delivery, Delivery::Ended { .. })) {
            self.reader = None;
        }
        Ok(true)
    }
}

/// The shortest wait for a time by the clock, which may not go as the runtime's does.
const TICK: Duration = Duration::from_millis(1);

struct Counted<'a>(&'a Handles);

impl<'a> Counted<'a> {
    fn begin(handles: &'a Handles) -> Self {
        handles.pullers.increment(1);
        Self(handles)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.pullers.decrement(1);
    }
}
