//! Who hears news, and remembers them.

use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::Receive;
use fanfare_history::{Announce, Reset};
use fanfare_model::{Event, Position, TopicKey};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// How long is waited for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    Event(u64),
    Reset,
    NotCarried(u64),
    Lost,
}

#[derive(Default)]
pub(crate) struct Ear {
    heard: Mutex<Vec<Heard>>,
    news: Notify,
}

impl Ear {
    fn hear(&self, heard: impl IntoIterator<Item = Heard>) {
        self.heard.lock().extend(heard);
        self.news.notify_waiters();
    }

    pub(crate) fn all(&self) -> Vec<Heard> {
        self.heard.lock().clone()
    }

    /// Waits until what was heard satisfies `enough`.
    pub(crate) async fn until(&self, enough: impl Fn(&[Heard]) -> bool) {
        let waiting = async {
            loop {
                let news = self.news.notified();
                if enough(&self.heard.lock()) {
                    return;
                }
                news.await;
            }
        };
        let heard = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(heard.is_ok(), "only heard {:?}", self.all());
    }

    /// Forgets what was heard, and says what it was.
    pub(crate) fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut self.heard.lock())
    }
}

impl Announce for Ear {
    fn stored(&self, events: &[Arc<Event>]) {
        self.hear(events.iter().map(|event| Heard::Event(event.offset)));
    }

    fn reset(&self, _: &Reset) {
        self.hear([Heard::Reset]);
    }
}

impl Receive for Ear {
    fn heard(&self, _: &TopicKey, last: Position) {
        self.hear([Heard::NotCarried(last.offset)]);
    }

    fn lost(&self) {
        self.hear([Heard::Lost]);
    }
}
