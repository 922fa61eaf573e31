//! A broker as a log, for the cases of logs.

use std::collections::HashSet;
use std::sync::Arc;

use fanfare_history::contract::Heard;
use fanfare_history::{
    Admin, Announce, Append, Appended, Capabilities, Error, Head, Log, Page, Read, Reset, TopicPage, TopicsQuery,
};
use fanfare_model::{Event, Position, TopicKey};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::broker::{Broker, Receive};

/// Hears what a broker announces.
pub(super) struct Listening(pub(super) Arc<Heard>);

impl Announce for Listening {
    fn stored(&self, events: &[Arc<Event>]) {
        self.0.stored(events);
    }

    fn reset(&self, reset: &Reset) {
        self.0.reset(reset);
    }
}

impl Receive for Listening {
    // What is not carried is not looked at by the cases of logs, whose events are small.
    fn heard(&self, _: &TopicKey, _: Position) {}

    fn lost(&self) {}
}

/// A broker that is asked as a log is; it announces the topics that are appended to.
pub(super) struct AsLog {
    broker: Arc<dyn Broker>,
    /// Those that it announces by now.
    attached: Mutex<HashSet<TopicKey>>,
    /// One attaches at a time.
    attaching: tokio::sync::Mutex<()>,
}

impl AsLog {
    pub(super) fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker, attached: Mutex::default(), attaching: tokio::sync::Mutex::default() }
    }

    /// The topics of the batch that are not announced yet.
    fn silent(&self, batch: &[Append]) -> HashSet<TopicKey> {
        let attached = self.attached.lock();
        batch.iter().filter(|item| !attached.contains(&item.topic)).map(|item| item.topic.clone()).collect()
    }

    async fn attach(&self, batch: &[Append]) {
        let _attaching = self.attaching.lock().await;
        let silent: Vec<_> = self.silent(batch).into_iter().collect();
        if !silent.is_empty() {
            self.broker.attach(silent.clone()).await.expect("the topics are attached");
            self.attached.lock().extend(silent);
        }
    }
}

impl Log for AsLog {
    fn capabilities(&self) -> Capabilities {
        self.broker.capabilities()
    }

    fn append(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        if self.silent(&batch).is_empty() {
            return self.broker.publish(batch);
        }
        Box::pin(async move {
            self.attach(&batch).await;
            self.broker.publish(batch).await
        })
    }

    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        self.broker.heads(topics)
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        self.broker.read(read)
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        self.broker.topics(query)
    }

    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        self.broker.admin(change)
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        self.broker.sweep()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.broker.close()
    }
}
