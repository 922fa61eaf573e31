//! A stream of frames as the body of an answer.
//!
//! A [`Stream`] has a [`Client`] and no task: the server that carries the connection polls it when the connection takes
//! more. So a client that reads slowly holds a cursor and one batch, and is not read either. While a command is carried
//! out the client is in the command's future.

mod frames;
mod listener;
mod stall;
mod turn;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use fanfare_session::Goodbye;
use fanfare_session::client::{Client, Incoming};
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use metrics::counter;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use tonic::{Code, Status, Streaming};

use crate::call::no_call;
use crate::fault::farewell;
use crate::gateway::Gateway;
use crate::metrics as names;
use stall::Pulse;
use turn::Turn;

pub(crate) use frames::Frames;
pub(crate) use listener::Listener;
pub(crate) use stall::{LOOKS, Stalls};

/// The body. Dropping it ends the session and its subscriptions.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    watched: usize,
}

/// What a stream's own task shares with the one that looks for stalled streams.
pub(crate) struct Shared {
    gateway: Arc<Gateway>,
    method: &'static str,
    state: Mutex<State>,
    pulse: Pulse,
}

/// What a stream begins with.
pub(crate) struct Begun {
    pub(crate) client: Box<Client>,
    /// What the client still sends, if it may say something.
    pub(crate) commands: Option<Streaming<Bytes>>,
    /// Of one that has yet to say who it is.
    pub(crate) arriving: Option<Arriving>,
    /// When the client does not want to hear more.
    pub(crate) deadline: Option<Instant>,
    /// The stream ends when this one has caught up.
    pub(crate) until_live: Option<Arc<Listener>>,
    /// It was turned away, and only hears why.
    pub(crate) over: Option<Goodbye>,
}

/// Of a session that has not said who it is.
pub(crate) struct Arriving {
    /// Its place among them.
    pub(crate) permit: OwnedSemaphorePermit,
    /// Until when it may.
    pub(crate) until: Instant,
}

struct State {
    stage: Stage,
    commands: Option<Box<Streaming<Bytes>>>,
    arriving: Option<(Timer, OwnedSemaphorePermit)>,
    deadline: Option<Timer>,
    until_live: Option<Arc<Listener>>,
    /// Something was delivered last, so that commands come first now.
    commands_first: bool,
}

type Timer = Pin<Box<Sleep>>;

enum Stage {
    /// It waits for something to say or to do.
    Idle(Box<Client>),
    /// It carries out a command.
    Busy(BoxFuture<'static, (Box<Client>, Result<(), Goodbye>)>),
    /// It leaves what it is a member of, before it is sent away.
    Parting(BoxFuture<'static, Box<Client>>, Goodbye),
    /// Only this is left to say, and then the status.
    Leaving(Bytes, Status),
    Over,
}

impl Stream {
    pub(crate) fn new(gateway: Arc<Gateway>, method: &'static str, begun: Begun) -> Self {
        let Begun { client, commands, arriving, deadline, until_live, over } = begun;
        let timer = |at| Box::pin(tokio::time::sleep_until(at));
        let state = State {
            stage: match over {
                None => Stage::Idle(client),
                Some(goodbye) => Stage::leave(client, goodbye),
            },
            commands: commands.map(Box::new),
            arriving: arriving.map(|arriving| (timer(arriving.until), arriving.permit)),
            deadline: deadline.map(timer),
            until_live,
            commands_first: false,
        };
        let shared = Arc::new(Shared { gateway, method, state: Mutex::new(state), pulse: Pulse::new() });
        let watched = shared.gateway.stalls.watch(&shared);
        Self { shared, watched }
    }
}

/// Answers a call with the stream that `begin` makes of it.
pub(crate) async fn answer<F, Fut>(gateway: &Arc<Gateway>, method: &'static str, request: Request, begin: F) -> Response
where
    F: FnOnce(Arc<Gateway>, Request) -> Fut,
    Fut: Future<Output = Result<Begun, Status>> + Send,
{
    if let Some(response) = no_call(&request) {
        return response;
    }
    match Box::pin(begin(Arc::clone(gateway), request)).await {
        Ok(what) => {
            let stream = Stream::new(Arc::clone(gateway), method, what);
            ([(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))], Body::new(stream)).into_response()
        }
        Err(status) => {
            counter!(names::STREAMS, "method" => method, "status" => names::name(status.code())).increment(1);
            status.into_http()
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.gateway.stalls.forget(self.watched);
        if !matches!(self.shared.state.lock().stage, Stage::Over) {
            self.shared.count(Code::Cancelled);
        }
    }
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut state = self.shared.state.lock();
        let polled = state.poll(cx, &self.shared);
        self.shared.pulse.beat(matches!(polled, Poll::Ready(Some(_))));
        polled.map(|frame| frame.map(Ok))
    }
}

impl Shared {
    fn count(&self, code: Code) {
        counter!(names::STREAMS, "method" => self.method, "status" => names::name(code)).increment(1);
    }

    /// Lets go of the session and the reader now; the client is told if it ever takes something again.
    fn end_stalled(&self) {
        // Who holds the lock is polling, and so has not stalled.
        let Some(mut state) = self.state.try_lock() else { return };
        state.stage = match std::mem::replace(&mut state.stage, Stage::Over) {
            Stage::Idle(client) => Stage::leave(client, Goodbye::Stalled),
            Stage::Busy(_) | Stage::Parting(..) => Stage::Leaving(Bytes::new(), farewell(Goodbye::Stalled)),
            leaving => leaving,
        };
        state.commands = None;
    }
}

impl Stage {
    /// A client that is sent away for good is missed by nobody.
    fn part(mut client: Box<Client>, goodbye: Goodbye) -> Self {
        if !goodbye.is_wanted() {
            return Self::leave(client, goodbye);
        }
        let parting = async move {
            client.leave_all().await;
            client
        };
        Self::Parting(Box::pin(parting), goodbye)
    }

    fn leave(mut client: Box<Client>, goodbye: Goodbye) -> Self {
        client.say_goodbye(goodbye);
        Self::Leaving(client.outbox().take(usize::MAX), farewell(goodbye))
    }

    fn carry_out(mut client: Box<Client>, incoming: Incoming) -> Self {
        Self::Busy(Box::pin(async move {
            let done = client.handle(incoming).await;
            (client, done)
        }))
    }
}

impl State {
    fn poll(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<Option<Frame<Bytes>>> {
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Idle(mut client) => match self.turn(&mut client, cx, &shared.gateway.options) {
                    Turn::Say(bytes) => {
                        self.stage = Stage::Idle(client);
                        return Poll::Ready(Some(Frame::data(bytes)));
                    }
                    Turn::Wait => {
                        self.stage = Stage::Idle(client);
                        return Poll::Pending;
                    }
                    Turn::CarryOut(incoming) => Stage::carry_out(client, incoming),
                    Turn::Leave(goodbye) => Stage::part(client, goodbye),
                    Turn::End(status) => Stage::Leaving(client.outbox().take(usize::MAX), status),
                },
                Stage::Busy(mut doing) => match doing.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.stage = Stage::Busy(doing);
                        return Poll::Pending;
                    }
                    Poll::Ready((client, Ok(()))) => Stage::Idle(client),
                    Poll::Ready((client, Err(goodbye))) => Stage::part(client, goodbye),
                },
                Stage::Parting(mut parting, goodbye) => match parting.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.stage = Stage::Parting(parting, goodbye);
                        return Poll::Pending;
                    }
                    Poll::Ready(client) => Stage::leave(client, goodbye),
                },
                Stage::Leaving(rest, status) if rest.is_empty() => {
                    self.commands = None;
                    shared.count(status.code());
                    return Poll::Ready(Some(Frame::trailers(trailers(&status))));
                }
                Stage::Leaving(rest, status) => {
                    self.stage = Stage::Leaving(Bytes::new(), status);
                    return Poll::Ready(Some(Frame::data(rest)));
                }
                Stage::Over => return Poll::Ready(None),
            }
        }
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // It says nothing that is no header; if it did, this is what is left of it.
        trailers = Status::new(status.code(), "").into_http::<()>().into_parts().0.headers;
    }
    trailers
}

fn elapsed(timer: Option<&mut Timer>, cx: &mut Context<'_>) -> bool {
    timer.is_some_and(|timer| timer.as_mut().poll(cx).is_ready())
}
