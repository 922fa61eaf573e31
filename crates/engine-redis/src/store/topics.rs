//! Lists of topics: every partition has a sorted index of its own of each tenant, and a page is a merge of their pages.

use fanfare_history::{Error, TopicPage, TopicsQuery};
use fanfare_model::{Topic, TopicKey};
use futures_util::future::try_join_all;
use redis::Value;

use super::Store;
use crate::answers;
use crate::error::Failure;
use crate::keys::Partition;
use crate::metrics::Operation;

impl Store {
    pub(crate) async fn topics(&self, query: TopicsQuery) -> Result<TopicPage, Error> {
        self.check_open()?;
        let from = match &query.after {
            Some(after) if after.as_str() >= query.prefix.as_str() => [b"(", after.as_str().as_bytes()].concat(),
            _ if query.prefix.is_empty() => b"-".to_vec(),
            _ => [b"[", query.prefix.as_bytes()].concat(),
        };
        // No text has this byte, so that what begins with the prefix sorts before it.
        let to = match query.prefix.as_str() {
            "" => b"+".to_vec(),
            prefix => [b"(", prefix.as_bytes(), b"\xff"].concat(),
        };
        let wanted = query.limit + 1;
        let lists = Partition::all().map(|partition| {
            let key = self.servers.keys.key(partition, "t", query.tenant.as_str().as_bytes());
            let (from, to) = (&from, &to);
            async move {
                let make = |_: &_| {
                    let mut list = redis::cmd("ZRANGEBYLEX");
                    list.arg(&key).arg(from).arg(to).arg("LIMIT").arg(0).arg(wanted);
                    vec![list]
                };
                self.servers.call(Operation::Topics, partition, true, make).await
            }
        });
        let lists = try_join_all(lists).await.map_err(Failure::of_log)?;
        let mut found = Vec::new();
        for list in lists {
            let Some(Value::Array(names)) = list.into_iter().next() else {
                return Err(Failure::Garbled("topics").of_log());
            };
            let topic = |name: &Value| Topic::from_stored(answers::text(name)?).ok();
            found.extend(names.iter().filter_map(topic));
        }
        found.sort_unstable();
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let keys: Vec<_> = found.iter().map(|topic| TopicKey::new(query.tenant.clone(), topic.clone())).collect();
        let heads = self.heads(&keys).await?;
        Ok(TopicPage { topics: found.into_iter().zip(heads).collect(), more })
    }
}
