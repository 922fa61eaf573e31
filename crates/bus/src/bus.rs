//! The handle that the rest of Fanfare holds.

use std::sync::Arc;
use std::time::Duration;

use fanfare_history::{Admin, Append, Appended, Capabilities, Head, Page, Read, TopicPage, TopicsQuery};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Clock, Draft, Tenant, Topic, TopicKey};
use metrics::counter;

use crate::broker::SharedBroker;
use crate::error::Error;
use crate::hub::Hub;
use crate::policy::Policy;
use crate::reader::Reader;
use crate::{metrics as names, worker};

/// A batch that was refused as a whole, because an item cannot be accepted.
#[derive(Debug, thiserror::Error)]
#[error("item {index}: {error}")]
pub struct Refused {
    /// Which item, from 0.
    pub index: usize,
    /// What is wrong with it.
    #[source]
    pub error: Error,
}

/// Publish, open readers, read history. Cheap to clone; each worker has its own, so that readers are opened where
/// they will run.
#[derive(Clone)]
pub struct Bus {
    hub: Arc<Hub>,
    broker: SharedBroker,
    worker: usize,
}

impl Bus {
    /// Joins a hub and the broker that announces to it.
    pub fn new(hub: Arc<Hub>, broker: SharedBroker) -> Self {
        hub.connect(Arc::clone(&broker));
        Self { hub, broker, worker: 0 }
    }

    /// The same bus for another worker.
    #[must_use]
    pub fn on_worker(&self, worker: usize) -> Self {
        assert!(worker < self.hub.inboxes.len(), "the hub was made for fewer workers");
        Self { worker, ..self.clone() }
    }

    /// Starts what this worker does for the hub. Call once per worker, on its runtime.
    pub fn start_worker(&self, life: &Lifecycle) {
        let (hub, stop, inner) = (Arc::clone(&self.hub), life.hard().clone(), life.clone());
        let index = self.worker;
        life.spawn(TaskKind::Critical, "walk readers", async move {
            // It yields by itself, between strides; the runtime's own measure would stop its writes within one.
            let walking = tokio::task::unconstrained(worker::run(hub, index, inner));
            tokio::select! {
                () = walking => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Starts what the node does now and then: forget idle tails, trim by age, compare heads. Call once per node.
    pub fn start_upkeep(&self, life: &Lifecycle, clock: Arc<dyn Clock>) {
        let hub = Arc::clone(&self.hub);
        let stop = life.hard().clone();
        life.spawn(TaskKind::Critical, "sweep tails", async move {
            let every = Duration::from_secs(1);
            while !stopped_within(&stop, every).await {
                hub.sweep(&*clock);
            }
        });
        let (broker, every, stop) =
            (Arc::clone(&self.broker), self.hub.options.retention_interval.get(), life.soft().clone());
        life.spawn(TaskKind::Background, "remove old events", async move {
            while !stopped_within(&stop, every).await {
                if let Err(error) = broker.sweep().await {
                    tracing::warn!(error = %error, "old events could not be removed");
                }
            }
        });
        if self.broker.lossless() {
            return;
        }
        let (hub, every, stop) =
            (Arc::clone(&self.hub), self.hub.options.head_check_interval.get(), life.hard().clone());
        life.spawn(TaskKind::Background, "compare heads", async move {
            while !stopped_within(&stop, every).await {
                if let Err(error) = hub.check_heads().await {
                    tracing::warn!(error = %error, "heads could not be compared");
                }
            }
        });
    }

    /// What the engine can do.
    pub fn capabilities(&self) -> Capabilities {
        self.broker.capabilities()
    }

    /// The policy of a topic.
    pub fn policy(&self, topic: &Topic) -> &Arc<Policy> {
        self.hub.policies.of(topic)
    }

    /// The most events that a subscription may begin before the newest.
    pub fn last_events_max(&self) -> u32 {
        self.hub.options.last_events_max
    }

    /// Whether a draft fits the policy of its topic.
    pub fn check(&self, topic: &Topic, draft: &Draft) -> Result<(), Error> {
        check_size(self.policy(topic), topic, draft)
    }

    /// Publishes a batch to topics of `tenant`. Every item is checked first: if one cannot be accepted nothing is
    /// published. After that an item fails alone, with a reason that may pass. Order within the batch is kept per
    /// topic. Dropping the future does not undo it.
    pub async fn publish(
        &self,
        tenant: &Tenant,
        batch: Vec<(Topic, Draft)>,
    ) -> Result<Vec<Result<Appended, Error>>, Refused> {
        let mut appends: Vec<Append> = Vec::with_capacity(batch.len());
        let mut known: Option<Arc<Policy>> = None;
        for (index, (topic, draft)) in batch.into_iter().enumerate() {
            // Batches are often of one topic: its policy is looked up once.
            let policy = match (known.take(), appends.last()) {
                (Some(policy), Some(before)) if before.topic.topic == topic => policy,
                _ => Arc::clone(self.policy(&topic)),
            };
            check_size(&policy, &topic, &draft).map_err(|error| {
                counter!(names::PUBLISH_FAILED, "code" => error.kind().code()).increment(1);
                Refused { index, error }
            })?;
            appends.push(Append { keep: Arc::clone(&policy.keep), topic: TopicKey::new(tenant.clone(), topic), draft });
            known = Some(policy);
        }
        Ok(self.count(self.broker.publish(appends).await))
    }

    fn count(&self, answers: Vec<Result<Appended, fanfare_history::Error>>) -> Vec<Result<Appended, Error>> {
        let (mut stored, mut duplicate) = (0, 0);
        let counted = answers.into_iter().map(|answer| {
            match &answer {
                Ok(appended) if appended.duplicate => duplicate += 1,
                Ok(_) => stored += 1,
                Err(error) => {
                    tracing::warn!(error = %error, source = error_source(error), "event could not be stored");
                    counter!(names::PUBLISH_FAILED, "code" => error.kind().code()).increment(1);
                }
            }
            answer.map_err(Error::from)
        });
        let counted = counted.collect();
        self.hub.handles.duplicate.increment(duplicate);
        self.hub.handles.stored.increment(stored);
        counted
    }

    /// A reader for one session on this worker.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.hub), self.worker)
    }

    /// Reads history.
    pub async fn read(&self, read: Read) -> Result<Page, Error> {
        Ok(self.broker.read(read).await?)
    }

    /// The heads of topics, in their order.
    pub async fn heads(&self, topics: Vec<TopicKey>) -> Result<Vec<Head>, Error> {
        Ok(self.broker.heads(topics).await?)
    }

    /// Lists topics.
    pub async fn topics(&self, query: TopicsQuery) -> Result<TopicPage, Error> {
        Ok(self.broker.topics(query).await?)
    }

    /// Purges or truncates a topic.
    pub async fn admin(&self, change: Admin) -> Result<Head, Error> {
        Ok(self.broker.admin(change).await?)
    }

    /// Stores everything that waits and refuses more.
    pub async fn close(&self) -> Result<(), Error> {
        Ok(self.broker.close().await?)
    }
}

fn check_size(policy: &Policy, topic: &Topic, draft: &Draft) -> Result<(), Error> {
    let (size, size_max) = (draft.size(), policy.event_bytes_max);
    if size > size_max {
        return Err(Error::EventTooLarge { size, size_max, kind: topic.kind().to_owned() });
    }
    Ok(())
}

fn error_source(error: &fanfare_history::Error) -> String {
    std::error::Error::source(error).map_or_else(String::new, ToString::to_string)
}

async fn stopped_within(stop: &tokio_util::sync::CancellationToken, time: Duration) -> bool {
    tokio::time::timeout(time, stop.cancelled()).await.is_ok()
}
