//! Writing what is there to where it shall be.

use std::sync::Arc;

use fanfare_bus::{Append, TopicsQuery};
use fanfare_history::{Keep, Stretch};
use fanfare_model::{Draft, Event, Tenant, TopicKey};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::Moved;
use super::progress::Progress;
use super::walk::{self, Walk};
use crate::failure::{Code, Failure};
use crate::serve::engine::{Kept, Restoring};

/// How many topics are listed at a time.
const TOPICS_MAX: usize = 1000;
/// How many topics are moved at a time: enough that neither engine waits for the other, and 16 pages fit into memory.
pub(super) const TOPICS_AT_ONCE: usize = 16;
/// How many events are published at once.
const BATCH: usize = 200;

/// From one engine to another.
pub(super) struct Copy<'a> {
    from: &'a Kept,
    to: To<'a>,
}

enum To<'a> {
    /// Every event as it was: epoch, offset, time and id.
    Restoring(&'a Restoring),
    /// Every event published again.
    Anew(&'a Kept),
}

impl<'a> Copy<'a> {
    pub(super) fn as_it_was(from: &'a Kept, to: &'a Restoring) -> Self {
        Self { from, to: To::Restoring(to) }
    }

    pub(super) fn anew(from: &'a Kept, to: &'a Kept) -> Self {
        Self { from, to: To::Anew(to) }
    }

    pub(super) async fn topics(&self, topics: &[TopicKey], progress: &Progress) -> Result<Moved, Failure> {
        let mut moved = Moved::default();
        let mut copying = stream::iter(topics).map(|topic| self.topic(topic)).buffer_unordered(TOPICS_AT_ONCE);
        while let Some(copied) = copying.try_next().await? {
            match copied {
                Some(events) => {
                    moved.topics += 1;
                    moved.events += events;
                }
                None => moved.skipped += 1,
            }
            progress.topic();
        }
        Ok(moved)
    }

    /// How many events were moved; `None` if the new policy keeps none.
    async fn topic(&self, topic: &TopicKey) -> Result<Option<u64>, Failure> {
        let policies = match self.to {
            To::Restoring(to) => &to.policies,
            To::Anew(to) => &to.policies,
        };
        let policy = policies.of(&topic.topic);
        if !policy.history {
            return Ok(None);
        }
        let moved = match self.to {
            To::Restoring(to) => self.restore(to, topic, &policy.keep).await,
            To::Anew(to) => self.publish_anew(to, topic).await,
        };
        moved.map(Some)
    }

    async fn restore(&self, to: &Restoring, topic: &TopicKey, keep: &Arc<Keep>) -> Result<u64, Failure> {
        let mut walk = Walk::from(self.from, topic, 0);
        let mut count = 0;
        loop {
            let (events, head) = walk.page().await?;
            count += events.len() as u64;
            to.restore(Stretch { topic: topic.clone(), keep: Arc::clone(keep), head, events }).await?;
            if !walk.has_more() {
                return Ok(count);
            }
        }
    }

    /// Goes on after what an earlier move has published: the engine knows ids for some minutes only.
    async fn publish_anew(&self, to: &Kept, topic: &TopicKey) -> Result<u64, Failure> {
        let mut published = walk::last(to, topic).await?.map(|last| last.draft.id.clone());
        let mut walk = Walk::from(self.from, topic, 0);
        let mut count = 0;
        while walk.has_more() {
            let mut events = walk.page().await?.0;
            count += events.len() as u64;
            if let Some(id) = &published {
                let found = events.iter().position(|event| event.draft.id == *id);
                events.drain(..found.map_or(events.len(), |at| at + 1));
                published = published.filter(|_| found.is_none());
            }
            publish(to, topic, events.iter().map(|event| as_of_then(event)).collect()).await?;
        }
        if published.is_some() {
            let TopicKey { tenant, topic } = topic;
            let text = format!("the topic `{topic}` of the tenant `{tenant}` has another log in the new engine");
            return Err(Failure::new(Code::MoveFailed, text));
        }
        Ok(count)
    }
}

/// Publishes events of one topic, in their order.
pub(super) async fn publish(to: &Kept, topic: &TopicKey, drafts: Vec<Draft>) -> Result<(), Failure> {
    let keep = &to.policies.of(&topic.topic).keep;
    for batch in drafts.chunks(BATCH) {
        let append = |draft: &Draft| Append { topic: topic.clone(), draft: draft.clone(), keep: Arc::clone(keep) };
        for outcome in to.broker.publish(batch.iter().map(append).collect()).await {
            outcome.map_err(|error| to.failed("publish to", error))?;
        }
    }
    Ok(())
}

/// When it was appended there is when it happened here, unless its publisher said so.
pub(super) fn as_of_then(event: &Event) -> Draft {
    let mut draft = event.draft.clone();
    draft.occurred_at.get_or_insert(event.time);
    draft
}

/// Every topic of a tenant.
pub(super) async fn listed(kept: &Kept, tenant: &Tenant) -> Result<Vec<TopicKey>, Failure> {
    let mut topics = Vec::new();
    let mut after = None;
    loop {
        let query = TopicsQuery { tenant: tenant.clone(), prefix: String::new(), after, limit: TOPICS_MAX };
        let page = kept.broker.topics(query).await.map_err(|error| kept.failed("list the topics of", error))?;
        after = page.topics.last().map(|(topic, _)| topic.clone());
        topics.extend(page.topics.into_iter().map(|(topic, _)| TopicKey::new(tenant.clone(), topic)));
        if !page.more || after.is_none() {
            return Ok(topics);
        }
    }
}

/// Whether anything was ever appended to a topic.
pub(super) async fn was_written(kept: &Kept, topic: &TopicKey) -> Result<bool, Failure> {
    let heads = kept.broker.heads(vec![topic.clone()]).await.map_err(|error| kept.failed("read", error))?;
    let head = heads.first().ok_or_else(|| Failure::new(Code::EngineUnusable, "the engine told no head"))?;
    Ok(head.last.offset > 0)
}
