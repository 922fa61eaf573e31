//! The hub's log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fanfare_history::{Admin, Append, Appended, Capabilities, Error, Head, Log, Page, Read, TopicPage, TopicsQuery};
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_model::TopicKey;
use fanfare_proto::engine as proto;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::oneshot;
use tonic::Status;

use super::link::Link;
use crate::metrics::Service;
use crate::wire::refusal::{log_error, to_log};
use crate::wire::{self, log as form};

/// What a message has around the data of an event, at most, but for its headers, which count as data.
const APPEND_BYTES: usize = 1024;

pub(super) struct RemoteLog {
    appending: Arc<Appending>,
    closed: AtomicBool,
    life: Lifecycle,
}

/// What an append needs.
struct Appending {
    link: Arc<Link>,
    capabilities: Capabilities,
}

impl RemoteLog {
    pub(super) fn new(link: Arc<Link>, capabilities: Capabilities, life: Lifecycle) -> Self {
        Self { appending: Arc::new(Appending { link, capabilities }), closed: AtomicBool::new(false), life }
    }

    fn link(&self) -> &Link {
        &self.appending.link
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// `call`, unless this is closed.
    fn unless_closed<'a, T: Send + 'a>(
        &self,
        call: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, Error>> {
        if self.is_closed() { ready(Err(Error::Closed)).boxed() } else { call.boxed() }
    }
}

impl Appending {
    /// In as few messages as hold it, one after the other, so that its order is kept.
    async fn append(&self, batch: Vec<Append>) -> Vec<Result<Appended, Error>> {
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut rest = &batch[..];
        while !rest.is_empty() {
            let (part, next) = rest.split_at(part_of(rest, self.link.batch_bytes_max()));
            rest = next;
            outcomes.extend(self.append_part(part).await);
        }
        outcomes
    }

    /// What is larger than any engine would take does not travel.
    async fn append_part(&self, part: &[Append]) -> Vec<Result<Appended, Error>> {
        let size_max = self.capabilities.event_bytes_max;
        if let [Append { draft, .. }] = part
            && draft.size() > size_max
        {
            return vec![Err(Error::TooLarge { size: draft.size(), size_max })];
        }
        let mut engine = self.link.engine();
        let answer = self.link.answer(Service::Publish, engine.publish(form::publish(part))).await;
        let failed = |status: &Status| part.iter().map(|_| Err(log_error(status.clone()))).collect();
        match answer {
            Ok(response) if response.outcomes.len() == part.len() => response.outcomes.iter().map(outcome).collect(),
            Ok(_) => failed(&wire::Malformed("number of outcomes").into()),
            Err(status) => failed(&status),
        }
    }
}

/// How many of the first appends go into one message: at least one.
fn part_of(batch: &[Append], bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = batch.iter().take_while(|append| {
        bytes += append.draft.size() + APPEND_BYTES;
        bytes <= bytes_max
    });
    fits.count().max(1)
}

fn outcome(outcome: &proto::Outcome) -> Result<Appended, Error> {
    match &outcome.what {
        Some(proto::outcome::What::Appended(appended)) => Ok(form::to_appended(appended)?),
        Some(proto::outcome::What::Refusal(refusal)) => Err(to_log(refusal)),
        None => Err(wire::Malformed("outcome").into()),
    }
}

impl Log for RemoteLog {
    fn capabilities(&self) -> Capabilities {
        self.appending.capabilities
    }

    fn append(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        if self.is_closed() {
            return ready(batch.iter().map(|_| Err(Error::Closed)).collect()).boxed();
        }
        // A task of its own: a call that is dropped would be taken back on the way.
        let (answer, answered) = oneshot::channel();
        let (appending, unanswered) = (Arc::clone(&self.appending), batch.len());
        self.life.spawn(TaskKind::Background, "publish to the hub", async move {
            // An error: nobody waits for it any more.
            let _ = answer.send(appending.append(batch).await);
        });
        let stopped = move |_| (0..unanswered).map(|_| Err(Error::Closed)).collect();
        answered.map(move |outcomes| outcomes.unwrap_or_else(stopped)).boxed()
    }

    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        self.unless_closed(async move {
            let count = topics.len();
            let request = proto::HeadsRequest { topics: topics.iter().map(wire::topic).collect() };
            let mut engine = self.link().engine();
            let response = self.link().answer(Service::Log, engine.heads(request)).await.map_err(log_error)?;
            if response.heads.len() != count {
                return Err(wire::Malformed("number of heads").into());
            }
            Ok(response.heads.into_iter().map(|head| form::to_head(Some(head))).collect::<Result<_, _>>()?)
        })
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        self.unless_closed(async move {
            let mut engine = self.link().engine();
            // A page beyond what a message holds would not arrive.
            let read = Read { bytes_max: read.bytes_max.min(self.link().batch_bytes_max()), ..read };
            let response = self.link().answer(Service::Log, engine.read(form::read(&read))).await.map_err(log_error)?;
            Ok(form::to_page(&read.topic, &response)?)
        })
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        self.unless_closed(async move {
            let mut engine = self.link().engine();
            let response =
                self.link().answer(Service::Log, engine.topics(form::topics(&query))).await.map_err(log_error)?;
            Ok(form::to_topic_page(response)?)
        })
    }

    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        self.unless_closed(async move {
            let mut engine = self.link().engine();
            let head =
                self.link().answer(Service::Log, engine.change(form::change(&change))).await.map_err(log_error)?;
            Ok(form::to_head(Some(head))?)
        })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        self.unless_closed(async move {
            let mut engine = self.link().engine();
            let swept =
                self.link().answer(Service::Log, engine.sweep(proto::SweepRequest {})).await.map_err(log_error)?;
            Ok(swept.removed)
        })
    }

    /// What was answered is stored as it was to be; the hub closes its log itself.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.closed.store(true, Ordering::Release);
        ready(Ok(())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use fanfare_history::Keep;
    use fanfare_model::{Data, Draft, Tenant, Topic};

    use super::*;

    #[test]
    fn a_batch_is_parted_by_size_and_one_event_is_always_sent() {
        let topic = TopicKey::new(Tenant::default(), Topic::new("a").unwrap());
        let append = |bytes: usize| Append {
            topic: topic.clone(),
            draft: Draft::new(Data::binary(vec![0; bytes])),
            keep: Arc::new(Keep::default()),
        };
        let batch = [append(1000), append(1000), append(9000)];
        assert_eq!(part_of(&batch, 100_000), 3);
        assert_eq!(part_of(&batch, 5000), 2);
        assert_eq!(part_of(&batch[2..], 5000), 1);
    }
}
