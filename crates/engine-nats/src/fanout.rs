//! The carrier of another engine's log: hints on subjects of their own, and topics that keep nothing in a stream in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fanfare_bus::{Fanout, Policies, Receive};
use fanfare_history::{Append, Appended, Error, Head, Reset};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Event, TopicKey};
use futures_util::future::{BoxFuture, try_join_all};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::append::Appender;
use crate::broker::event_bytes_max;
use crate::classes::{Classes, Spot};
use crate::error::Fault;
use crate::hint;
use crate::interest::Interest;
use crate::link::Link;
use crate::lives::Lives;
use crate::options::Options;
use crate::reading::Reading;

/// What waits to be sent.
enum Outgoing {
    Hint {
        subject: String,
        bytes: Vec<u8>,
    },
    /// Everything before it has been handed to a server.
    Flushed(oneshot::Sender<()>),
}

/// A [`Fanout`] over the subjects of one prefix.
pub(crate) struct NatsFanout {
    link: Arc<Link>,
    classes: Classes,
    lives: Arc<Lives>,
    interest: Arc<Interest>,
    live_parts: u32,
    in_flight: Semaphore,
    in_flight_max: usize,
    outgoing: mpsc::Sender<Outgoing>,
    closed: AtomicBool,
    end: CancellationToken,
    _until_dropped: DropGuard,
}

impl NatsFanout {
    pub(crate) async fn open(
        link: Arc<Link>,
        options: &Options,
        policies: Arc<Policies>,
        receive: Arc<dyn Receive>,
        life: &Lifecycle,
    ) -> Result<Arc<Self>, crate::Error> {
        let classes = Classes::carried(&link, options, policies).await?;
        // Nothing that is carried is ever purged here.
        let lives = Arc::new(Lives::none(&options.prefix));
        let parts = options.live_parts;
        let interest =
            Interest::new(Arc::clone(&link), life, Arc::clone(&lives), Arc::clone(&receive), parts, &classes);
        let end = life.hard().child_token();
        let (outgoing, waiting) = mpsc::channel(options.live_waiting_max);
        life.spawn(TaskKind::Background, "nats-hints", send_on(Arc::clone(&link), waiting, end.clone()));
        let fanout = Arc::new(Self {
            link,
            classes,
            lives,
            interest,
            live_parts: options.live_parts,
            in_flight: Semaphore::new(options.in_flight_max),
            in_flight_max: options.in_flight_max,
            outgoing,
            closed: AtomicBool::new(false),
            _until_dropped: end.clone().drop_guard(),
            end,
        });
        fanout.watch(receive, life);
        Ok(fanout)
    }

    /// Says when hints may have been missed.
    fn watch(self: &Arc<Self>, receive: Arc<dyn Receive>, life: &Lifecycle) {
        let (mut settled, end) = (self.link.settled(), self.end.clone());
        life.spawn(TaskKind::Background, "nats-watch", async move {
            while let Some(Ok(())) = end.run_until_cancelled(settled.changed()).await {
                receive.lost();
            }
        });
    }

    fn open_now(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    fn tell(&self, topic: &TopicKey, bytes: Vec<u8>) {
        let spot = self.classes.spot(topic);
        let subject = format!("{}{}.{}", spot.class.live, spot.part(self.live_parts), spot.tail());
        if self.outgoing.try_send(Outgoing::Hint { subject, bytes }).is_err() {
            // Whoever listens notices by the next one, or by comparing heads.
            self.link.metrics.hints_dropped.increment(1);
        }
    }
}

/// Hands over what waits, in order.
async fn send_on(link: Arc<Link>, mut waiting: mpsc::Receiver<Outgoing>, end: CancellationToken) {
    while let Some(Some(outgoing)) = end.run_until_cancelled(waiting.recv()).await {
        match outgoing {
            Outgoing::Hint { subject, bytes } => {
                if link.client.publish(subject, bytes.into()).await.is_err() {
                    link.metrics.hints_dropped.increment(1);
                }
            }
            Outgoing::Flushed(done) => {
                // Who asked waits no longer than its own time.
                drop(link.client.flush().await);
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for hints to be sent any more");
                }
            }
        }
    }
}

impl Fanout for NatsFanout {
    fn name(&self) -> &'static str {
        "nats"
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

    fn send(&self, events: &[Arc<Event>]) {
        for event in events {
            self.tell(&event.topic, hint::of_event(event, self.link.message_bytes_max()));
        }
    }

    fn reset(&self, reset: &Reset) {
        self.tell(&reset.topic, hint::of_reset(reset));
    }

    fn pass(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        Box::pin(async move {
            if self.open_now().is_err() {
                return batch.iter().map(|_| Err(Error::Closed)).collect();
            }
            let permits = u32::try_from(batch.len().min(self.in_flight_max)).unwrap_or(u32::MAX);
            let Ok(_permit) = self.in_flight.try_acquire_many(permits) else {
                return batch.iter().map(|_| Err(Error::Overloaded)).collect();
            };
            let batch = batch.into_iter().map(|append| (self.classes.passing_spot(&append.topic), append)).collect();
            let appender = Appender {
                link: &self.link,
                lives: &self.lives,
                interest: Some(&self.interest),
                event_bytes_max: event_bytes_max(&self.link),
                exact_times: false,
            };
            appender.append(batch).await
        })
    }

    fn passing(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        Box::pin(async move {
            self.open_now()?;
            let spots: Vec<Spot> = topics.iter().map(|key| self.classes.passing_spot(key)).collect();
            if let Some(spot) = spots.first() {
                // The leader says which life the stream is in.
                spot.class.stream.info(&self.link).await.map_err(Fault::of_log)?;
            }
            let reading = &Reading { link: &self.link, lives: &self.lives, interest: Some(&self.interest) };
            let heads = spots.iter().map(|spot| reading.head(spot));
            try_join_all(heads).await.map_err(Fault::of_log)
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.closed.store(true, Ordering::Release);
        Box::pin(async move {
            let (done, flushed) = oneshot::channel();
            let sent = async {
                if self.outgoing.send(Outgoing::Flushed(done)).await.is_ok() {
                    // Ended already, if it does not answer.
                    drop(flushed.await);
                }
            };
            let waited = tokio::time::timeout(self.link.timeout, sent).await;
            self.end.cancel();
            waited.map_err(|error| Error::Unavailable(error.into()))
        })
    }
}
