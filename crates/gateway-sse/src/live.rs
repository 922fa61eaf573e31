//! A stream that is open: a session, a reader, and what it says next. Both doors write it, each in its own framing.

use std::cell::Cell;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use fanfare_bus::{Budget, Delivery, Ended, Entry, Reader, Serve};
use fanfare_model::Timestamp;
use fanfare_session::{Goodbye, Nudge, Session};

use crate::control::Control;
use crate::encode::Wire;
use crate::gateway::Gateway;
use crate::opened::Opened;
use crate::positions::Positions;

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
    session: Session,
    reader: Reader,
    positions: Positions,
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
        let Opened { session, reader, positions, live_after, .. } = opened;
        let left = Vec::new().into_iter();
        Self { wire, heartbeat_due: false, session, reader, positions, began_at: live_after, left }
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

    /// Whether the session is over. A heartbeat that is due goes out with the next [`Live::turn`].
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Goodbye> {
        match self.session.poll_nudge(cx) {
            Poll::Ready(Nudge::End(goodbye)) => return Poll::Ready(goodbye),
            Poll::Ready(Nudge::Ping) => self.heartbeat_due = true,
            Poll::Pending => {}
        }
        Poll::Pending
    }

    /// Whether the last turn took all there was, so that there is no need for another before the task is woken or told
    /// of news.
    pub(crate) fn is_drained(&self) -> bool {
        self.left.len() == 0 && self.reader.is_drained()
    }

    /// Appends a batch of what there is to `out`. Pending: there is nothing to say, and `out` is as it was.
    pub(crate) fn turn(
        &mut self,
        cx: &mut Context<'_>,
        gateway: &Gateway,
        out: &mut Vec<u8>,
    ) -> Poll<Result<Then, Goodbye>> {
        if self.left.len() > 0 {
            let mut left = std::mem::take(&mut self.left);
            let turn = self.batch(gateway, &mut left, out);
            self.left = left;
            return Poll::Ready(turn);
        }
        let budget = Budget { deliveries: gateway.deliveries_max, bytes: gateway.options.write_batch.as_usize() };
        let mut deliveries = DELIVERIES.take();
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
                Delivery::Event { id, entry } => {
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
                Delivery::Gap { id, gap, position } => {
                    self.positions.move_to(id, position);
                    self.positions.write(&mut cursor);
                    let topic = self.positions.topic(id);
                    Control::Gap { topic, gap, position }.write(self.wire, Some(&cursor), out);
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

/// The last words of a stream.
pub(crate) fn write_farewell(gateway: &Gateway, wire: Wire, goodbye: Goodbye, out: &mut Vec<u8>) {
    let retry_after = gateway.retry_after(goodbye);
    Control::Disconnect { goodbye, retry_after }.write(wire, None, out);
}
