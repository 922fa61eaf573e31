//! Carrying the news of another engine's log: the same channels and ears as the broker's, and the order of topics that
//! keep nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use fanfare_bus::Fanout;
use fanfare_history::{Append, Appended, Error, Head, Reset, record};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Event, Tag, TopicKey};
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use redis::Cmd;
use tokio::sync::{mpsc, oneshot};

use crate::ears::{Ears, carried};
use crate::error::Failure;
use crate::keys::{Partition, flat};
use crate::metrics::Operation;
use crate::options::Options;
use crate::servers::Servers;
use crate::store::{Store, Voice};

/// Messages that go to the servers together.
const SENT_AT_ONCE: usize = 256;

/// A [`Fanout`] on Redis.
pub(crate) struct RedisFanout {
    store: Arc<Store>,
    ears: Ears,
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Message>>>,
    /// Ends when everything is sent.
    sent: tokio::sync::Mutex<Option<oneshot::Receiver<()>>>,
    announced_bytes_max: usize,
}

/// What is to be told on a channel.
struct Message {
    partition: Partition,
    channel: Vec<u8>,
    bytes: Vec<u8>,
}

impl RedisFanout {
    pub(crate) fn start(store: Arc<Store>, ears: Ears, options: &Options, life: &Lifecycle) -> Self {
        let (queue, messages) = mpsc::channel(options.queue_events_max);
        let (done, sent) = oneshot::channel();
        let Voice::Channel(command) = store.voice else {
            unreachable!("a fan-out is made with a store that announces on channels")
        };
        let servers = Arc::clone(&store.servers);
        life.spawn(TaskKind::Background, "send hints to redis", async move {
            send_all(&servers, command, messages).await;
            // Nobody waits if it was not closed.
            let _ = done.send(());
        });
        let announced_bytes_max = options.announced_bytes_max.as_usize();
        let (queue, sent) = (Mutex::new(Some(queue)), tokio::sync::Mutex::new(Some(sent)));
        Self { store, ears, queue, sent, announced_bytes_max }
    }

    /// What does not fit is dropped: the log has it.
    fn put(&self, queue: &mpsc::Sender<Message>, flat: &[u8], bytes: Vec<u8>) {
        let partition = Partition::of(flat);
        let channel = self.store.channel(partition, flat);
        if queue.try_send(Message { partition, channel, bytes }).is_err() {
            self.store.servers.handles.hints_dropped.increment(1);
        }
    }
}

async fn send_all(servers: &Servers, command: &'static str, mut messages: mpsc::Receiver<Message>) {
    let mut together = Vec::with_capacity(SENT_AT_ONCE);
    while messages.recv_many(&mut together, SENT_AT_ONCE).await > 0 {
        let mut by_partition: BTreeMap<Partition, Vec<Message>> = BTreeMap::new();
        for message in together.drain(..) {
            by_partition.entry(message.partition).or_default().push(message);
        }
        let calls = by_partition.iter().map(|(partition, messages)| async move {
            let make = |_: &_| -> Vec<Cmd> {
                let publish = |message: &Message| {
                    let mut publish = redis::cmd(command);
                    publish.arg(&message.channel).arg(&message.bytes);
                    publish
                };
                messages.iter().map(publish).collect()
            };
            if let Err(failure) = servers.call(Operation::Announce, *partition, false, make).await {
                tracing::debug!(error = %failure, "hints could not be sent");
                servers.handles.hints_dropped.increment(messages.len() as u64);
            }
        });
        join_all(calls).await;
    }
}

impl Fanout for RedisFanout {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn attach(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<(), Error>> {
        self.ears.attach(topics)
    }

    fn detach(&self, topics: Vec<TopicKey>) {
        self.ears.detach(&topics);
    }

    fn send(&self, events: &[Arc<Event>]) {
        let queue = self.queue.lock().clone();
        let Some(queue) = queue else { return };
        for event in events {
            let flat = flat(&event.topic);
            let mut draft = Vec::with_capacity(event.draft.size() + 64);
            record::encode_draft(&event.draft, &mut draft);
            let draft = (draft.len() <= self.announced_bytes_max).then_some(&draft[..]);
            let tag = Tag::of(&event.draft.id);
            let bytes = carried::event(&flat, event.epoch, (event.offset, event.prev), event.time, tag, draft);
            self.put(&queue, &flat, bytes);
        }
    }

    fn reset(&self, reset: &Reset) {
        let queue = self.queue.lock().clone();
        let Some(queue) = queue else { return };
        let flat = flat(&reset.topic);
        let bytes = carried::reset(&flat, reset.head.last.epoch);
        self.put(&queue, &flat, bytes);
    }

    fn pass(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        self.store.append(batch)
    }

    fn passing(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        Box::pin(async move { self.store.heads(&topics).await })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let closed = self.store.close().await;
            drop(self.queue.lock().take());
            if let Some(sent) = self.sent.lock().await.take() {
                let patience = self.store.servers.timeout() * 2;
                // The task may have ended with its runtime; then nothing can be sent any more.
                if tokio::time::timeout(patience, sent).await.is_err() {
                    return Err(Failure::Unavailable("what waited could not be sent".to_owned()).of_log());
                }
            }
            self.ears.stop();
            closed
        })
    }
}
