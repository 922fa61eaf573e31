//! `Events.Publish`, and what a stream of publishes has in common with it.

use std::sync::Arc;

use fanfare_auth::Principal;
use fanfare_bus::{Appended, Error, Refused};
use fanfare_model::{Draft, EventId, Source, Topic};
use fanfare_proto::v1::{self, publish_result};
use fanfare_session::{Protocol, access};
use fanfare_telemetry::trace::{self, TRACEPARENT};
use http::HeaderMap;
use tracing::Instrument as _;

use crate::call::Call;
use crate::fault::Fault;
use crate::gateway::Gateway;

pub(crate) async fn publish(call: Call, request: v1::PublishRequest) -> Result<v1::PublishResponse, Fault> {
    let Call { gateway, principal, headers } = call;
    let publisher = Publisher { gateway, principal, traceparent: traceparent(&headers) };
    publisher.publish(request).await
}

/// Somebody who publishes.
pub(crate) struct Publisher {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) principal: Arc<Principal>,
    /// The trace that the call belongs to.
    pub(crate) traceparent: Option<String>,
}

impl Publisher {
    /// Appends what can be accepted as a whole. If nothing could be appended then, the first reason is the answer.
    pub(crate) async fn publish(&self, request: v1::PublishRequest) -> Result<v1::PublishResponse, Fault> {
        let span = tracing::debug_span!("publish", items = request.items.len());
        if let Some(parent) = &self.traceparent {
            trace::set_parent(&span, parent);
        }
        self.store(request).instrument(span).await
    }

    async fn store(&self, request: v1::PublishRequest) -> Result<v1::PublishResponse, Fault> {
        let items = self.check(request.items)?;
        let names: Vec<_> = items.iter().map(|(topic, draft)| (topic.clone(), draft.id.clone())).collect();
        let stored = self.gateway.node.bus.publish(&self.principal.tenant, items).await;
        let mut stored = stored.map_err(|Refused { index, error }| {
            let part = match &error {
                Error::Payload { at: Some(pointer), .. } => format!("items[{index}].message.data{pointer}"),
                _ => format!("items[{index}].message"),
            };
            let fault = Fault::from(error).at(part);
            names.get(index).map_or_else(|| fault.clone(), |(topic, _)| fault.clone().of(topic))
        })?;
        if stored.iter().all(Result::is_err)
            && let Some(error) = stored.iter().position(Result::is_err).and_then(|at| stored.swap_remove(at).err())
        {
            // Nothing was appended: to try again is all there is to do.
            return Err(error.into());
        }
        let results = names.into_iter().zip(stored).map(|((topic, id), stored)| result(&topic, &id, stored)).collect();
        Ok(v1::PublishResponse { results, id: request.id, error: None })
    }

    /// Every item, if all may be published.
    fn check(&self, items: Vec<v1::PublishItem>) -> Result<Vec<(Topic, Draft)>, Fault> {
        let (count, most) = (items.len(), self.gateway.options.batch_max);
        if count > most {
            return Err(Fault::new(
                fanfare_model::Kind::TooLarge,
                format_args!("the request has {count} items; at most {most} are allowed"),
            )
            .with_code("batch_too_large")
            .at("items"));
        }
        if count == 0 {
            return Err(Fault::field("items", "is empty"));
        }
        let traceparent = trace::current_traceparent().or_else(|| self.traceparent.clone());
        let source = Source::new(Protocol::Grpc.as_str()).ok();
        let mut checked = Vec::with_capacity(count);
        for (index, v1::PublishItem { topic, message }) in items.into_iter().enumerate() {
            let field = |name: &str| format!("items[{index}].{name}");
            let topic = Topic::new(topic).map_err(|invalid| Fault::field(field("topic"), invalid))?;
            access::publish(&self.principal, &topic).map_err(|refusal| Fault::from(refusal).of(&topic))?;
            let message = message.ok_or_else(|| Fault::field(field("message"), "is missing"))?;
            let mut draft = Draft::try_from(message).map_err(|invalid| Fault::field(field("message"), invalid))?;
            if draft.source.is_none() {
                draft.source.clone_from(&source);
            }
            if let Some(traceparent) = &traceparent {
                carry(&mut draft, traceparent);
            }
            checked.push((topic, draft));
        }
        let events = u32::try_from(count).unwrap_or(u32::MAX);
        let bytes = checked.iter().map(|(_, draft)| draft.size()).sum();
        // A backend is nobody's user and many users' address: the limits of its tenant hold.
        let spent = self.gateway.node.quotas.publish(&self.principal.tenant, None, None, events, bytes);
        spent.map_err(access::Denied::from)?;
        Ok(checked)
    }
}

fn carry(draft: &mut Draft, traceparent: &str) {
    if draft.headers.get(TRACEPARENT).is_none() {
        // An event that has as many headers as it may goes without.
        let mut headers = draft.headers.clone();
        if headers.insert(TRACEPARENT, traceparent).is_ok() {
            draft.headers = headers;
        }
    }
}

/// What became of an item.
fn result(topic: &Topic, id: &EventId, stored: Result<Appended, Error>) -> v1::PublishResult {
    let result = match stored {
        Ok(appended) => publish_result::Result::Published(v1::Published {
            topic: topic.as_str().to_owned(),
            position: appended.position.to_string(),
            offset: appended.position.offset,
            event_id: id.as_str().to_owned(),
            duplicate: appended.duplicate,
        }),
        Err(error) => publish_result::Result::Error(Fault::from(error).to_error()),
    };
    v1::PublishResult { result: Some(result) }
}

/// The `traceparent` of a call (W3C trace context, version 00). A malformed one is as none.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let mut parts = text.split('-');
    let mut hex = |digits: usize| {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        parts.next().filter(|part| part.len() == digits && part.bytes().all(is_hex))
    };
    let (version, trace, parent, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let is_zero = |part: &str| part.bytes().all(|b| b == b'0');
    let right = version == "00" && !is_zero(trace) && !is_zero(parent) && parts.next().is_none();
    right.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_has_the_form_of_w3c() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, text.parse().unwrap());
            traceparent(&headers).is_some()
        };
        let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        assert!(of(&format!("00-{trace}-{parent}-01")));
        for bad in [
            String::new(),
            format!("00-{trace}-{parent}"),
            format!("00-{trace}-{parent}-01-x"),
            format!("ff-{trace}-{parent}-01"),
            format!("00-{}-{parent}-01", "0".repeat(32)),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
        ] {
            assert!(!of(&bad), "{bad}");
        }
    }
}
