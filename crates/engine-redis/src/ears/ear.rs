//! One connection that only listens.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fanfare_history::{Head, Reset};
use fanfare_lifecycle::Backoff;
use fanfare_model::{Event, Position};
use parking_lot::Mutex;
use redis::{Cmd, PushInfo, PushKind, RedisError, Value};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::Common;
use super::hint::{self, Hint, What};
use super::interest::Changes;
use crate::answers;
use crate::keys::Partition;
use crate::metrics::Operation;
use crate::servers::{Address, Link, Pushes};
use crate::store::channel;

/// Subscriptions of one round trip: more would make the answers wait behind them.
const CHANNELS_AT_ONCE: usize = 512;
/// How soon a lost connection is made again, at first and at last: nothing is heard meanwhile.
const CONNECT_AGAIN: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(500));
/// A connection that lasted so long was a good one.
const LASTED: Duration = Duration::from_secs(5);

/// Listens to one primary.
pub(super) struct Ear {
    common: Arc<Common>,
    address: Address,
    partitions: Vec<Partition>,
    /// Where it tells itself something, to learn whether it still hears.
    probe: Vec<u8>,
}

/// What one connection hears.
struct Hearing {
    common: Arc<Common>,
    /// The connection is of no more use.
    gone: Notify,
    /// Something was heard since this was last looked at.
    alive: AtomicBool,
    /// Channels that were given up on purpose.
    given_up: Mutex<HashSet<Vec<u8>>>,
}

impl Ear {
    pub(super) fn new(common: Arc<Common>, address: Address, partitions: Vec<Partition>) -> Self {
        let probe = format!("probe:{:x}", fanfare_model::Epoch::generate().as_u32());
        let probe = common.servers.keys.key(partitions[0], &probe, b"");
        Self { common, address, partitions, probe }
    }

    /// Listens, and connects again when the connection is lost; never returns.
    pub(super) async fn run(self) {
        let mut backoff = CONNECT_AGAIN;
        loop {
            let began = Instant::now();
            let why = match self.listen().await {
                Ok(why) => why.to_owned(),
                Err(error) => error.to_string(),
            };
            tracing::warn!(server = %self.address, why, "nothing is heard of the primary, connecting again");
            if began.elapsed() > LASTED {
                backoff.reset();
            }
            tokio::time::sleep(backoff.next_wait()).await;
            // Perhaps another server is the primary; then this ear is ended.
            if let Err(error) = self.common.servers.refresh().await {
                tracing::debug!(error = %error, "nobody says which servers are primaries");
            }
        }
    }

    /// Returns why it does not hear any more.
    async fn listen(&self) -> Result<&'static str, RedisError> {
        let hearing = Arc::new(Hearing {
            common: Arc::clone(&self.common),
            gone: Notify::new(),
            alive: AtomicBool::new(false),
            given_up: Mutex::default(),
        });
        let heard = Arc::clone(&hearing);
        let pushes: Pushes = Arc::new(move |push: PushInfo| heard.hear(&push));
        let link = self.common.servers.open(&self.address, Some(pushes)).await?;
        if !link.identity.primary {
            return Ok("it is a replica");
        }
        self.common.servers.handles.connected_hints.increment(1);
        let mut news = self.common.interest.changes();
        let all = self.common.interest.take_all(&self.partitions);
        self.apply(&link, &hearing, all, true).await?;
        // Whatever was announced since the last connection was lost, was not heard.
        self.common.receive.lost();
        let mut ticks = tokio::time::interval(self.common.options.probe_interval.get());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut probed = false;
        loop {
            tokio::select! {
                () = hearing.gone.notified() => return Ok("the connection was closed"),
                _ = news.changed() => {
                    let changes = self.common.interest.take_changes(&self.partitions);
                    self.apply(&link, &hearing, changes, false).await?;
                }
                _ = ticks.tick() => {
                    if hearing.alive.swap(false, Ordering::Relaxed) {
                        probed = false;
                    } else if probed {
                        return Ok("it does not hear what is announced");
                    } else {
                        probed = true;
                        self.probe().await;
                    }
                }
            }
        }
    }

    fn commands(&self) -> (&'static str, &'static str, &'static str) {
        if self.common.sharded {
            ("SSUBSCRIBE", "SUNSUBSCRIBE", "SPUBLISH")
        } else {
            ("SUBSCRIBE", "UNSUBSCRIBE", "PUBLISH")
        }
    }

    /// Tells the server what is wanted, and those who wait that it knows.
    async fn apply(
        &self,
        link: &Link,
        hearing: &Hearing,
        changes: Vec<Changes>,
        first: bool,
    ) -> Result<(), RedisError> {
        let (subscribe, unsubscribe, _) = self.commands();
        let one = |name: &'static str, channel: &[u8]| {
            let mut command = redis::cmd(name);
            command.arg(channel);
            command
        };
        let named = |partition: Partition, flat: &Vec<u8>| {
            channel(&self.common.servers, self.common.options.interest, partition, flat)
        };
        let mut commands: Vec<Cmd> = Vec::new();
        if first {
            commands.push(one(subscribe, &self.probe));
        }
        for changes in &changes {
            for flat in &changes.unsubscribe {
                let channel = named(changes.partition, flat);
                commands.push(one(unsubscribe, &channel));
                hearing.given_up.lock().insert(channel);
            }
            commands.extend(changes.subscribe.iter().map(|flat| one(subscribe, &named(changes.partition, flat))));
        }
        for commands in commands.chunks(CHANNELS_AT_ONCE) {
            let sent = tokio::time::timeout(self.common.servers.timeout(), link.send(commands)).await;
            let failed = match sent {
                Ok(Ok(answers)) => answers.into_iter().find_map(|answer| match answer {
                    Value::ServerError(error) => Some(RedisError::from(error)),
                    _ => None,
                }),
                Ok(Err(error)) => Some(error),
                Err(_) => Some((redis::ErrorKind::Io, "no answer within the time").into()),
            };
            if let Some(error) = failed {
                self.common.interest.put_back(changes);
                return Err(error);
            }
        }
        self.common.interest.confirm(changes);
        Ok(())
    }

    /// Announces something on its own channel, by the way that events take.
    async fn probe(&self) {
        let (_, _, publish) = self.commands();
        let make = |_: &_| {
            let mut command = redis::cmd(publish);
            command.arg(&self.probe).arg("");
            vec![command]
        };
        let sent = self.common.servers.call(Operation::Probe, self.partitions[0], true, make);
        // What fails here is noticed by not being heard.
        if let Ok(Err(failure)) = tokio::time::timeout(self.common.options.probe_interval.get(), sent).await {
            tracing::debug!(error = %failure, "a probe could not be sent");
        }
    }
}

impl Hearing {
    /// Called by the connection for each push, in order.
    fn hear(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Message | PushKind::SMessage => {
                self.alive.store(true, Ordering::Relaxed);
                if let Some(message) = push.data.get(1).and_then(answers::bytes).filter(|message| !message.is_empty()) {
                    self.announce(message);
                }
            }
            PushKind::Unsubscribe | PushKind::SUnsubscribe => {
                let channel = push.data.first().and_then(answers::bytes).unwrap_or_default();
                if !self.given_up.lock().remove(channel) {
                    // A Cluster takes subscriptions away when it moves a slot.
                    self.gone.notify_one();
                }
            }
            PushKind::Disconnection => self.gone.notify_one(),
            _ => {}
        }
    }

    fn announce(&self, message: &[u8]) {
        let handles = &self.common.servers.handles;
        let Some(hint) = Hint::split(message) else {
            handles.hints_damaged.increment(1);
            return;
        };
        let Some(topic) = self.common.interest.find(hint.topic) else {
            handles.hints_unread.increment(1);
            return;
        };
        let receive = &self.common.receive;
        let Hint { epoch, offset, prev, time, tag, .. } = hint;
        match hint.what {
            What::Header => receive.heard(&topic, Position { epoch, offset, tag }),
            What::Reset => receive.reset(&Reset { topic, head: Head::empty(epoch) }),
            What::Event(bytes) => {
                let Some(draft) = hint::draft(bytes) else {
                    handles.hints_damaged.increment(1);
                    // It is there all the same.
                    return receive.heard(&topic, Position { epoch, offset, tag });
                };
                receive.stored(&[Arc::new(Event { topic, epoch, offset, prev, time, draft })]);
            }
        }
        handles.hints_passed.increment(1);
    }
}
