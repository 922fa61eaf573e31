//! The hub's broker.

use std::sync::Arc;

use fanfare_bus::{Broker, Receive};
use fanfare_history::{Admin, Append, Appended, Capabilities, Error, Head, Log, Page, Read, TopicPage, TopicsQuery};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::TopicKey;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::follow::Follow;
use super::interest::Interest;
use super::link::Link;
use super::log::RemoteLog;
use crate::Options;

pub(super) struct RemoteBroker {
    link: Arc<Link>,
    log: RemoteLog,
    interest: Arc<Interest>,
    stop: CancellationToken,
    _stop_when_dropped: DropGuard,
}

impl RemoteBroker {
    /// Begins to hear the news.
    pub(super) fn start(
        link: Arc<Link>,
        capabilities: Capabilities,
        receive: Arc<dyn Receive>,
        options: &Options,
        life: &Lifecycle,
    ) -> Arc<dyn Broker> {
        let interest = Interest::new();
        let stop = life.hard().child_token();
        let follow = Follow::new(Arc::clone(&link), Arc::clone(&interest), receive, options.reconnect_after.get());
        life.spawn(TaskKind::Critical, "hear the hub's news", follow.run(stop.clone()));
        Arc::new(Self {
            log: RemoteLog::new(Arc::clone(&link), capabilities, life.clone()),
            link,
            interest,
            _stop_when_dropped: stop.clone().drop_guard(),
            stop,
        })
    }
}

impl Broker for RemoteBroker {
    fn capabilities(&self) -> Capabilities {
        self.log.capabilities()
    }

    /// News may be left out, and connections break.
    fn lossless(&self) -> bool {
        false
    }

    fn publish(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        self.log.append(batch)
    }

    fn attach(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<(), Error>> {
        if self.log.is_closed() {
            return ready(Err(Error::Closed)).boxed();
        }
        let change = self.interest.attach(topics);
        async move {
            if self.interest.is_confirmed(change, self.link.timeout()).await {
                return Ok(());
            }
            Err(Error::Unavailable("the hub did not confirm interest in time".into()))
        }
        .boxed()
    }

    fn detach(&self, topics: Vec<TopicKey>) {
        self.interest.detach(topics);
    }

    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        self.log.heads(topics)
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        self.log.read(read)
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        self.log.topics(query)
    }

    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        self.log.admin(change)
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        self.log.sweep()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.stop.cancel();
        self.log.close()
    }
}
