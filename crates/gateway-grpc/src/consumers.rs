//! Consumers with a name: `Events.Ack`, `Events.Cursors`, `Events.Seek`.

use std::time::Duration;

use fanfare_auth::Action;
use fanfare_consumer::{self as consumer, Act, CursorsQuery};
use fanfare_dialect_proto as dialect;
use fanfare_model::{Topic, TopicKey};
use fanfare_proto::v1::{self, ack_request, seek_request};

use crate::call::Call;
use crate::fault::Fault;
use crate::paging::{given, limit, needed};
use crate::topics::may_see;

/// Whether the caller may consume `topic`: what is given out may lie in the past.
pub(crate) fn authorize(call: &Call, topic: &Topic) -> Result<(), Fault> {
    let may = |action| call.principal.authorize(action, topic).map_err(|refusal| Fault::from(refusal).of(topic));
    may(Action::Subscribe)?;
    may(Action::History)
}

pub(crate) async fn ack(call: Call, request: v1::AckRequest) -> Result<v1::AckResponse, Fault> {
    use ack_request::Act as Asked;
    let topic: Topic = needed("topic", &request.topic)?;
    authorize(&call, &topic)?;
    let topic = TopicKey::new(call.principal.tenant.clone(), topic);
    let millis = |count: u32| Duration::from_millis(count.into());
    let act = match request.act {
        Some(Asked::UpTo(offset)) => Act::UpTo(offset),
        Some(Asked::All(true)) => Act::All,
        Some(Asked::Release(true)) => Act::Release { retry_after: millis(request.retry_after_ms) },
        Some(Asked::ExtendMs(time)) => Act::Extend(millis(time)),
        Some(Asked::All(false) | Asked::Release(false)) | None => {
            return Err(Fault::field("act", "is none of `up_to`, `all`, `release` and `extend_ms`"));
        }
    };
    let consumer = needed("consumer", &request.consumer)?;
    let ack = consumer::Ack { topic: topic.clone(), consumer, lease: needed("lease", &request.lease)?, act };
    let done = call.gateway.node.consumers.ack(ack).await.map_err(|error| Fault::from(error).of(&topic.topic))?;
    Ok(v1::AckResponse { position: done.to_string() })
}

pub(crate) async fn cursors(call: Call, request: v1::CursorsRequest) -> Result<v1::CursorsResponse, Fault> {
    let after = match request.after.as_str() {
        "" => None,
        text => Some(CursorsQuery::read_after(text).map_err(|invalid| Fault::field("after", invalid))?),
    };
    let query = CursorsQuery {
        tenant: call.principal.tenant.clone(),
        consumer: given("consumer", &request.consumer)?,
        topic: given("topic", &request.topic)?,
        after,
        limit: limit(request.limit, &call.gateway.options)?,
    };
    let page = call.gateway.node.consumers.cursors(query).await?;
    let seen = page.cursors.into_iter().filter(|cursor| may_see(&call, &cursor.topic));
    let cursors = seen.map(|cursor| v1::ConsumerCursor {
        consumer: cursor.consumer.as_str().to_owned(),
        topic: cursor.topic.into(),
        position: cursor.position.to_string(),
        lag: cursor.lag,
        leased: cursor.leased,
        waiting: cursor.waiting,
        moved_at: cursor.moved_at.as_micros(),
    });
    Ok(v1::CursorsResponse { cursors: cursors.collect(), next: page.next.unwrap_or_default() })
}

pub(crate) async fn seek(call: Call, request: v1::SeekRequest) -> Result<v1::SeekResponse, Fault> {
    let topic: Topic = needed("topic", &request.topic)?;
    call.principal.authorize(Action::Admin, &topic).map_err(|refusal| Fault::from(refusal).of(&topic))?;
    let topic = TopicKey::new(call.principal.tenant.clone(), topic);
    let consumer = needed("consumer", &request.consumer)?;
    let consumers = &call.gateway.node.consumers;
    let about = |error| Fault::from(error).of(&topic.topic);
    match request.to {
        Some(seek_request::To::From(from)) => {
            let from = dialect::from(Some(from)).map_err(|invalid| Fault::field("from", invalid))?;
            let start = from.for_topic(&topic.topic, true);
            let position = consumers.seek(&topic, &consumer, start).await.map_err(about)?;
            Ok(v1::SeekResponse { position: position.to_string() })
        }
        Some(seek_request::To::Forget(true)) => {
            consumers.forget(&topic, &consumer).await.map_err(about)?;
            Ok(v1::SeekResponse { position: String::new() })
        }
        Some(seek_request::To::Forget(false)) | None => Err(Fault::field("to", "is neither `from` nor `forget`")),
    }
}
