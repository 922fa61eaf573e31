//! Events, heads, reads and what else crosses the seam of the log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfare_history::{
    Admin, Append, Appended, Capabilities, Direction, Durability, Failover, Head, Keep, Page, Read, ReadFrom, Reset,
    Retention, TimeOf, TopicPage, TopicsQuery, Window, record,
};
use fanfare_model::{Event, Timestamp, TopicKey};
use fanfare_proto::engine as proto;

use super::{Malformed, count, micros, position, to_count, to_epoch, to_name, to_position, to_tenant, to_topic, topic};

/// The name of the engine, for gateways.
const NAME: &str = "remote";

pub(crate) fn head(head: &Head) -> proto::Head {
    let Head { last, first, events, bytes, time } = head;
    proto::Head {
        last: Some(position(*last)),
        first: *first,
        events: *events,
        bytes: *bytes,
        time: time.map(Timestamp::as_micros),
    }
}

pub(crate) fn to_head(head: Option<proto::Head>) -> Result<Head, Malformed> {
    let proto::Head { last, first, events, bytes, time } = head.ok_or(Malformed("head"))?;
    Ok(Head { last: to_position(last)?, first, events, bytes, time: time.map(Timestamp::from_micros) })
}

fn durability(durability: Durability) -> u32 {
    match durability {
        Durability::None => 0,
        Durability::Buffered => 1,
        Durability::Committed => 2,
    }
}

fn to_durability(number: u32) -> Result<Durability, Malformed> {
    match number {
        0 => Ok(Durability::None),
        1 => Ok(Durability::Buffered),
        2 => Ok(Durability::Committed),
        _ => Err(Malformed("durability")),
    }
}

/// What a gateway is told of the hub's engine.
pub(crate) fn hello(capabilities: &Capabilities) -> proto::HelloResponse {
    proto::HelloResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        engine: capabilities.name.to_owned(),
        durability_max: durability(capabilities.durability_max),
        survives_restart: capabilities.survives_restart,
        event_bytes_max: count(capabilities.event_bytes_max),
        dense: capabilities.dense,
        bounds_bytes: capabilities.bounds_bytes,
        truncates: capabilities.truncates,
        window: match capabilities.window {
            Window::PerAppend => None,
            Window::Fixed(span) => Some(micros(span)),
        },
    }
}

/// What the engine of a gateway can do: what that of the hub can, as long as it is one batch.
pub(crate) fn to_capabilities(
    hello: &proto::HelloResponse,
    message_bytes_max: usize,
) -> Result<Capabilities, Malformed> {
    Ok(Capabilities {
        name: NAME,
        durability_max: to_durability(hello.durability_max)?,
        survives_restart: hello.survives_restart,
        failover: Failover::None,
        event_bytes_max: to_count(hello.event_bytes_max).min(message_bytes_max / 2),
        dense: hello.dense,
        retention: Retention::PerAppend,
        bounds_bytes: hello.bounds_bytes,
        truncates: hello.truncates,
        window: hello.window.map_or(Window::PerAppend, |span| Window::Fixed(Duration::from_micros(span))),
        time: TimeOf::Engine,
    })
}

fn keep(keep: &Keep) -> proto::Keep {
    proto::Keep {
        events_max: keep.events_max,
        bytes_max: keep.bytes_max,
        age_max: keep.age_max.map(micros),
        durability: durability(keep.durability),
        window: micros(keep.idempotency_window),
    }
}

fn to_keep(keep: &proto::Keep) -> Result<Keep, Malformed> {
    Ok(Keep {
        events_max: keep.events_max,
        bytes_max: keep.bytes_max,
        age_max: keep.age_max.map(Duration::from_micros),
        durability: to_durability(keep.durability)?,
        idempotency_window: Duration::from_micros(keep.window),
    })
}

/// A batch. What is kept is said once for all that share it, and most do.
pub(crate) fn publish(batch: &[Append]) -> proto::PublishRequest {
    let mut keeps: Vec<&Arc<Keep>> = Vec::new();
    let appends = batch
        .iter()
        .map(|append| {
            let known = keeps.iter().rposition(|keep| Arc::ptr_eq(keep, &append.keep));
            let at = known.unwrap_or_else(|| {
                keeps.push(&append.keep);
                keeps.len() - 1
            });
            let mut draft = Vec::new();
            record::encode_draft(&append.draft, &mut draft);
            proto::Append {
                topic: Some(topic(&append.topic)),
                draft: draft.into(),
                keep: u32::try_from(at).unwrap_or(u32::MAX),
            }
        })
        .collect();
    proto::PublishRequest { keeps: keeps.into_iter().map(|of| keep(of)).collect(), appends }
}

pub(crate) fn to_batch(request: &proto::PublishRequest) -> Result<Vec<Append>, Malformed> {
    let keeps = request.keeps.iter().map(|keep| to_keep(keep).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    let appends = request.appends.iter().map(|append| {
        let keep = usize::try_from(append.keep).ok().and_then(|at| keeps.get(at)).ok_or(Malformed("keep"))?;
        Ok(Append {
            topic: to_topic(append.topic.as_ref())?,
            draft: record::decode_draft(&append.draft).map_err(|_| Malformed("draft"))?,
            keep: Arc::clone(keep),
        })
    });
    appends.collect()
}

pub(crate) fn appended(appended: &Appended) -> proto::Appended {
    let Appended { position: at, time, duplicate } = appended;
    proto::Appended { position: Some(position(*at)), time: time.as_micros(), duplicate: *duplicate }
}

pub(crate) fn to_appended(appended: &proto::Appended) -> Result<Appended, Malformed> {
    Ok(Appended {
        position: to_position(appended.position)?,
        time: Timestamp::from_micros(appended.time),
        duplicate: appended.duplicate,
    })
}

pub(crate) fn read(read: &Read) -> proto::ReadRequest {
    proto::ReadRequest {
        topic: Some(topic(&read.topic)),
        from: match read.from {
            ReadFrom::Offset(offset) => Some(proto::read_request::From::Offset(offset)),
            ReadFrom::Time(time) => Some(proto::read_request::From::Time(time.as_micros())),
            ReadFrom::End => None,
        },
        backward: read.direction == Direction::Backward,
        limit: count(read.limit),
        bytes_max: count(read.bytes_max),
        age_max: read.age_max.map(micros),
    }
}

pub(crate) fn to_read(read: &proto::ReadRequest) -> Result<Read, Malformed> {
    Ok(Read {
        topic: to_topic(read.topic.as_ref())?,
        from: match read.from {
            Some(proto::read_request::From::Offset(offset)) => ReadFrom::Offset(offset),
            Some(proto::read_request::From::Time(time)) => ReadFrom::Time(Timestamp::from_micros(time)),
            None => ReadFrom::End,
        },
        direction: if read.backward { Direction::Backward } else { Direction::Forward },
        limit: to_count(read.limit),
        bytes_max: to_count(read.bytes_max),
        age_max: read.age_max.map(Duration::from_micros),
    })
}

fn event(event: &Event) -> Bytes {
    let mut bytes = Vec::new();
    record::encode(event, &mut bytes);
    bytes.into()
}

pub(crate) fn page(page: &Page) -> proto::ReadResponse {
    let events = page.events.iter().map(|of| event(of)).collect();
    proto::ReadResponse { events, head: Some(head(&page.head)), more: page.more }
}

pub(crate) fn to_page(topic: &TopicKey, page: &proto::ReadResponse) -> Result<Page, Malformed> {
    let head = to_head(page.head)?;
    let event = |bytes: &Bytes| record::decode(topic, head.last.epoch, bytes).map(Arc::new);
    let events = page.events.iter().map(event).collect::<Result<_, _>>().map_err(|_| Malformed("event"))?;
    Ok(Page { events, head, more: page.more })
}

pub(crate) fn stored(of: &Event) -> proto::Stored {
    proto::Stored { topic: Some(topic(&of.topic)), epoch: of.epoch.as_u32(), event: event(of) }
}

pub(crate) fn to_stored(stored: &proto::Stored) -> Result<Arc<Event>, Malformed> {
    let topic = to_topic(stored.topic.as_ref())?;
    let event = record::decode(&topic, to_epoch(stored.epoch)?, &stored.event);
    event.map(Arc::new).map_err(|_| Malformed("event"))
}

pub(crate) fn reset(reset: &Reset) -> proto::Reset {
    proto::Reset { topic: Some(topic(&reset.topic)), head: Some(head(&reset.head)) }
}

pub(crate) fn to_reset(reset: &proto::Reset) -> Result<Reset, Malformed> {
    Ok(Reset { topic: to_topic(reset.topic.as_ref())?, head: to_head(reset.head)? })
}

pub(crate) fn topics(query: &TopicsQuery) -> proto::TopicsRequest {
    proto::TopicsRequest {
        tenant: query.tenant.as_str().to_owned(),
        prefix: query.prefix.clone(),
        after: query.after.as_ref().map(|topic| topic.as_str().to_owned()),
        limit: count(query.limit),
    }
}

pub(crate) fn to_query(query: &proto::TopicsRequest) -> Result<TopicsQuery, Malformed> {
    Ok(TopicsQuery {
        tenant: to_tenant(&query.tenant)?,
        prefix: query.prefix.clone(),
        after: query.after.as_deref().map(to_name).transpose()?,
        limit: to_count(query.limit),
    })
}

pub(crate) fn topic_page(page: &TopicPage) -> proto::TopicsResponse {
    let topics = page
        .topics
        .iter()
        .map(|(topic, of)| proto::TopicHead { topic: topic.as_str().to_owned(), head: Some(head(of)) });
    proto::TopicsResponse { topics: topics.collect(), more: page.more }
}

pub(crate) fn to_topic_page(page: proto::TopicsResponse) -> Result<TopicPage, Malformed> {
    let topics = page.topics.into_iter().map(|of| Ok((to_name(&of.topic)?, to_head(of.head)?)));
    Ok(TopicPage { topics: topics.collect::<Result<_, _>>()?, more: page.more })
}

pub(crate) fn change(change: &Admin) -> proto::ChangeRequest {
    match change {
        Admin::Purge(key) => proto::ChangeRequest { topic: Some(topic(key)), truncate_before: None },
        Admin::TruncateBefore(key, offset) => {
            proto::ChangeRequest { topic: Some(topic(key)), truncate_before: Some(*offset) }
        }
    }
}

pub(crate) fn to_change(change: &proto::ChangeRequest) -> Result<Admin, Malformed> {
    let key = to_topic(change.topic.as_ref())?;
    Ok(match change.truncate_before {
        None => Admin::Purge(key),
        Some(offset) => Admin::TruncateBefore(key, offset),
    })
}
