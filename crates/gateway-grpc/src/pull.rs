//! `Events.Pull`: a batch of one topic, for a consumer with a name or for whoever keeps its own place.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use fanfare_bus::{Budget, Delivery, Ended, Reader, State};
use fanfare_consumer as consumer;
use fanfare_dialect_proto as dialect;
use fanfare_model::{Gap, Kind, Position, StartFrom, Tag, Topic, TopicKey};
use fanfare_proto::v1;
use fanfare_session::{From, access};

use crate::call::Call;
use crate::consumers;
use crate::fault::Fault;
use crate::gateway::Gateway;
use crate::paging::needed;

/// How many events are given to a client that does not say how many.
const LIMIT: usize = 100;

pub(crate) async fn pull(call: Call, request: v1::PullRequest) -> Result<v1::PullResponse, Fault> {
    let topic: Topic = needed("topic", &request.topic)?;
    let most = call.gateway.options.pull_events_max;
    let limit = match request.limit as usize {
        0 => LIMIT.min(most),
        limit if limit <= most => limit,
        limit => return Err(Fault::field("limit", format_args!("is {limit}; it may be 1 to {most}"))),
    };
    let wait = Duration::from_millis(request.wait_ms.into()).min(call.gateway.options.pull_wait_max.get());
    if request.consumer.is_empty() {
        let from = begin(&request)?;
        return Anonymous { call: &call, topic: &topic, limit, wait }.pull(from).await;
    }
    if request.from.is_some() || request.after.is_some() {
        return Err(Fault::field("consumer", "keeps its own place; use `Seek` to move it"));
    }
    consumers::authorize(&call, &topic)?;
    let pull = consumer::Pull {
        topic: TopicKey::new(call.principal.tenant.clone(), topic.clone()),
        consumer: needed("consumer", &request.consumer)?,
        limit,
        wait,
        lease: Duration::from_millis(request.lease_ms.into()),
    };
    let leased = call.gateway.node.consumers.pull(pull).await.map_err(|error| Fault::from(error).of(&topic))?;
    Ok(v1::PullResponse {
        events: leased.events.iter().map(Arc::as_ref).map(v1::Event::from).collect(),
        gap: leased.gap.map(|gap| v1::Gap::new(&topic, gap, leased.position)),
        position: leased.position.to_string(),
        more: leased.more,
        lease: leased.lease.map(|lease| lease.to_string()).unwrap_or_default(),
        deliveries: leased.deliveries,
    })
}

/// Where to begin.
enum Begin {
    From(From),
    /// After this offset of the log's present life.
    After(u64),
}

fn begin(request: &v1::PullRequest) -> Result<Begin, Fault> {
    match (&request.from, request.after) {
        (Some(_), Some(_)) => Err(Fault::field("after", "stands beside `from`; give only one of them")),
        (None, Some(offset)) => Ok(Begin::After(offset)),
        (from, None) => dialect::from(from.clone()).map(Begin::From).map_err(|invalid| Fault::field("from", invalid)),
    }
}

/// A pull of one who keeps its own place: a subscription that lasts until there is something.
struct Anonymous<'a> {
    call: &'a Call,
    topic: &'a Topic,
    limit: usize,
    wait: Duration,
}

/// What was found.
#[derive(Default)]
struct Found {
    events: Vec<v1::Event>,
    gap: Option<(Gap, Position)>,
    ended: Option<Ended>,
}

impl Anonymous<'_> {
    async fn pull(&self, begin: Begin) -> Result<v1::PullResponse, Fault> {
        let Call { gateway, principal, .. } = self.call;
        let start = match begin {
            Begin::From(from) => from.for_topic(self.topic, true),
            Begin::After(offset) => {
                let head = self.head(gateway).await?;
                StartFrom::After(Position { offset, tag: Tag::NONE, ..head })
            }
        };
        let subscribe = access::subscribe(principal, self.topic.clone(), start, None)
            .map_err(|refusal| Fault::from(refusal).of(self.topic))?;
        let mut reader = gateway.node.bus.reader();
        let subscribed = reader.subscribe(subscribe).await.map_err(fanfare_bus::Error::from)?;
        let mut position = subscribed.position;
        let gap = subscribed.gap.map(|gap| (gap, position));
        let mut found = Found { gap, ..Found::default() };
        // What is there already is worth its time; a gap is told at once.
        let wait = match subscribed.state {
            State::Replaying => gateway.options.call_timeout.get(),
            State::Live if found.gap.is_some() => Duration::ZERO,
            State::Live => self.wait,
        };
        let bytes = gateway.options.page_bytes_max.as_usize();
        tokio::select! {
            () = self.gather(&mut reader, bytes, &mut found, &mut position) => {}
            // Then there is nothing, which is an answer as well.
            () = tokio::time::sleep(wait) => {}
            () = gateway.node.life.soft().cancelled() => {}
        }
        if found.events.is_empty() && found.gap.is_none() {
            match found.ended {
                Some(Ended::Unavailable) => {
                    return Err(Fault::new(Kind::Unavailable, "the log cannot be read now").of(self.topic));
                }
                Some(Ended::Slow) | None => {}
            }
        }
        let head = self.head(gateway).await?;
        Ok(v1::PullResponse {
            more: head.epoch == position.epoch && head.offset > position.offset,
            events: found.events,
            gap: found.gap.map(|(gap, position)| v1::Gap::new(self.topic, gap, position)),
            position: position.to_string(),
            lease: String::new(),
            deliveries: Vec::new(),
        })
    }

    async fn head(&self, gateway: &Gateway) -> Result<Position, Fault> {
        let key = TopicKey::new(self.call.principal.tenant.clone(), self.topic.clone());
        let heads = gateway.node.bus.heads(vec![key]).await?;
        let head = heads.first().ok_or_else(|| Fault::new(Kind::Unavailable, "the log gave no head for this topic"))?;
        Ok(head.last)
    }

    /// Takes what there is, up to the limits, and waits for the first if there is nothing.
    async fn gather(&self, reader: &mut Reader, bytes: usize, found: &mut Found, position: &mut Position) {
        let mut taken = 0;
        poll_fn(|cx| {
            loop {
                let (left, room) = (self.limit.saturating_sub(found.events.len()), bytes.saturating_sub(taken));
                if left == 0 || room == 0 || found.ended.is_some() {
                    return Poll::Ready(());
                }
                let mut deliveries = Vec::new();
                if reader.poll(cx, Budget { deliveries: left, bytes: room }, &mut deliveries).is_pending() {
                    let something = !found.events.is_empty() || found.gap.is_some();
                    return if something { Poll::Ready(()) } else { Poll::Pending };
                }
                // A page of the log may have more: the position covers only what is given.
                for delivery in deliveries {
                    if found.events.len() == self.limit || taken >= bytes {
                        return Poll::Ready(());
                    }
                    match delivery {
                        Delivery::Event { entry, .. } => {
                            taken += entry.event.draft.data.bytes().len();
                            *position = entry.event.position();
                            found.events.push((&*entry.event).into());
                        }
                        // One that comes after events is told by the next pull.
                        Delivery::Gap { gap, position: at, .. } if found.events.is_empty() => {
                            found.gap = Some((gap, at));
                            *position = at;
                        }
                        Delivery::Gap { .. } => return Poll::Ready(()),
                        Delivery::Ended { why, .. } => found.ended = Some(why),
                    }
                }
            }
        })
        .await;
    }
}
