//! The handle that the rest of Fanfare holds.

use std::sync::Arc;
use std::time::Duration;

use fanfare_history::{Admin, Append, Appended, Capabilities, Head, Page, Read, TopicPage, TopicsQuery};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::{Clock, Data, Draft, EventId, EventName, Tenant, Topic, TopicKey};
use futures_util::future::BoxFuture;
use metrics::counter;

use crate::broker::SharedBroker;
use crate::error::Error;
use crate::hub::Hub;
use crate::policy::Policy;
use crate::reader::Reader;
use crate::rules::DeadLetter;
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
            let comparing = async {
                loop {
                    if let Err(error) = hub.compare_silent().await {
                        tracing::warn!(error = %error, "heads could not be compared");
                        tokio::time::sleep(every).await;
                    }
                }
            };
            tokio::select! {
                () = comparing => {}
                () = stop.cancelled() => {}
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
        check(self.policy(topic), topic, draft)
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
            if let Err(error) = check(&policy, &topic, &draft) {
                counter!(names::PUBLISH_FAILED, "code" => error.code()).increment(1);
                if let Error::Payload { reason, at } = &error {
                    let topic = TopicKey::new(tenant.clone(), topic);
                    let at = at.as_deref();
                    let letter = DeadLetter { topic: &topic, draft: &draft, position: None, reason, at };
                    self.bury_refused(letter).await;
                }
                return Err(Refused { index, error });
            }
            appends.push(Append { keep: Arc::clone(&policy.keep), topic: TopicKey::new(tenant.clone(), topic), draft });
            known = Some(policy);
        }
        Ok(self.count(self.broker.publish(appends).await))
    }

    /// Where events of a topic go that are refused or that nobody could work off; what comes from there stays there.
    pub fn dead_letter_topic(&self, topic: &Topic) -> Option<&Topic> {
        self.policy(topic).dead_letter.as_ref().filter(|to| *to != topic)
    }

    /// Keeps an event in the dead-letter topic of its policy, under an id that the caller chooses: a letter with an id that
    /// is there already is kept once. Whether it is kept: not if the policy names no such topic, or it is too large there.
    /// The rules of that topic do not apply to letters.
    pub async fn bury(&self, id: EventId, letter: DeadLetter<'_>) -> Result<bool, Error> {
        let Some(to) = self.dead_letter_topic(&letter.topic.topic) else { return Ok(false) };
        let policy = self.policy(to);
        let kept = match letter.into_draft(&id, policy.event_bytes_max) {
            None => Ok(false),
            Some(draft) => {
                let topic = TopicKey::new(letter.topic.tenant.clone(), to.clone());
                let append = Append { topic, draft, keep: Arc::clone(&policy.keep) };
                let mut answers = self.broker.publish(vec![append]).await;
                match answers.pop().unwrap_or(Err(fanfare_history::Error::Closed)) {
                    // The engine takes less than the policy allows.
                    Err(fanfare_history::Error::TooLarge { .. }) => Ok(false),
                    answer => answer.map(|_| true),
                }
            }
        };
        let outcome = if matches!(kept, Ok(true)) { "kept" } else { "lost" };
        counter!(names::DEAD_LETTERS, "outcome" => outcome).increment(1);
        Ok(kept?)
    }

    /// Boxed, because it is rare, and publishing should stay a small future.
    fn bury_refused<'a>(&'a self, letter: DeadLetter<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            // The publisher has its answer in any case; what is wrong with the dead-letter topic is not its affair.
            if let Err(error) = self.bury(EventId::generate(), letter).await {
                tracing::warn!(error = %error, "a refused event could not be kept in its dead-letter topic");
            }
        })
    }

    /// Announces something about `topic` to whoever reads its companion ([`Topic::signals`]) now: an event named `name`
    /// that is never stored. Order is kept per topic; dropping the future does not undo it.
    pub async fn signal(&self, tenant: &Tenant, topic: &Topic, name: &'static str, data: Data) -> Result<(), Error> {
        let companion = topic.signals();
        let keep = Arc::clone(&self.policy(&companion).keep);
        let name = EventName::new(name).expect("a word of the program");
        let draft = Draft { name: Some(name), ..Draft::new(data) };
        let append = Append { topic: TopicKey::new(tenant.clone(), companion), draft, keep };
        self.hub.handles.signals.increment(1);
        let mut answers = self.broker.publish(vec![append]).await;
        answers.pop().unwrap_or(Err(fanfare_history::Error::Closed))?;
        Ok(())
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
        Ok(Arc::unwrap_or_clone(self.hub.read(read).await?))
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

fn check(policy: &Policy, topic: &Topic, draft: &Draft) -> Result<(), Error> {
    check_size(policy, topic, draft)?;
    match &policy.payload {
        // What the server itself says of a topic (who joined it) is not what its rules are about.
        Some(rules) if !is_own(draft) => rules.check(draft),
        _ => Ok(()),
    }
}

/// Whether the name is one that no publisher may use.
fn is_own(draft: &Draft) -> bool {
    draft.name.as_ref().is_some_and(|name| name.as_str().starts_with("fanfare."))
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
