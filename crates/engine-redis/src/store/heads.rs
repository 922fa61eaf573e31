//! The ends of logs.

use std::collections::BTreeMap;

use fanfare_history::{Error, Head};
use fanfare_model::TopicKey;
use futures_util::future::try_join_all;
use redis::Value;

use super::{Names, Store, random};
use crate::answers;
use crate::error::Failure;
use crate::keys::Partition;
use crate::metrics::Operation;
use crate::scripts;

/// Topics of one call: no script holds up the server for long.
const TOPICS_PER_CALL: usize = 256;

impl Store {
    /// The heads of `topics`, in their order.
    pub(crate) async fn heads(&self, topics: &[TopicKey]) -> Result<Vec<Head>, Error> {
        self.check_open()?;
        let mut by_partition: BTreeMap<(Partition, bool), Vec<(usize, Names)>> = BTreeMap::new();
        for (index, topic) in topics.iter().enumerate() {
            let passing = self.passing(topic);
            let names = self.names(topic, passing);
            by_partition.entry((names.partition, passing)).or_default().push((index, names));
        }
        let calls = by_partition.iter().flat_map(|((partition, passing), names)| {
            names.chunks(TOPICS_PER_CALL).map(move |names| async move {
                let found = self.heads_of(*partition, *passing, names).await?;
                Ok(names.iter().map(|(index, _)| *index).zip(found).collect::<Vec<_>>())
            })
        });
        let found: Vec<Vec<(usize, Head)>> = try_join_all(calls).await.map_err(Failure::of_log)?;
        let mut heads: Vec<(usize, Head)> = found.into_iter().flatten().collect();
        heads.sort_unstable_by_key(|(index, _)| *index);
        Ok(heads.into_iter().map(|(_, head)| head).collect())
    }

    async fn heads_of(
        &self,
        partition: Partition,
        passing: bool,
        names: &[(usize, Names)],
    ) -> Result<Vec<Head>, Failure> {
        let mut keys = vec![self.born(partition)];
        for (_, names) in names {
            keys.push(names.head.clone());
            keys.push(names.log.clone());
        }
        let make = |_: &_| {
            let mut call = scripts::HEADS.with(&keys);
            call.arg(random()).arg(self.lifetime(passing));
            for (_, names) in names {
                call.arg(&names.flat);
            }
            vec![call]
        };
        let answer = self.servers.call(Operation::Heads, partition, true, make).await?;
        let Some(Value::Array(heads)) = answer.first() else { return Err(Failure::Garbled("heads")) };
        let heads: Option<Vec<_>> = heads.iter().map(answers::head).collect();
        heads.filter(|heads| heads.len() == names.len()).ok_or(Failure::Garbled("heads"))
    }
}
