//! Where a stream sits: its task and the worker's walk find it there, and take turns with it.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use fanfare_bus::Serve;
use fanfare_session::Goodbye;
use parking_lot::Mutex;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;

use super::Framing;
use super::leave::Leaving;
use super::output::Output;
use crate::chunk;
use crate::gateway::Gateway;
use crate::live::{Live, Then};
use crate::stall::{Pulse, Watched};

/// A client has nothing to say on a stream. What it says all the same is thrown away, up to so many bytes: another
/// request or two that it would not wait with. One that goes on is no client.
const IGNORED_BYTES_MAX: usize = 32 * 1024;
/// The most that is thrown away before the others have their turn.
const IGNORED_BYTES_PER_TURN: usize = 1024;

thread_local! {
    /// Where batches are put together, for every stream of the thread in turn.
    static BATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A stream on its socket. Its task and the walk both run on its worker, so the lock is never waited for.
pub(super) struct Seat {
    pub(super) gateway: Arc<Gateway>,
    pub(super) framing: Framing,
    pulse: Pulse,
    /// `None` when it has left.
    state: Mutex<Option<State>>,
}

struct State {
    socket: TcpStream,
    output: Output,
    /// How many bytes were waiting when that was last looked at.
    waiting: usize,
    live: Live,
    /// Bytes that the client has sent and that were thrown away.
    ignored: usize,
    /// Wakes the task.
    task: Option<Waker>,
    /// How it ended, if that was found outside the task.
    ending: Option<Ending>,
}

/// How a stream ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    /// There is nobody any more, or nobody who could be told.
    Gone,
    /// The server has decided so, and says so.
    Verdict(Goodbye),
}

impl Seat {
    /// Gives a stream its seat; from now on its news are served there. `first` goes out before anything else.
    pub(super) fn new(
        gateway: Arc<Gateway>,
        framing: Framing,
        socket: TcpStream,
        mut live: Live,
        first: Bytes,
    ) -> Arc<Self> {
        Arc::new_cyclic(|seat: &Weak<Self>| {
            live.serve_in_place(Weak::clone(seat) as Weak<dyn Serve>);
            let output = Output::new(first);
            let state = State { socket, output, waiting: 0, live, ignored: 0, task: None, ending: None };
            Self { gateway, framing, pulse: Pulse::new(), state: Mutex::new(Some(state)) }
        })
    }

    /// Does all that there is to do; ready when the stream has ended.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Ending> {
        let mut seated = self.state.lock();
        let Some(state) = &mut *seated else { return Poll::Pending };
        if !state.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            state.task = Some(cx.waker().clone());
        }
        if let Some(ending) = state.ending {
            return Poll::Ready(ending);
        }
        if let Poll::Ready(goodbye) = state.live.poll_end(cx, &self.gateway) {
            return Poll::Ready(Ending::Verdict(goodbye));
        }
        match state.ignore_input(cx).and_then(|()| self.deliver(state, cx)) {
            Ok(()) => Poll::Pending,
            Err(ending) => Poll::Ready(ending),
        }
    }

    /// Sends what waits, and then what is new, as long as the socket takes it.
    fn deliver(&self, state: &mut State, cx: &mut Context<'_>) -> Result<(), Ending> {
        let delivered = self.send_all(state, cx);
        self.count_waiting(state, state.output.waiting());
        delivered
    }

    fn send_all(&self, state: &mut State, cx: &mut Context<'_>) -> Result<(), Ending> {
        let batch = self.gateway.options.write_batch.as_usize();
        let mut sent = 0;
        loop {
            let mut took = false;
            let flushed = state.output.poll_flush(cx, &mut state.socket, &mut took)?;
            if took {
                self.pulse.beat(flushed.is_pending());
            }
            if flushed.is_pending() {
                return Ok(());
            }
            if sent >= batch {
                // There may be more. The others first.
                cx.waker().wake_by_ref();
                return Ok(());
            }
            match self.turn(state, cx) {
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(ending)) => return Err(ending),
                Poll::Pending => return Ok(()),
            }
            self.pulse.beat(state.output.is_blocked());
            // What the socket has taken only a part of is flushed first: without that nobody is told when it takes more.
            if state.live.is_drained() && !state.output.is_blocked() {
                return Ok(());
            }
        }
    }

    /// Sends one batch of what is new; says how many bytes it had.
    fn turn(&self, state: &mut State, cx: &mut Context<'_>) -> Poll<Result<usize, Ending>> {
        let mut batch = BATCH.take();
        chunk::begin(&mut batch);
        let turn = state.live.turn(cx, &self.gateway, &mut batch);
        let sent = turn.map(|turn| {
            let then = turn.map_err(Ending::Verdict)?;
            Ok(self.send(state, cx, &mut batch, then)?)
        });
        BATCH.set(batch);
        sent
    }

    fn send(&self, state: &mut State, cx: &mut Context<'_>, batch: &mut Vec<u8>, then: Then) -> io::Result<usize> {
        let State { socket, output, live, .. } = state;
        let shared = match then {
            Then::Alone(entry) => {
                let alone = match self.framing {
                    Framing::Chunked => live.wire().chunk(&entry),
                    Framing::UntilClose => &live.wire().event(&entry),
                };
                output.send(cx, socket, &[], alone, &[])?;
                return Ok(alone.len());
            }
            Then::Shared(bytes) => bytes,
            Then::Nothing => Bytes::new(),
        };
        let count = chunk::len(batch) + shared.len();
        if count == 0 {
            // An empty chunk would be the last one.
            return Ok(0);
        }
        match self.framing {
            Framing::UntilClose => output.send(cx, socket, chunk::inside(batch), &shared, &[])?,
            Framing::Chunked => {
                let start = chunk::write_size(batch, shared.len());
                if shared.is_empty() {
                    batch.extend_from_slice(chunk::END);
                    output.send(cx, socket, &batch[start..], &shared, &[])?;
                } else {
                    output.send(cx, socket, &batch[start..], &shared, chunk::END)?;
                }
            }
        }
        Ok(count)
    }

    fn count_waiting(&self, state: &mut State, waiting: usize) {
        let before = std::mem::replace(&mut state.waiting, waiting);
        if waiting != before {
            let gauge = &self.gateway.delivered(state.live.wire().shape()).waiting;
            gauge.increment(waiting as f64 - before as f64);
        }
    }

    /// Takes the stream from its seat. What is left to do is to be awaited; boxed, because it is rare and has a timer.
    fn leave(&self, ending: Ending) -> Option<Pin<Box<impl Future<Output = ()> + Send>>> {
        let mut state = self.state.lock().take()?;
        self.count_waiting(&mut state, 0);
        let State { socket, output, live, ignored, .. } = state;
        let Ending::Verdict(goodbye) = ending else { return None };
        let leaving = Leaving { socket, output, wire: live.wire(), is_heard: ignored > 0 };
        let before = live.into_leaving(goodbye);
        Some(Box::pin(async move {
            if let Some(before) = before {
                before.await;
            }
            leaving.say(self, goodbye).await;
        }))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(mut state) = self.state.get_mut().take() {
            self.count_waiting(&mut state, 0);
        }
    }
}

impl Serve for Seat {
    fn serve(&self) {
        let mut seated = self.state.lock();
        let Some(state) = &mut *seated else { return };
        // What is blocked goes on when the socket takes more, and then finds the news.
        if state.ending.is_some() || state.output.is_blocked() {
            return;
        }
        // Without a task it has not begun.
        let Some(task) = state.task.take() else { return };
        let delivered = self.deliver(state, &mut Context::from_waker(&task));
        state.task = Some(task);
        if let Err(ending) = delivered {
            state.end(ending);
        }
    }
}

impl Watched for Seat {
    fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    fn end_stalled(&self) {
        if let Some(state) = &mut *self.state.lock() {
            state.live.end(Goodbye::Stalled);
            state.end(Ending::Gone);
        }
    }

    fn cut(&self) {
        if let Some(state) = &mut *self.state.lock() {
            state.end(Ending::Gone);
        }
    }
}

impl State {
    /// It has ended, which the task is to find.
    fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    /// Throws away what the client sends, and notices when it goes.
    fn ignore_input(&mut self, cx: &mut Context<'_>) -> Result<(), Ending> {
        let mut bytes = [0; IGNORED_BYTES_PER_TURN];
        let mut buffer = ReadBuf::new(&mut bytes);
        if Pin::new(&mut self.socket).poll_read(cx, &mut buffer)?.is_pending() {
            return Ok(());
        }
        let count = buffer.filled().len();
        self.ignored += count;
        if count == 0 || self.ignored > IGNORED_BYTES_MAX {
            return Err(Ending::Gone);
        }
        // There may be more. The others first.
        cx.waker().wake_by_ref();
        Ok(())
    }
}

impl From<io::Error> for Ending {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// A stream in its seat, as long as its task lives.
pub(super) struct Sitting {
    seat: Arc<Seat>,
    watched: usize,
}

impl Sitting {
    pub(super) fn new(seat: Arc<Seat>) -> Self {
        let watched = seat.gateway.stalls.watch(&seat);
        Self { seat, watched }
    }

    /// Until the stream has ended and the connection is closed.
    pub(super) async fn stay(self) {
        let ending = poll_fn(|cx| self.seat.poll(cx)).await;
        if let Some(leaving) = self.seat.leave(ending) {
            leaving.await;
        }
    }
}

impl Drop for Sitting {
    fn drop(&mut self) {
        self.seat.gateway.stalls.forget(self.watched);
    }
}
