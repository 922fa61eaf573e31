//! Which life of a stream a node writes to and reads from.
//!
//! A server that has lost its streams comes back within milliseconds with new ones of the same names, and what it answers
//! does not say of which one it speaks. So what a stream says is believed only if its life was looked up on the very
//! connection on which it said it: a server that died took its connections with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fanfare_model::{Epoch, Timestamp};
use parking_lot::RwLock;

use crate::error::{Error, Fault};
use crate::gets;
use crate::link::Link;
use crate::stream::{self, Info, Wanted};

/// No connection has this number.
const NONE: u64 = 0;

/// A life of a stream: from when it was made until it is lost or deleted.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    /// When the stream was made, as the servers write it.
    pub(crate) created: Arc<str>,
    /// The same.
    pub(crate) since: Timestamp,
    /// The epoch of its topics.
    pub(crate) epoch: Epoch,
    /// The connection on which that was said.
    connection: u64,
}

/// A stream that this node uses. It is made again if it is gone.
pub(crate) struct Stream {
    pub(crate) name: String,
    wanted: Wanted,
    life: RwLock<Life>,
    /// The last place that is known of it in this life.
    last: AtomicU64,
    /// Whoever looks a life up does it for all who wait.
    looking: tokio::sync::Mutex<()>,
}

impl Stream {
    /// Makes the stream if it is not there, brings its limits to what is wanted, and has it looked after from now on.
    pub(crate) async fn open(link: &Link, wanted: Wanted) -> Result<Arc<Self>, Error> {
        let before = link.connection();
        let info = stream::open(link, &wanted).await?;
        let connection = if link.connection() == before { before } else { NONE };
        let life = Life::read(&wanted.name, &info, connection).map_err(|fault| Error::Unfit(fault.to_string()))?;
        let (last, name) = (AtomicU64::new(info.state.last_seq), wanted.name.clone());
        let stream =
            Arc::new(Self { name, wanted, life: RwLock::new(life), last, looking: tokio::sync::Mutex::default() });
        link.look_after(Arc::clone(&stream));
        Ok(stream)
    }

    /// The life that it was in when it was last looked up.
    pub(crate) fn latest(&self) -> Life {
        self.life.read().clone()
    }

    /// The life that it is in, if that was looked up on this connection.
    pub(crate) fn settled(&self, link: &Link) -> Option<Life> {
        let life = self.latest();
        (life.connection == link.connection()).then_some(life)
    }

    /// The life that it is in on this connection.
    pub(crate) async fn life(&self, link: &Link, patience: Duration) -> Result<Life, Fault> {
        if let Some(life) = self.settled(link) {
            return Ok(life);
        }
        let late = |_| Fault::Unavailable(format!("the stream {} does not say how it is", self.name));
        tokio::time::timeout(patience, self.look_up(link)).await.map_err(late)?
    }

    async fn look_up(&self, link: &Link) -> Result<Life, Fault> {
        let _turn = self.looking.lock().await;
        loop {
            if let Some(life) = self.settled(link) {
                return Ok(life);
            }
            self.info(link).await?;
        }
    }

    /// Whether what was answered since `life` was looked up was of that life.
    pub(crate) fn is_still(&self, link: &Link, life: &Life) -> bool {
        self.settled(link).is_some_and(|now| now.created == life.created && now.connection == life.connection)
    }

    /// Something does not fit: the life is to be looked up again.
    pub(crate) fn doubt(&self) {
        self.life.write().connection = NONE;
    }

    /// The last place that is known in this life.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// Something was stored at `place`.
    pub(crate) fn stored(&self, place: u64) {
        self.last.fetch_max(place, Ordering::AcqRel);
    }

    /// Asks the leader how it is.
    pub(crate) async fn info(&self, link: &Link) -> Result<Info, Fault> {
        let connection = link.connection();
        let info = stream::there(link, &self.wanted).await?;
        self.learn(link, &info, connection)?;
        Ok(info)
    }

    /// Takes note of what was asked on `connection`, if that is still the one.
    fn learn(&self, link: &Link, info: &Info, connection: u64) -> Result<(), Fault> {
        let now = Life::read(&self.name, info, connection)?;
        let mut life = self.life.write();
        if link.connection() != connection {
            return Ok(());
        }
        let (is_another, was_doubted) = (life.created != now.created, life.connection == NONE);
        if is_another || life.connection != connection {
            self.last.store(info.state.last_seq, Ordering::Release);
        }
        self.stored(info.state.last_seq);
        *life = now;
        drop(life);
        if is_another {
            tracing::warn!(stream = self.name, "stream was made anew, its topics begin new lives");
        }
        if is_another || was_doubted {
            // Live messages that came meanwhile were not believed.
            link.shake();
        }
        Ok(())
    }
}

impl Life {
    fn read(name: &str, info: &Info, connection: u64) -> Result<Self, Fault> {
        let since = gets::time(&info.created).ok_or_else(|| Fault::Garbled(format!("the time {}", info.created)))?;
        Ok(Self { created: info.created.as_str().into(), since, epoch: stream::epoch(name, &info.created), connection })
    }
}
