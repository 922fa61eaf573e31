//! The body of a stream: a session, a reader, and at most one batch of bytes.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fanfare_bus::{Budget, Delivery, Ended, Reader};
use fanfare_model::Timestamp;
use fanfare_session::{Goodbye, Nudge, Session};
use http_body::Frame;
use parking_lot::Mutex;

use crate::control::Control;
use crate::encode::Wire;
use crate::gateway::Gateway;
use crate::opened::Opened;
use crate::positions::Positions;
use crate::stall::{ConnectionAbort, Pulse};

/// An encoded event of at least this many bytes is handed on as it is, not copied into a batch: a frame of its own
/// costs less from about a page on.
const SHARED_BYTES_MIN: usize = 4096;

thread_local! {
    /// Where deliveries lie between the reader and the batch, for every stream of the thread in turn.
    static DELIVERIES: Cell<Vec<Delivery>> = const { Cell::new(Vec::new()) };
}

/// The body. Dropping it ends the session and its subscriptions.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    watched: usize,
}

/// What a stream's own task shares with the one that looks for stalled streams.
pub(crate) struct Shared {
    gateway: Arc<Gateway>,
    wire: Wire,
    state: Mutex<State>,
    pub(crate) pulse: Pulse,
}

struct State {
    /// Goes out before anything else: what comes first, or the rest of an event that was begun.
    next: Option<Bytes>,
    stage: Stage,
}

enum Stage {
    Live(Box<Live>),
    /// Only the farewell is left to say.
    Leaving(Goodbye),
    Over,
}

struct Live {
    session: Session,
    reader: Reader,
    positions: Positions,
    /// Events appended after this are live.
    began_at: Timestamp,
    /// What the reader handed out and did not fit the last batch: never more than one turn of the reader.
    left: std::vec::IntoIter<Delivery>,
    heartbeat_due: bool,
}

/// What goes out: a batch, and perhaps large shared bytes that follow it.
struct Turn {
    now: Bytes,
    then: Option<Bytes>,
}

impl Stream {
    pub(crate) fn new(gateway: Arc<Gateway>, wire: Wire, mut opened: Opened, abort: Option<ConnectionAbort>) -> Self {
        let beginning = opened.beginning(wire, gateway.options.retry.get());
        let Opened { session, reader, positions, live_after, .. } = opened;
        let left = Vec::new().into_iter();
        let stage = Stage::Live(Box::new(Live {
            session,
            reader,
            positions,
            began_at: live_after,
            left,
            heartbeat_due: false,
        }));
        let next = (!beginning.is_empty()).then(|| Bytes::from(beginning));
        let shared = Shared { gateway, wire, state: Mutex::new(State { next, stage }), pulse: Pulse::new() };
        let shared = Arc::new(shared);
        let watched = shared.gateway.stalls.watch(&shared, abort);
        Self { shared, watched }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.gateway.stalls.forget(self.watched);
    }
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut state = self.shared.state.lock();
        let polled = state.poll(cx, &self.shared.gateway, self.shared.wire);
        self.shared.pulse.beat(matches!(polled, Poll::Ready(Some(_))));
        polled.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl Shared {
    /// Lets go of the session and the reader now; the client is told if it ever takes something again.
    pub(crate) fn end_stalled(&self) {
        // Who holds the lock is polling, and so has not stalled.
        let Some(mut state) = self.state.try_lock() else { return };
        if let Stage::Live(live) = &state.stage {
            live.session.end(Goodbye::Stalled);
            state.stage = Stage::Leaving(Goodbye::Stalled);
        }
    }
}

impl State {
    fn poll(&mut self, cx: &mut Context<'_>, gateway: &Gateway, wire: Wire) -> Poll<Option<Bytes>> {
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(next));
        }
        let goodbye = match &mut self.stage {
            Stage::Live(live) => match ready!(live.poll(cx, gateway, wire)) {
                Ok(turn) => {
                    self.next = turn.then;
                    return Poll::Ready(Some(turn.now));
                }
                Err(goodbye) => goodbye,
            },
            Stage::Leaving(goodbye) => *goodbye,
            Stage::Over => return Poll::Ready(None),
        };
        self.stage = Stage::Over;
        Poll::Ready(Some(farewell(gateway, wire, goodbye)))
    }
}

/// The last words of a stream.
pub(crate) fn farewell(gateway: &Gateway, wire: Wire, goodbye: Goodbye) -> Bytes {
    let mut out = Vec::new();
    let retry_after = gateway.retry_after(goodbye);
    Control::Disconnect { goodbye, retry_after }.write(wire, None, &mut out);
    Bytes::from(out)
}

impl Live {
    fn poll(&mut self, cx: &mut Context<'_>, gateway: &Gateway, wire: Wire) -> Poll<Result<Turn, Goodbye>> {
        match self.session.poll_nudge(cx) {
            Poll::Ready(Nudge::End(goodbye)) => return Poll::Ready(Err(goodbye)),
            Poll::Ready(Nudge::Ping) => self.heartbeat_due = true,
            Poll::Pending => {}
        }
        if self.left.len() > 0 {
            let mut left = std::mem::take(&mut self.left);
            let turn = self.batch(gateway, wire, &mut left);
            self.left = left;
            return Poll::Ready(turn);
        }
        let budget = Budget { deliveries: gateway.deliveries_max, bytes: gateway.options.write_batch.as_usize() };
        let mut deliveries = DELIVERIES.take();
        let polled = self.reader.poll(cx, budget, &mut deliveries).map(|()| {
            let mut fresh = deliveries.drain(..);
            let turn = self.batch(gateway, wire, &mut fresh);
            self.left = fresh.collect::<Vec<_>>().into_iter();
            turn
        });
        DELIVERIES.set(deliveries);
        if polled.is_pending() && std::mem::take(&mut self.heartbeat_due) {
            return Poll::Ready(Ok(heartbeat(wire)));
        }
        polled
    }

    /// Writes deliveries until the batch is full. What it has written is what the cursor has moved past.
    fn batch(
        &mut self,
        gateway: &Gateway,
        wire: Wire,
        deliveries: &mut impl ExactSizeIterator<Item = Delivery>,
    ) -> Result<Turn, Goodbye> {
        let delivered = gateway.delivered(wire.shape());
        let (mut out, mut cursor, mut then) = (Vec::new(), String::new(), None);
        let (mut events, mut longest) = (0, None);
        let mut over = None;
        while out.len() < gateway.options.write_batch.as_usize()
            && let Some(delivery) = deliveries.next()
        {
            match delivery {
                Delivery::Event { id, entry } => {
                    self.positions.move_to(id, entry.event.position());
                    events += 1;
                    longest = longest.or_else(|| Some(entry.event.time).filter(|time| *time > self.began_at));
                    let mut bytes = wire.event(&entry).clone();
                    if !self.positions.is_single() {
                        self.positions.write(&mut cursor);
                        wire.write_cursor(&cursor, &mut out);
                        bytes = wire.without_cursor(&bytes);
                    }
                    // A lone event of a single topic goes out as it is as well.
                    if bytes.len() >= SHARED_BYTES_MIN || out.is_empty() && deliveries.len() == 0 {
                        then = Some(bytes);
                        break;
                    }
                    out.extend_from_slice(&bytes);
                }
                Delivery::Gap { id, gap, position } => {
                    self.positions.move_to(id, position);
                    self.positions.write(&mut cursor);
                    let topic = self.positions.topic(id);
                    Control::Gap { topic, gap, position }.write(wire, Some(&cursor), &mut out);
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
            // What is written so far still goes out; the next poll finds the session ended.
            self.session.end(goodbye);
            if out.is_empty() {
                return Err(goodbye);
            }
        }
        Ok(match then {
            Some(shared) if out.is_empty() => Turn { now: shared, then: None },
            then => Turn { now: Bytes::from(out), then },
        })
    }
}

/// A sign of life, when nothing else was to be sent. The comment has no blank line after it, which some clients
/// take for an event.
fn heartbeat(wire: Wire) -> Turn {
    let now = match wire {
        Wire::Sse { heartbeat_event: false, .. } => Bytes::from_static(b":\n"),
        Wire::Sse { .. } | Wire::Lines => {
            let mut out = Vec::new();
            Control::Ping.write(wire, None, &mut out);
            Bytes::from(out)
        }
    };
    Turn { now, then: None }
}
