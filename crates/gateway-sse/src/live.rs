//! A stream that is open: a session, a reader, and what it says next. Both doors write it, each in its own framing.

use std::cell::Cell;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use fanfare_bus::{Budget, Delivery, Ended, Entry, Reader, Serve};
use fanfare_lifecycle::TaskKind;
use fanfare_model::{Timestamp, Topic, TopicKey};
use fanfare_session::client::UNSUBSCRIBED_BY_SERVER;
use fanfare_session::quota::Place;
use fanfare_session::{Goodbye, Nudge, Order, Session, access};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::control::Control;
use crate::encode::Wire;
use crate::gateway::Gateway;
use crate::membership;
use crate::opened::Opened;
use crate::positions::Positions;
use crate::watch::Watch;

/// An encoded event of at least this many bytes is handed on as it is, not copied into a batch: to write it as a piece
/// of its own costs less from about a page on.
const SHARED_BYTES_MIN: usize = 4096;

thread_local! {
    /// Where deliveries lie between the reader and the batch, for every stream of the thread in turn.
    static DELIVERIES: Cell<Vec<Delivery>> = const { Cell::new(Vec::new()) };
}

/// What a stream is between its head and its farewell. Dropping it ends the session and its subscriptions.
pub(crate) struct Live {
    wire: Wire,
    heartbeat_due: bool,
    /// Whether the client wants new resume tokens.
    resumable: bool,
    /// Whether the last turn said something without having looked at the reader.
    unread: bool,
    session: Session,
    reader: Reader,
    positions: Positions,
    places: Box<[Option<Place>]>,
    watch: Option<Box<Watch>>,
    /// What is to be said of the session.
    notices: Vec<u8>,
    /// Events appended after this are live.
    began_at: Timestamp,
    /// What the reader handed out and did not fit the last batch: never more than one turn of the reader.
    left: std::vec::IntoIter<Delivery>,
}

/// What goes out after the batch of a turn.
pub(crate) enum Then {
    Nothing,
    /// The event of the stream's one topic, alone: the batch is empty.
    Alone(Arc<Entry>),
    /// Large bytes of an event, which are shared.
    Shared(Bytes),
}

impl Live {
    pub(crate) fn new(wire: Wire, opened: Opened) -> Self {
        let Opened { session, reader, positions, places, watch, resume, live_after, .. } = opened;
        Self {
            wire,
            heartbeat_due: false,
            resumable: resume.is_some(),
            unread: false,
            session,
            reader,
            positions,
            places,
            watch,
            notices: Vec::new(),
            began_at: live_after,
            left: Vec::new().into_iter(),
        }
    }

    /// How it is written.
    pub(crate) const fn wire(&self) -> Wire {
        self.wire
    }

    /// From now on `by` is told of news, instead of a task being woken.
    pub(crate) fn serve_in_place(&mut self, by: Weak<dyn Serve>) {
        self.reader.serve_in_place(by);
    }

    /// Ends the session for a reason that its own connection found.
    pub(crate) fn end(&self, goodbye: Goodbye) {
        self.session.end(goodbye);
    }

    /// Whether the session is over. What is to be said otherwise goes out with the next [`Live::turn`].
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>, gateway: &Gateway) -> Poll<Goodbye> {
        while let Poll::Ready(nudge) = self.session.poll_nudge(cx) {
            match nudge {
                Nudge::End(goodbye) => return Poll::Ready(goodbye),
                Nudge::Ping => self.heartbeat_due = true,
                Nudge::Expiring => self.warn(gateway),
                Nudge::Renew => self.renew(gateway),
                Nudge::Orders => self.follow_orders(gateway),
            }
        }
        Poll::Pending
    }

    /// What is left to do for a session that ends with this verdict, so that it is over for those who see it as well.
    /// One that may come back is missed for a while first.
    pub(crate) fn into_leaving(self, goodbye: Goodbye) -> Option<BoxFuture<'static, ()>> {
        let for_good = matches!(goodbye, Goodbye::Disconnected | Goodbye::Revoked);
        let session = for_good.then_some(self.session)?;
        Some(async move { session.leave().await }.boxed())
    }

    /// Whether the last turn took all there was, so that there is no need for another before the task is woken or told
    /// of news.
    pub(crate) fn is_drained(&self) -> bool {
        let quiet = self.left.len() == 0 && !self.unread && self.notices.is_empty();
        quiet && self.reader.is_drained() && !self.watch.as_ref().is_some_and(|watch| watch.is_due())
    }

    /// Appends a batch of what there is to `out`. Pending: there is nothing to say, and `out` is as it was.
    pub(crate) fn turn(
        &mut self,
        cx: &mut Context<'_>,
        gateway: &Gateway,
        out: &mut Vec<u8>,
    ) -> Poll<Result<Then, Goodbye>> {
        if !self.notices.is_empty() {
            out.append(&mut std::mem::take(&mut self.notices));
            return self.said();
        }
        if let Some(watch) = &mut self.watch
            && let Poll::Ready(told) = watch.poll(cx, &gateway.node, self.wire, out)
        {
            return if let Err(goodbye) = told { Poll::Ready(Err(goodbye)) } else { self.said() };
        }
        if self.left.len() > 0 {
            let mut left = std::mem::take(&mut self.left);
            let turn = self.batch(gateway, &mut left, out);
            self.left = left;
            // The reader may have been told of news since it handed these out.
            self.unread = true;
            return Poll::Ready(turn);
        }
        let budget = Budget { deliveries: gateway.deliveries_max, bytes: gateway.options.write_batch.as_usize() };
        let mut deliveries = DELIVERIES.take();
        self.unread = false;
        let polled = self.reader.poll(cx, budget, &mut deliveries).map(|()| {
            let mut fresh = deliveries.drain(..);
            let turn = self.batch(gateway, &mut fresh, out);
            self.left = fresh.collect::<Vec<_>>().into_iter();
            turn
        });
        DELIVERIES.set(deliveries);
        if polled.is_pending() && std::mem::take(&mut self.heartbeat_due) {
            self.write_heartbeat(out);
            return Poll::Ready(Ok(Then::Nothing));
        }
        polled
    }

    /// Something was written that is not the reader's.
    fn said(&mut self) -> Poll<Result<Then, Goodbye>> {
        (self.unread, self.heartbeat_due) = (true, false);
        Poll::Ready(Ok(Then::Nothing))
    }

    /// Writes deliveries until the batch is full. What it has written is what the cursor has moved past.
    fn batch(
        &mut self,
        gateway: &Gateway,
        deliveries: &mut impl ExactSizeIterator<Item = Delivery>,
        out: &mut Vec<u8>,
    ) -> Result<Then, Goodbye> {
        let delivered = gateway.delivered(self.wire.shape());
        let begin = out.len();
        let (mut cursor, mut then) = (String::new(), Then::Nothing);
        let (mut events, mut longest) = (0, None);
        let mut over = None;
        while out.len() - begin < gateway.options.write_batch.as_usize()
            && let Some(delivery) = deliveries.next()
        {
            match delivery {
                Delivery::Event { id, entry } if self.positions.topic(id).is_some() => {
                    self.positions.move_to(id, entry.event.position());
                    events += 1;
                    longest = longest.or_else(|| Some(entry.event.time).filter(|time| *time > self.began_at));
                    let single = self.positions.is_single();
                    if single && out.len() == begin && deliveries.len() == 0 {
                        then = Then::Alone(entry);
                        break;
                    }
                    let mut bytes = self.wire.event(&entry);
                    if !single {
                        self.positions.write(&mut cursor);
                        self.wire.write_cursor(&cursor, out);
                        bytes = self.wire.without_cursor(&bytes);
                    }
                    if bytes.len() >= SHARED_BYTES_MIN {
                        then = Then::Shared(bytes);
                        break;
                    }
                    out.extend_from_slice(&bytes);
                }
                Delivery::Event { id, entry } => {
                    if let Some(topic) = self.watch.as_ref().and_then(|watch| watch.changed(id)) {
                        out.extend_from_slice(&self.wire.presence(topic, &entry));
                    }
                }
                Delivery::Gap { id, gap, position } if self.positions.topic(id).is_some() => {
                    self.positions.move_to(id, position);
                    self.positions.write(&mut cursor);
                    if let Some(topic) = self.positions.topic(id) {
                        Control::Gap { topic, gap, position }.write(self.wire, Some(&cursor), out);
                    }
                }
                Delivery::Gap { id, .. } => {
                    if let Some(watch) = &mut self.watch {
                        watch.missed(id);
                    }
                }
                // A stream ends as a whole, because its client can only resume it as a whole.
                Delivery::Ended { why, .. } => {
                    over = Some(match why {
                        Ended::Slow => Goodbye::Slow,
                        Ended::Unavailable => Goodbye::Unavailable,
                    });
                    break;
                }
            }
        }
        self.heartbeat_due = false;
        delivered.events.increment(events);
        if let Some(time) = longest {
            // One sample a batch: that of the event that has waited longest.
            delivered.seconds.record(gateway.node.clock.now().since(time));
        }
        if let Some(goodbye) = over {
            // What is written so far still goes out; the next look at the session finds it ended.
            self.session.end(goodbye);
            if out.len() == begin {
                return Err(goodbye);
            }
        }
        Ok(then)
    }

    /// A sign of life, when nothing else was to be sent. The comment has no blank line after it, which some clients
    /// take for an event.
    fn write_heartbeat(&self, out: &mut Vec<u8>) {
        match self.wire {
            Wire::Sse { heartbeat_event: false, .. } => out.extend_from_slice(b":\n"),
            wire @ (Wire::Sse { .. } | Wire::Lines) => Control::Ping.write(wire, None, out),
        }
    }
}

/// What the session itself is told.
impl Live {
    /// The credentials end soon.
    fn warn(&mut self, gateway: &Gateway) {
        if let Some(at) = self.session.principal().expires_at {
            let expires_in = at.since(gateway.node.clock.now()).as_secs();
            Control::Expiring { expires_in }.write(self.wire, None, &mut self.notices);
        }
    }

    /// The resume token that the client has ends soon.
    fn renew(&mut self, gateway: &Gateway) {
        if !self.resumable {
            return;
        }
        let (principal, id) = (self.session.principal(), self.session.info().id);
        if let Some(sealed) = access::seal(&gateway.node, &principal, &id) {
            Control::resume(&sealed).write(self.wire, None, &mut self.notices);
        }
    }

    /// The application wants something. The topics of a stream are those that it began with, so it can only lose some.
    fn follow_orders(&mut self, gateway: &Gateway) {
        for order in self.session.take_orders() {
            if let Order::Unsubscribe { topic } = order {
                self.unsubscribe(&topic, gateway);
            }
        }
    }

    fn unsubscribe(&mut self, topic: &Topic, gateway: &Gateway) {
        let Some(id) = self.positions.end(topic) else { return };
        self.reader.unsubscribe(id);
        if let Some(place) = self.places.get_mut(id.0 as usize) {
            place.take();
        }
        if let Some(companion) = self.watch.as_mut().and_then(|watch| watch.remove(topic)) {
            self.reader.unsubscribe(companion);
        }
        let node = &gateway.node;
        if membership::comes_by_listening(node, topic) {
            let (presence, info) = (node.presence.clone(), self.session.info());
            let topic = TopicKey::new(info.tenant, topic.clone());
            node.life.spawn(TaskKind::Background, "leave a topic", async move {
                if let Err(error) = presence.leave(&topic, &info.id).await {
                    tracing::warn!(error = %error, "a session could not leave a topic");
                }
            });
        }
        let (code, reason) = UNSUBSCRIBED_BY_SERVER;
        Control::Unsubscribed { topic, code, reason }.write(self.wire, None, &mut self.notices);
    }
}

/// The last words of a stream.
pub(crate) fn write_farewell(gateway: &Gateway, wire: Wire, goodbye: Goodbye, out: &mut Vec<u8>) {
    let retry_after = gateway.retry_after(goodbye);
    Control::Disconnect { goodbye, retry_after }.write(wire, None, out);
}
