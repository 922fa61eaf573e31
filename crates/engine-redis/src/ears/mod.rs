//! Hearing what the servers announce.
//!
//! Every primary has an ear: a connection of its own that only listens. What it may have missed while it was away is not
//! its affair: it says that something may be lost, and the hub compares heads.

mod ear;
mod hint;
mod interest;

use std::collections::HashMap;
use std::sync::Arc;

use fanfare_bus::Receive;
use fanfare_history::Error;
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::TopicKey;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use self::ear::Ear;
pub(crate) use self::hint::carried;
use self::interest::Interest;
use crate::error::Failure;
use crate::keys::Partition;
use crate::options::Options;
use crate::servers::{Address, Servers};

/// The ears of one node.
pub(crate) struct Ears {
    common: Arc<Common>,
    stop: CancellationToken,
}

/// What all ears share.
struct Common {
    servers: Arc<Servers>,
    options: Options,
    /// Whether channels are those of a shard (`SSUBSCRIBE`).
    sharded: bool,
    interest: Interest,
    receive: Arc<dyn Receive>,
}

impl Ears {
    pub(crate) fn start(
        servers: Arc<Servers>,
        options: Options,
        sharded: bool,
        receive: Arc<dyn Receive>,
        life: &Lifecycle,
    ) -> Self {
        let interest = Interest::new(options.interest);
        let common = Arc::new(Common { servers, options, sharded, interest, receive });
        let stop = life.hard().child_token();
        let (inner, supervised, stopped) = (Arc::clone(&common), life.clone(), stop.clone());
        life.spawn(TaskKind::Background, "listen to redis", async move {
            tokio::select! {
                () = supervise(&inner, &supervised, &stopped) => {}
                () = stopped.cancelled() => {}
            }
        });
        Self { common, stop }
    }

    /// Wants these topics from now on; the future ends when the servers have confirmed that they announce them.
    pub(crate) fn attach(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<(), Error>> {
        if self.stop.is_cancelled() {
            return Box::pin(std::future::ready(Err(Error::Closed)));
        }
        let waits = self.common.interest.want(&topics);
        self.common.servers.handles.channels.set(self.common.interest.count() as f64);
        if waits.is_empty() {
            return Box::pin(std::future::ready(Ok(())));
        }
        Box::pin(async move {
            let confirmed = futures_util::future::join_all(waits);
            match tokio::time::timeout(self.common.servers.timeout(), confirmed).await {
                Ok(confirmed) if confirmed.iter().all(Result::is_ok) => Ok(()),
                _ => {
                    self.detach(&topics);
                    Err(Failure::Unavailable("the servers have not confirmed that they announce".to_owned()).of_log())
                }
            }
        })
    }

    pub(crate) fn detach(&self, topics: &[TopicKey]) {
        self.common.interest.drop_all(topics);
        self.common.servers.handles.channels.set(self.common.interest.count() as f64);
    }

    /// Ends all ears.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Has one ear for every primary, also when they change.
async fn supervise(common: &Arc<Common>, life: &Lifecycle, stop: &CancellationToken) {
    let mut map = common.servers.map();
    let mut ears: HashMap<Address, (Vec<Partition>, CancellationToken)> = HashMap::new();
    loop {
        let now = Arc::clone(&map.borrow_and_update());
        let wanted: HashMap<Address, Vec<Partition>> =
            now.addresses().into_iter().map(|address| (address.clone(), now.partitions_of(&address))).collect();
        ears.retain(|address, (partitions, stop)| {
            let same = wanted.get(address) == Some(partitions);
            if !same {
                stop.cancel();
            }
            same
        });
        for (address, partitions) in wanted {
            if ears.contains_key(&address) {
                continue;
            }
            let stop = stop.child_token();
            let ear = Ear::new(Arc::clone(common), address.clone(), partitions.clone());
            ears.insert(address, (partitions, stop.clone()));
            life.spawn(TaskKind::Background, "hear a redis primary", async move {
                tokio::select! {
                    () = ear.run() => {}
                    () = stop.cancelled() => {}
                }
            });
        }
        if map.changed().await.is_err() {
            return;
        }
    }
}
