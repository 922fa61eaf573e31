//! One connection: a stream, a client, and a small future that is there when there is something to wait for.
//!
//! It sits in a [`Seat`], where its task and the worker's walk take turns with it: a lone event is written from the
//! walk, everything else is the task's.
//!
//! What it does in a turn, in this order: send what waits, deliver what is new (only when nothing waits to be sent,
//! so that a client that reads slowly holds a cursor and one batch), and carry out commands (only while little waits
//! to be sent, so that a client that does not read its answers is not read either). Between turns it owns a partial
//! frame at most.

mod input;
mod leave;
mod output;
mod seat;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use fanfare_bus::Budget;
use fanfare_session::client::{Client, Incoming};
use fanfare_session::{Goodbye, Nudge};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::Options;
use crate::frame::{self, Close, Decoder, Violation};
use crate::gateway::{Arrival, Introduced};
use crate::metrics::Handles;
use input::Next;
use seat::Seat;

/// So many bytes received since the last ping are a sign of life even if they make no whole frame: a large message
/// on a slow network. Fewer are not: they might only hold the connection open.
const SIGN_OF_LIFE_BYTES: u32 = 4096;
/// The most deliveries of one turn, whatever their size.
const DELIVERIES_MAX: usize = 1024;

/// What connections share.
pub(crate) struct Settings {
    pub(crate) options: Arc<Options>,
    pub(crate) metrics: Handles,
}

/// A stream that has become a WebSocket.
struct Connection<S> {
    stream: S,
    client: Client,
    settings: Arc<Settings>,
    decoder: Decoder,
    /// Received and not decoded yet, because output has to go first.
    input: Bytes,
    /// Of the message that is being carried out: the commands that are left.
    commands: VecDeque<Incoming>,
    /// Bytes received since the last ping; a whole frame counts as [`SIGN_OF_LIFE_BYTES`].
    heard: u32,
    /// Whether a ping was sent that may be answered.
    pinged: bool,
    /// The stream holds bytes of ours that it has not passed on.
    unflushed: bool,
    /// Since when the client has taken nothing of what waits.
    blocked_since: Option<Instant>,
    /// How many bytes were waiting when that was last looked at.
    waiting: usize,
    /// Wakes the task.
    task: Option<Waker>,
    /// How it ended, if that was found outside the task.
    ending: Option<Ending>,
}

/// How a connection ends.
#[derive(Debug)]
enum Ending {
    /// There is nobody any more.
    Gone,
    /// The client takes nothing of what waits, so that it cannot be told either.
    Stalled,
    /// The client has closed.
    Closed(Close),
    /// The client has broken the transport's protocol.
    Violated(Violation),
    /// The server has decided so.
    Verdict(Goodbye),
}

/// Serves a connection until it ends.
pub(crate) fn run<S>(stream: S, read_ahead: Bytes, arrival: Arrival) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Arrival { client, decoder, introduced, permit, place, settings } = arrival;
    let seat = Seat::new(Connection {
        stream,
        client,
        settings,
        decoder,
        input: read_ahead,
        commands: VecDeque::new(),
        heard: 0,
        pinged: false,
        unflushed: false,
        blocked_since: None,
        waiting: 0,
        task: None,
        ending: None,
    });
    // Boxed as long as they last: before it is connected and while it is leaving a connection has timers and wider
    // states than in the long time between.
    let arriving = Box::new((introduced, permit));
    async move {
        let _place = place;
        let ending = match Box::pin(arrive(&seat, arriving)).await {
            Ok(()) => converse(&seat, false).await.err(),
            Err(ending) => Some(ending),
        };
        if let Some(ending) = ending {
            let mut connection = seat.take();
            Box::pin(connection.leave(ending)).await;
        }
    }
}

type Arriving = Box<(Option<Introduced>, tokio::sync::OwnedSemaphorePermit)>;

/// Until the client has said who it is.
async fn arrive<S: AsyncRead + AsyncWrite + Unpin>(seat: &Seat<S>, arriving: Arriving) -> Result<(), Ending> {
    let (introduced, _permit) = *arriving;
    match introduced {
        Some(Ok(principal)) => return seat.take().client.enter(principal).await.map_err(Ending::Verdict),
        Some(Err(refusal)) => return Err(Ending::Verdict(seat.take().client.refuse(refusal))),
        None => {}
    }
    let timeout = seat.take().settings.options.connect_timeout.get();
    // One that says nothing may come back: the network may have kept its words.
    tokio::time::timeout(timeout, converse(seat, true)).await.unwrap_or(Err(Ending::Verdict(Goodbye::Silent)))
}

/// Until it ends, or, if so asked, until the client is connected.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(seat: &Seat<S>, until_connected: bool) -> Result<(), Ending> {
    loop {
        let command = poll_fn(|cx| seat.poll(cx)).await?;
        let mut connection = seat.take();
        Box::pin(connection.client.handle(command)).await.map_err(Ending::Verdict)?;
        if until_connected && connection.client.is_connected() {
            return Ok(());
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Does all that there is to do; ready with the next command, or with what the client has to do besides.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Ending>> {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
        }
        if let Some(ending) = self.ending.take() {
            return Poll::Ready(Err(ending));
        }
        match self.turn(cx) {
            Ok(Some(command)) => Poll::Ready(Ok(command)),
            Ok(None) => Poll::Pending,
            Err(ending) => Poll::Ready(Err(ending)),
        }
    }

    /// Delivers what is new, from outside the task. What it cannot finish, the task is woken for.
    fn deliver_in_place(&mut self) {
        if self.ending.is_some() || self.is_blocked() {
            return;
        }
        let Some(task) = self.task.take() else { return };
        if let Err(ending) = self.deliver(&mut Context::from_waker(&task)) {
            self.ending = Some(ending);
        }
        if self.ending.is_some() || self.client.has_chores() {
            task.wake_by_ref();
        }
        self.task = Some(task);
    }

    /// `None`: there is nothing to do before the task is woken, for which everything is set.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<Option<Incoming>, Ending> {
        while let Poll::Ready(nudge) = self.client.poll_nudge(cx) {
            match nudge {
                Nudge::Ping => self.remind()?,
                Nudge::End(goodbye) => return Err(Ending::Verdict(goodbye)),
                // The client has seen to it.
                Nudge::Expiring | Nudge::Renew | Nudge::Orders => {}
            }
        }
        self.deliver(cx)?;
        if self.client.has_chores() {
            return Ok(Some(Incoming::Chores));
        }
        loop {
            let replies_bytes_max = self.settings.options.replies_bytes_max.as_usize();
            if self.client.outbox().bytes() >= replies_bytes_max {
                // What could not be sent wakes the task when it can.
                return Ok(None);
            }
            match self.receive(cx, replies_bytes_max)? {
                Next::Commands => return Ok(self.commands.pop_front()),
                Next::Full => self.flush(cx)?,
                Next::Nothing => {
                    // Answers to pings.
                    self.flush(cx)?;
                    return Ok(None);
                }
            }
        }
    }

    /// Sends what waits, and what is new.
    fn deliver(&mut self, cx: &mut Context<'_>) -> Result<(), Ending> {
        let batch = self.settings.options.write_batch.as_usize();
        let mut taken = 0;
        loop {
            self.flush(cx)?;
            if self.is_blocked() {
                return Ok(());
            }
            if taken >= batch {
                // There may be more. The others first.
                cx.waker().wake_by_ref();
                return Ok(());
            }
            let budget = Budget { deliveries: DELIVERIES_MAX, bytes: batch - taken };
            match self.client.poll_deliver(cx, budget) {
                Poll::Ready(Ok(())) if self.client.is_drained() => return self.flush(cx),
                Poll::Ready(Ok(())) => taken += self.client.outbox().bytes(),
                Poll::Ready(Err(goodbye)) => return Err(Ending::Verdict(goodbye)),
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// It is time for a ping, and to see whether the last one did any good.
    fn remind(&mut self) -> Result<(), Ending> {
        if let Some(since) = self.blocked_since {
            let stalled = since.elapsed() >= self.settings.options.stall_timeout.get();
            // A ping would only wait behind the rest.
            return if stalled { Err(Ending::Stalled) } else { Ok(()) };
        }
        if self.pinged && self.heard < SIGN_OF_LIFE_BYTES {
            return Err(Ending::Verdict(Goodbye::Silent));
        }
        self.pinged = true;
        self.heard = 0;
        // One ping for the program, which can see no other, and one that every library answers by itself.
        self.client.ping();
        self.client.outbox().push(frame::ping());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, F: Future>(_: impl FnOnce(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_is_small() {
        let task = size_of_future(run::<tokio::net::TcpStream>);
        let state = size_of::<Connection<tokio::net::TcpStream>>();
        assert!(task + state <= 1024, "a connection's future has {task} bytes and its state {state}");
    }
}
