//! The progress of consumers: the last message of a subject each, replaced by compare-and-swap of its place in the stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::header::{HeaderMap, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_trait::async_trait;
use fanfare_consumer::{Cursors, Error, Key, ListPage, ListQuery, Name, Progress, Swap, Swapped, Version};
use fanfare_model::{Tenant, Topic};

use crate::error::{Fault, code};
use crate::gets::{BATCH_MAX, Get};
use crate::life::Stream;
use crate::link::Link;
use crate::metrics::Operation;
use crate::options::Options;
use crate::stream::{self, Ack, Wanted};
use crate::token;

/// [`Cursors`] in a stream.
pub(crate) struct NatsCursors {
    link: Arc<Link>,
    stream: String,
    /// What subjects begin with, the last dot included.
    subject: String,
    consumers_max: usize,
    closed: AtomicBool,
}

impl NatsCursors {
    pub(crate) async fn open(
        link: Arc<Link>,
        options: &Options,
        consumers_max: usize,
    ) -> Result<Arc<Self>, crate::Error> {
        let (stream, subject) = (format!("{}-cursors", options.prefix), format!("{}.cursor.", options.prefix));
        Stream::open(&link, Wanted::records(stream.clone(), format!("{subject}>"), options.replicas)).await?;
        Ok(Arc::new(Self { link, stream, subject, consumers_max, closed: AtomicBool::new(false) }))
    }

    fn of_tenant(&self, tenant: &Tenant) -> String {
        format!("{}{}.", self.subject, token::of(tenant.as_str()))
    }

    fn subject_of(&self, key: &Key) -> String {
        let tenant = self.of_tenant(&key.tenant);
        format!("{tenant}{}.{}", token::of(key.consumer.as_str()), token::of(key.topic.as_str()))
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    async fn is_full(&self, tenant: &Tenant) -> Result<bool, Fault> {
        let filter = format!("{}>", self.of_tenant(tenant));
        Ok(stream::subjects(&self.link, &self.stream, &filter).await?.len() >= self.consumers_max)
    }

    async fn put(&self, subject: &str, expected: Option<Version>, progress: &Progress) -> Result<Swapped, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.map_or(0, |version| version.0).to_string());
        // Should the answer be lost, the same is asked again, and done once.
        headers.insert(NATS_MESSAGE_ID, self.link.client.new_inbox().as_str());
        let body = progress.to_json();
        match self.link.ask(Operation::Store, subject, Some(&headers), body.into()).await {
            Ok(answer) => {
                let ack: Ack = serde_json::from_value(answer).map_err(|error| Fault::Garbled(error.to_string()))?;
                Ok(Swapped::Done(Version(ack.seq)))
            }
            Err(fault) if fault.is(code::WRONG_LAST) || fault.is(code::WRONG_LAST_NOW) => Ok(Swapped::Conflict),
            Err(fault) => Err(fault),
        }
    }
}

fn read(json: &[u8]) -> Result<Progress, Fault> {
    Progress::from_json(json).ok_or_else(|| Fault::Garbled("the progress of a consumer".to_owned()))
}

#[async_trait]
impl Cursors for NatsCursors {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn survives_restart(&self) -> bool {
        true
    }

    async fn get(&self, key: &Key) -> Result<Option<(Version, Progress)>, Error> {
        self.check_open()?;
        let Some(last) = self.link.last_by_leader(&self.stream, &self.subject_of(key)).await? else { return Ok(None) };
        Ok(Some((Version(last.seq), read(&last.payload)?)))
    }

    async fn swap(&self, swap: Swap) -> Result<Swapped, Error> {
        self.check_open()?;
        let subject = self.subject_of(&swap.key);
        match (swap.expected, swap.progress) {
            (expected, Some(progress)) => {
                if expected.is_none() && self.is_full(&swap.key.tenant).await? {
                    // Only if there is none; else it is the wrong one.
                    let there = self.link.last_by_leader(&self.stream, &subject).await?.is_some();
                    return Ok(if there { Swapped::Conflict } else { Swapped::Full });
                }
                Ok(self.put(&subject, expected, &progress).await?)
            }
            (Some(expected), None) => {
                let last = self.link.last_by_leader(&self.stream, &subject).await?;
                if last.is_none_or(|last| last.seq != expected.0) {
                    return Ok(Swapped::Conflict);
                }
                // Exactly this message: if another took its place meanwhile, it is not there any more.
                let deleted = stream::delete(&self.link, &self.stream, expected.0).await?;
                Ok(if deleted { Swapped::Done(expected) } else { Swapped::Conflict })
            }
            (None, None) => {
                let there = self.link.last_by_leader(&self.stream, &subject).await?.is_some();
                Ok(if there { Swapped::Conflict } else { Swapped::Done(Version(0)) })
            }
        }
    }

    async fn list(&self, query: ListQuery) -> Result<ListPage, Error> {
        self.check_open()?;
        let tenant = self.of_tenant(&query.tenant);
        let part = |text: Option<&str>| text.map_or_else(|| "*".to_owned(), token::of);
        let consumer = part(query.consumer.as_ref().map(Name::as_str));
        let filter = format!("{tenant}{consumer}.{}", part(query.topic.as_ref().map(Topic::as_str)));
        let mut found: Vec<(Name, Topic, String)> = Vec::new();
        for (subject, _) in stream::subjects(&self.link, &self.stream, &filter).await? {
            let names = subject.strip_prefix(&tenant).and_then(|tail| tail.split_once('.'));
            let Some((consumer, topic)) = names.and_then(|(consumer, topic)| {
                Some((Name::new(token::name(consumer)?).ok()?, Topic::from_stored(&token::name(topic)?).ok()?))
            }) else {
                continue;
            };
            let after = query.after.as_ref();
            if after.is_none_or(|(name, at)| (&consumer, &topic) > (name, at)) {
                found.push((consumer, topic, subject));
            }
        }
        found.sort();
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let mut records = Vec::with_capacity(found.len());
        for some in found.chunks(BATCH_MAX) {
            let subjects = some.iter().map(|(.., subject)| subject.as_str()).collect();
            let batch = self.link.get(&self.stream, &Get::last(subjects)).await?;
            // One that was removed meanwhile is not in the list.
            for (consumer, topic, subject) in some {
                if let Some(stored) = batch.messages.iter().find(|stored| stored.subject == *subject) {
                    let (tenant, consumer, topic) = (query.tenant.clone(), consumer.clone(), topic.clone());
                    records.push((Key { tenant, consumer, topic }, read(&stored.payload)?));
                }
            }
        }
        Ok(ListPage { records, more })
    }

    async fn close(&self) -> Result<(), Error> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}
