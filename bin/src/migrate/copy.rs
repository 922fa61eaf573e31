//! Writing what is there to where it shall be.

use std::sync::Arc;

use fanfare_bus::{Append, TopicsQuery};
use fanfare_history::Stretch;
use fanfare_model::{Draft, Event, Tenant, TopicKey};

use super::Moved;
use super::progress::Progress;
use super::walk::Walk;
use crate::failure::{Code, Failure};
use crate::serve::engine::{Kept, Restoring};

/// How many topics are listed at a time.
const TOPICS_MAX: usize = 1000;
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
        for topic in topics {
            match self.topic(topic).await? {
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
        let mut walk = Walk::from(self.from, topic, 0);
        let mut count = 0;
        loop {
            let (events, head) = walk.page().await?;
            count += u64::try_from(events.len()).unwrap_or(u64::MAX);
            match self.to {
                To::Restoring(to) => {
                    let stretch = Stretch { topic: topic.clone(), keep: Arc::clone(&policy.keep), head, events };
                    to.restore(stretch).await?;
                }
                To::Anew(to) => publish(to, &events).await?,
            }
            if !walk.has_more() {
                return Ok(Some(count));
            }
        }
    }
}

/// Publishes events of one topic again, in their order.
async fn publish(to: &Kept, events: &[Arc<Event>]) -> Result<(), Failure> {
    for batch in events.chunks(BATCH) {
        let append = |event: &Arc<Event>| {
            let keep = Arc::clone(&to.policies.of(&event.topic.topic).keep);
            Append { topic: event.topic.clone(), draft: as_of_then(event), keep }
        };
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
