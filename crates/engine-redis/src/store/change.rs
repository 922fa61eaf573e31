//! Changes that are not appends: purging, truncating, and removing what is too old.

use fanfare_history::{Admin, Error, Head, Reset};
use fanfare_model::{Epoch, TopicKey};
use futures_util::future::try_join_all;
use redis::Value;

use super::{Store, Voice};
use crate::answers;
use crate::error::Failure;
use crate::keys::{Partition, split};
use crate::metrics::Operation;
use crate::scripts;

/// Topics that are swept at a time.
const SWEPT_AT_ONCE: usize = 64;

impl Store {
    pub(crate) async fn admin(&self, change: Admin) -> Result<Head, Error> {
        self.check_open()?;
        match change {
            Admin::Purge(topic) => self.purge(topic).await,
            Admin::TruncateBefore(topic, offset) => self.truncate(topic, offset).await,
        }
        .map_err(Failure::of_log)
    }

    async fn purge(&self, topic: TopicKey) -> Result<Head, Failure> {
        let passing = self.passing(&topic);
        let names = self.names(&topic, passing);
        let (command, channel) = self.announcing(&names);
        let epoch = Epoch::generate();
        let keys = [names.head.clone(), names.log.clone(), self.due(names.partition), self.floor(names.partition)];
        let make = |_: &_| {
            let mut call = scripts::PURGE.with(&keys);
            call.arg(epoch.as_u32()).arg(&names.flat).arg(&channel).arg(command).arg(self.lifetime(passing));
            vec![call]
        };
        self.servers.call(Operation::Admin, names.partition, true, make).await?;
        let head = Head::empty(epoch);
        if let Voice::Local(announce) = &self.voice {
            announce.reset(&Reset { topic, head });
        }
        Ok(head)
    }

    async fn truncate(&self, topic: TopicKey, offset: u64) -> Result<Head, Failure> {
        let names = self.names(&topic, false);
        let make = |_: &_| {
            let mut trim = redis::cmd("XTRIM");
            trim.arg(&names.log).arg("MINID").arg(offset);
            vec![trim]
        };
        self.servers.call(Operation::Admin, names.partition, true, make).await?;
        let heads = self.heads(&[topic]).await.map_err(|error| Failure::Unavailable(error.to_string()))?;
        heads.first().copied().ok_or(Failure::Garbled("heads"))
    }

    /// Removes what is too old of the topics that are due. Every node does; who comes second finds nothing.
    pub(crate) async fn sweep(&self) -> Result<u64, Error> {
        self.check_open()?;
        let removed = try_join_all(Partition::all().map(|partition| self.sweep_partition(partition))).await;
        Ok(removed.map_err(Failure::of_log)?.into_iter().sum())
    }

    async fn sweep_partition(&self, partition: Partition) -> Result<u64, Failure> {
        let due = self.due(partition);
        let now = self.clock.now().as_micros();
        let mut removed = 0;
        loop {
            let make = |_: &_| {
                let mut list = redis::cmd("ZRANGEBYSCORE");
                list.arg(&due).arg("-inf").arg(format!("({now}")).arg("LIMIT").arg(0).arg(SWEPT_AT_ONCE);
                vec![list]
            };
            let answer = self.servers.call(Operation::Sweep, partition, true, make).await?;
            let Some(Value::Array(topics)) = answer.first() else { return Err(Failure::Garbled("sweep")) };
            let sweeps = topics.iter().filter_map(answers::bytes).map(|flat| self.sweep_topic(partition, flat, now));
            removed += try_join_all(sweeps).await?.into_iter().sum::<u64>();
            if topics.len() < SWEPT_AT_ONCE {
                return Ok(removed);
            }
        }
    }

    async fn sweep_topic(&self, partition: Partition, flat: &[u8], now: i64) -> Result<u64, Failure> {
        let (tenant, topic) = split(flat);
        let key = |kind, name| self.servers.keys.key(partition, kind, name);
        let keys = [key("h", flat), key("l", flat), self.due(partition), key("t", tenant), self.floor(partition)];
        let memory = self.options.topic_memory.get().as_micros();
        let make = |_: &_| {
            let mut call = scripts::SWEEP.with(&keys);
            call.arg(now).arg(flat).arg(topic).arg(memory.to_string());
            vec![call]
        };
        let answer = self.servers.call(Operation::Sweep, partition, true, make).await?;
        answer.first().and_then(answers::unsigned).ok_or(Failure::Garbled("sweep"))
    }
}
