//! The broker: streams keep and order events, and announce them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fanfare_bus::{Broker, Policies, Receive};
use fanfare_history::{Admin, Append, Appended, Capabilities, Error, Head, Page, Read, TopicPage, TopicsQuery};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::TopicKey;
use futures_util::future::BoxFuture;
use futures_util::stream::iter;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::append::Appender;
use crate::classes::{Classes, Spot};
use crate::error::Fault;
use crate::interest::Interest;
use crate::link::Link;
use crate::listing;
use crate::lives::Lives;
use crate::options::Options;
use crate::reading::Reading;
use crate::stream;

/// How many topics' heads are asked for at the same time.
const HEADS_TOGETHER_MAX: usize = 128;
/// How long to wait for a record that was just written to be read.
const RECORD_AGAIN_AFTER: std::time::Duration = std::time::Duration::from_millis(10);
/// Subject, id and checksum of a message, and the place that a record needs beyond what an event counts for.
const MESSAGE_OVERHEAD_BYTES: usize = 4096;

/// A [`Broker`] on the streams of one prefix.
pub(crate) struct NatsBroker {
    link: Arc<Link>,
    classes: Classes,
    lives: Arc<Lives>,
    interest: Arc<Interest>,
    capabilities: Capabilities,
    in_flight: Semaphore,
    in_flight_max: usize,
    exact_times: bool,
    closed: AtomicBool,
    end: CancellationToken,
    _until_dropped: DropGuard,
}

/// The most bytes an event may have, by what the servers take.
pub(crate) fn event_bytes_max(link: &Link) -> usize {
    link.message_bytes_max().saturating_sub(MESSAGE_OVERHEAD_BYTES)
}

impl NatsBroker {
    pub(crate) async fn open(
        link: Arc<Link>,
        options: &Options,
        policies: Arc<Policies>,
        receive: Arc<dyn Receive>,
        capabilities: Capabilities,
        life: &Lifecycle,
    ) -> Result<Arc<Self>, crate::Error> {
        let classes = Classes::open(&link, options, policies).await?;
        let lives = Arc::new(Lives::open(&link, options).await?);
        let interest = Interest::new(
            Arc::clone(&link),
            life,
            Arc::clone(&lives),
            Arc::clone(&receive),
            options.live_parts,
            &classes,
        );
        let end = life.hard().child_token();
        let broker = Arc::new(Self {
            link,
            classes,
            lives,
            interest,
            capabilities,
            in_flight: Semaphore::new(options.in_flight_max),
            in_flight_max: options.in_flight_max,
            exact_times: options.exact_times,
            closed: AtomicBool::new(false),
            _until_dropped: end.clone().drop_guard(),
            end,
        });
        broker.watch(receive, life).await?;
        Ok(broker)
    }

    /// Follows the records of purged topics, and says when live messages may have been missed.
    async fn watch(self: &Arc<Self>, receive: Arc<dyn Receive>, life: &Lifecycle) -> Result<(), crate::Error> {
        let unreachable = |fault: Fault| crate::Error::Unreachable(Box::new(fault));
        let mut settled = self.link.settled();
        let changed = self.link.client.subscribe(self.lives.live()).await;
        let mut changed = changed.map_err(|error| crate::Error::Unreachable(error.into()))?;
        self.lives.refresh(&self.link).await.map_err(unreachable)?;
        let (broker, end) = (Arc::downgrade(self), self.end.clone());
        life.spawn(TaskKind::Background, "nats-watch", async move {
            loop {
                let lost = tokio::select! {
                    () = end.cancelled() => return,
                    again = settled.changed() => again.map(|()| true),
                    record = changed.next() => Ok(record.is_none()),
                };
                let (Ok(lost), Some(broker)) = (lost, broker.upgrade()) else { return };
                if let Err(fault) = broker.interest.refresh_lives(&broker.classes).await {
                    tracing::warn!(error = %fault, "records of purged topics could not be read yet");
                }
                if lost {
                    receive.lost();
                }
            }
        });
        Ok(())
    }

    fn reading(&self) -> Reading<'_> {
        Reading { link: &self.link, lives: &self.lives, interest: Some(&self.interest) }
    }

    fn open_now(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    async fn heads_of(&self, topics: Vec<TopicKey>) -> Result<Vec<Head>, Error> {
        self.open_now()?;
        let spots: Vec<Spot> = topics.iter().map(|key| self.classes.spot(key)).collect();
        // The leaders say which lives the streams are in, and the records which the topics are in.
        let mut asked = vec![false; self.classes.all().len()];
        for spot in &spots {
            if !std::mem::replace(&mut asked[spot.class.index], true) {
                spot.class.stream.info(&self.link).await.map_err(Fault::of_log)?;
            }
        }
        self.interest.refresh_lives(&self.classes).await.map_err(Fault::of_log)?;
        let reading = &self.reading();
        let heads = iter(spots).map(|spot| async move {
            let head = reading.head(&spot).await?;
            self.interest.learn(&spot, head.last);
            Ok(head)
        });
        heads.buffered(HEADS_TOGETHER_MAX).try_collect().await.map_err(Fault::of_log)
    }

    async fn change(&self, change: Admin) -> Result<Head, Error> {
        self.open_now()?;
        let key = match &change {
            Admin::Purge(key) | Admin::TruncateBefore(key, _) => key,
        };
        let spot = self.classes.spot(key);
        self.interest.refresh_lives(&self.classes).await.map_err(Fault::of_log)?;
        let done = match change {
            Admin::Purge(_) => self.purge(&spot).await,
            Admin::TruncateBefore(_, offset) => self.truncate(&spot, offset).await,
        };
        done.map_err(Fault::of_log)?;
        self.reading().head(&spot).await.map_err(Fault::of_log)
    }

    async fn purge(&self, spot: &Spot) -> Result<(), Fault> {
        let after = spot.class.stream.info(&self.link).await?.state.last_seq;
        self.lives.purge(&self.link, spot, after).await?;
        self.until(|| self.lives.of(spot).after >= after).await?;
        stream::purge(&self.link, &spot.class.stream.name, &spot.subject, after + 1).await
    }

    async fn truncate(&self, spot: &Spot, offset: u64) -> Result<(), Fault> {
        let head = self.reading().head(spot).await?;
        let floor = offset.min(head.last.offset + 1);
        // Not of a topic that has nothing, nor of what is not there any more.
        if floor <= head.first || head.last.offset == 0 {
            return Ok(());
        }
        self.lives.truncate(&self.link, spot, floor).await?;
        self.until(|| self.lives.of(spot).floor >= floor).await?;
        // The one before stays, and is not read: it proves to whoever has it that nothing was missed.
        match self.reading().last_before(spot, floor).await? {
            0 => Ok(()),
            before => stream::purge(&self.link, &spot.class.stream.name, &spot.subject, before).await,
        }
    }

    /// Waits until a record that was written is known here, as it is to others by then or in a moment.
    async fn until(&self, known: impl Fn() -> bool) -> Result<(), Fault> {
        let known = async {
            loop {
                self.interest.refresh_lives(&self.classes).await?;
                if known() {
                    return Ok(());
                }
                tokio::time::sleep(RECORD_AGAIN_AFTER).await;
            }
        };
        let late = |_| Fault::Unavailable("a record is not there yet".to_owned());
        tokio::time::timeout(self.link.timeout, known).await.map_err(late)?
    }
}

impl Broker for NatsBroker {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn lossless(&self) -> bool {
        false
    }

    fn publish(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        Box::pin(async move {
            let count = batch.len();
            if let Err(error) = self.open_now() {
                return batch.iter().map(|_| Err(refused(&error))).collect();
            }
            // A batch that is larger than the limit goes when nothing else is under way.
            let permits = u32::try_from(count.min(self.in_flight_max)).unwrap_or(u32::MAX);
            let Ok(_permit) = self.in_flight.try_acquire_many(permits) else {
                return batch.iter().map(|_| Err(Error::Overloaded)).collect();
            };
            let batch = batch.into_iter().map(|append| (self.classes.spot(&append.topic), append)).collect();
            let appender = Appender {
                link: &self.link,
                lives: &self.lives,
                interest: Some(&self.interest),
                event_bytes_max: self.capabilities.event_bytes_max,
                exact_times: self.exact_times,
            };
            appender.append(batch).await
        })
    }

    fn attach(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<(), Error>> {
        let spots: Vec<Spot> = topics.iter().map(|key| self.classes.spot(key)).collect();
        // At once, so that it takes effect in the order of the calls.
        let begun = self.interest.attach(&spots);
        Box::pin(async move {
            self.open_now()?;
            let confirmed = self.interest.confirm(begun).await;
            if confirmed.is_err() {
                self.interest.detach(&spots);
            }
            confirmed.map_err(Fault::of_log)
        })
    }

    fn detach(&self, topics: Vec<TopicKey>) {
        let spots: Vec<Spot> = topics.iter().map(|key| self.classes.spot(key)).collect();
        self.interest.detach(&spots);
    }

    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        Box::pin(self.heads_of(topics))
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        Box::pin(async move {
            self.open_now()?;
            let spot = self.classes.spot(&read.topic);
            self.reading().page(&spot, &read).await.map_err(Fault::of_log)
        })
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        Box::pin(async move {
            self.open_now()?;
            let (names, more) = listing::topics(&self.link, &self.classes, &query).await.map_err(Fault::of_log)?;
            let keys = names.iter().map(|topic| TopicKey::new(query.tenant.clone(), topic.clone())).collect();
            let heads = self.heads_of(keys).await?;
            Ok(TopicPage { topics: names.into_iter().zip(heads).collect(), more })
        })
    }

    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        Box::pin(self.change(change))
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        // The servers remove what is too old or too much.
        Box::pin(std::future::ready(Ok(0)))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.closed.store(true, Ordering::Release);
        Box::pin(async move {
            // What is under way is answered first.
            let all = u32::try_from(self.in_flight_max).unwrap_or(u32::MAX);
            let waited = tokio::time::timeout(2 * self.link.timeout, self.in_flight.acquire_many(all)).await;
            self.end.cancel();
            waited.map(drop).map_err(|error| Error::Unavailable(error.into()))
        })
    }
}

fn refused(error: &Error) -> Error {
    match error {
        Error::Closed => Error::Closed,
        _ => Error::Overloaded,
    }
}
