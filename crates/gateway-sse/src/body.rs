//! A stream as the body of an answer, for a server that does its framing: HTTP/2, TLS, and connections that asked for
//! something else before.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fanfare_session::Goodbye;
use futures_util::future::BoxFuture;
use http_body::Frame;
use parking_lot::Mutex;

use crate::encode::Wire;
use crate::gateway::Gateway;
use crate::live::{Live, Then, write_farewell};
use crate::request::Begun;
use crate::stall::{ConnectionAbort, Pulse, Watched};

/// The body. Dropping it ends the session and its subscriptions.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    watched: usize,
}

/// What a stream's own task shares with the one that looks for stalled streams.
struct Shared {
    gateway: Arc<Gateway>,
    wire: Wire,
    state: Mutex<State>,
    pulse: Pulse,
    abort: Option<ConnectionAbort>,
}

struct State {
    /// Goes out before anything else: what comes first, or the rest of an event that was begun.
    next: Option<Bytes>,
    stage: Stage,
}

enum Stage {
    Live(Box<Live>),
    /// Only the farewell is left to say, and what is to be done before.
    Leaving(Goodbye, Option<BoxFuture<'static, ()>>),
    Over,
}

impl Stream {
    /// `abort` cuts the connection, if nobody shares it.
    pub(crate) fn new(gateway: Arc<Gateway>, begun: Begun, abort: Option<ConnectionAbort>) -> Self {
        let Begun { live, beginning } = begun;
        let (wire, stage) = (live.wire(), Stage::Live(live));
        let next = (!beginning.is_empty()).then(|| Bytes::from(beginning));
        let shared = Shared { gateway, wire, state: Mutex::new(State { next, stage }), pulse: Pulse::new(), abort };
        let shared = Arc::new(shared);
        let watched = shared.gateway.stalls.watch(&shared);
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

impl Watched for Shared {
    fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Lets go of the session and the reader now; the client is told if it ever takes something again.
    fn end_stalled(&self) {
        // Who holds the lock is polling, and so has not stalled.
        let Some(mut state) = self.state.try_lock() else { return };
        if let Stage::Live(live) = &state.stage {
            live.end(Goodbye::Stalled);
            state.stage = Stage::Leaving(Goodbye::Stalled, None);
        }
        drop(state);
        if let Some(abort) = &self.abort {
            abort.0.cancel();
        }
    }

    /// Who drives the connection cuts it.
    fn cut(&self) {}
}

impl State {
    fn poll(&mut self, cx: &mut Context<'_>, gateway: &Gateway, wire: Wire) -> Poll<Option<Bytes>> {
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(next));
        }
        if let Stage::Live(live) = &mut self.stage {
            match ready!(Self::turn(live, cx, gateway)) {
                Ok((now, next)) => {
                    self.next = next;
                    return Poll::Ready(Some(now));
                }
                Err(goodbye) => {
                    if let Stage::Live(live) = std::mem::replace(&mut self.stage, Stage::Over) {
                        self.stage = Stage::Leaving(goodbye, live.into_leaving(goodbye));
                    }
                }
            }
        }
        let Stage::Leaving(goodbye, leaving) = &mut self.stage else { return Poll::Ready(None) };
        if let Some(leaving) = leaving {
            ready!(leaving.as_mut().poll(cx));
        }
        let goodbye = *goodbye;
        self.stage = Stage::Over;
        let mut out = Vec::new();
        write_farewell(gateway, wire, goodbye, &mut out);
        Poll::Ready(Some(Bytes::from(out)))
    }

    /// What goes out now, and what must follow it.
    fn turn(live: &mut Live, cx: &mut Context<'_>, gateway: &Gateway) -> Poll<Result<(Bytes, Option<Bytes>), Goodbye>> {
        if let Poll::Ready(goodbye) = live.poll_end(cx, gateway) {
            return Poll::Ready(Err(goodbye));
        }
        let mut out = Vec::new();
        loop {
            let then = match ready!(live.turn(cx, gateway, &mut out)) {
                // Nothing for this client, and perhaps more to come.
                Ok(Then::Nothing) if out.is_empty() => continue,
                Ok(Then::Nothing) => None,
                Ok(Then::Alone(entry)) => Some(live.wire().event(&entry)),
                Ok(Then::Shared(bytes)) => Some(bytes),
                Err(goodbye) => return Poll::Ready(Err(goodbye)),
            };
            return Poll::Ready(Ok(match then {
                Some(then) if out.is_empty() => (then, None),
                then => (Bytes::from(out), then),
            }));
        }
    }
}
