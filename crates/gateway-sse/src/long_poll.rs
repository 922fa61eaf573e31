//! Long polls: one answer with what there is, as soon as there is something.

use std::io::Write as _;
use std::task::Poll;
use std::time::Duration;

use fanfare_bus::{Budget, Delivery, Ended, SubscriptionId};
use fanfare_model::{Gap, Position};
use fanfare_presence::json;
use fanfare_session::client::UNSUBSCRIBED_PERMISSION;
use fanfare_session::{Goodbye, Nudge};

use crate::control::Control;
use crate::encode::{Wire, object_in_line};
use crate::gateway::Gateway;
use crate::opened::Opened;
use crate::resume::StreamState;
use crate::watch;

/// What the answer is.
pub(crate) const MEDIA_TYPE: &str = "application/json";

/// The answer as it is put together.
struct Batch {
    events: Vec<u8>,
    gaps: Vec<u8>,
    disconnect: Option<Goodbye>,
}

/// Waits for the first events (or the end of the session, or of the time) and answers with them.
pub(crate) async fn answer(gateway: &Gateway, mut opened: Opened) -> Vec<u8> {
    let mut batch = Batch { events: Vec::new(), gaps: Vec::new(), disconnect: None };
    for (id, gap, position) in std::mem::take(&mut opened.gaps) {
        batch.take_gap(&mut opened, id, gap, position);
    }
    // What the client must know at once does not wait for an event.
    let has_news = !batch.gaps.is_empty() || opened.state == StreamState::Reset;
    let patience = if has_news { Duration::ZERO } else { gateway.options.poll_timeout.get() };
    match tokio::time::timeout(patience, first(gateway, &mut opened)).await {
        Ok(Ok(deliveries)) => batch.take(gateway, &mut opened, deliveries),
        Ok(Err(goodbye)) => batch.disconnect = Some(goodbye),
        Err(_) => {}
    }
    tell_members(gateway, &mut opened).await;
    batch.into_json(gateway, &opened)
}

/// Brings it up to date who is in the topics that are watched.
async fn tell_members(gateway: &Gateway, opened: &mut Opened) {
    let tenant = opened.session.principal().tenant.clone();
    for (topic, known) in &mut opened.members {
        // What cannot be read now is as it was when the poll began.
        if let Ok(members) = watch::members(&gateway.node, tenant.clone(), topic).await {
            *known = members;
        }
    }
}

/// The first deliveries of the reader.
async fn first(gateway: &Gateway, opened: &mut Opened) -> Result<Vec<Delivery>, Goodbye> {
    let options = &gateway.options;
    let budget = Budget { deliveries: options.poll_events_max, bytes: options.poll_bytes.as_usize() };
    let mut deliveries = Vec::new();
    std::future::poll_fn(|cx| {
        // The rest is for who stays.
        while let Poll::Ready(nudge) = opened.session.poll_nudge(cx) {
            if let Nudge::End(goodbye) = nudge {
                return Poll::Ready(Err(goodbye));
            }
        }
        opened.reader.poll(cx, budget, &mut deliveries).map(Ok)
    })
    .await
    .map(|()| deliveries)
}

impl Batch {
    /// Takes what fits. The cursor covers only that, so the rest comes with the next poll.
    fn take(&mut self, gateway: &Gateway, opened: &mut Opened, deliveries: Vec<Delivery>) {
        let mut events = 0;
        for delivery in deliveries.into_iter().take(gateway.options.poll_events_max) {
            match delivery {
                Delivery::Event { id, entry } if opened.positions.topic(id).is_some() => {
                    opened.positions.move_to(id, entry.event.position());
                    push(&mut self.events, |out| out.extend_from_slice(&object_in_line(&Wire::Lines.event(&entry))));
                    events += 1;
                }
                Delivery::Gap { id, gap, position } => self.take_gap(opened, id, gap, position),
                // Who is there is told as it is at the end, whatever has changed before.
                Delivery::Event { .. } => {}
                Delivery::Ended { why, .. } => {
                    self.disconnect = Some(match why {
                        Ended::Slow => Goodbye::Slow,
                        Ended::Unavailable => Goodbye::Unavailable,
                    });
                    break;
                }
            }
        }
        gateway.polled.events.increment(events);
    }

    /// One of a companion is nothing to tell: the members are read afterwards.
    fn take_gap(&mut self, opened: &mut Opened, id: SubscriptionId, gap: Gap, position: Position) {
        if opened.positions.topic(id).is_none() {
            return;
        }
        opened.positions.move_to(id, position);
        if let Some(topic) = opened.positions.topic(id) {
            push(&mut self.gaps, |out| Control::Gap { topic, gap, position }.write_object(out));
        }
    }

    fn into_json(self, gateway: &Gateway, opened: &Opened) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.events.len() + self.gaps.len() + 256);
        let cursor = opened.positions.text();
        for part in [
            b"{\"state\":\"".as_slice(),
            opened.state.as_str().as_bytes(),
            b"\",\"events\":[",
            &self.events,
            b"],\"gaps\":[",
            &self.gaps,
            b"],\"cursor\":\"",
            cursor.as_bytes(),
            b"\"",
        ] {
            out.extend_from_slice(part);
        }
        for (name, list) in [("unsubscribed", refused(opened)), ("presence", members(opened))] {
            if !list.is_empty() {
                write!(out, ",\"{name}\":[").expect("a Vec grows");
                out.extend_from_slice(&list);
                out.push(b']');
            }
        }
        if let Some(sealed) = &opened.resume {
            out.extend_from_slice(b",\"resume\":");
            Control::resume(sealed).write_object(&mut out);
        }
        if let Some(goodbye) = self.disconnect {
            out.extend_from_slice(b",\"disconnect\":");
            Control::Disconnect { goodbye, retry_after: gateway.retry_after(goodbye) }.write_object(&mut out);
        }
        out.push(b'}');
        out
    }
}

/// The topics of the client's token that it may not receive.
fn refused(opened: &Opened) -> Vec<u8> {
    let mut list = Vec::new();
    for topic in &opened.refused {
        let (code, reason) = UNSUBSCRIBED_PERMISSION;
        push(&mut list, |out| Control::Unsubscribed { topic, code, reason }.write_object(out));
    }
    list
}

/// Who is in the topics that are watched.
fn members(opened: &Opened) -> Vec<u8> {
    let mut list = Vec::new();
    for (topic, members) in &opened.members {
        push(&mut list, |out| json::write_members(topic, members, out));
    }
    list
}

/// Writes one more element of a list.
fn push(list: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if !list.is_empty() {
        list.push(b',');
    }
    write(list);
}
