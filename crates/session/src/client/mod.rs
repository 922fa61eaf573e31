//! What a bidirectional client may do, once for every protocol: connect, subscribe, publish, read history, be present,
//! refresh, resume.
//!
//! A [`Client`] is the state of one such session. A transport feeds it the [`Request`]s that its [`Dialect`] has
//! read, polls it for deliveries and nudges, and sends what gathers in its [`Outbox`]. It knows no wire format and
//! owns no socket, timer or task.
//!
//! Reading order: [`Command`], [`Reply`] and [`Push`], [`Dialect`], [`Client`], [`Outbox`], [`Error`].

mod chores;
mod command;
mod connect;
mod continuation;
mod deliver;
mod dialect;
mod error;
mod history;
mod host;
mod outbox;
mod pace;
mod presence;
mod publish;
mod refresh;
mod reply;
mod subscribe;

use std::sync::{Arc, Weak};

use fanfare_bus::{Reader, Serve};
use fanfare_model::Timestamp;
use futures_util::FutureExt as _;

pub use command::{Anchor, Command, Connect, HistoryQuery, Place, PresenceAct, Request, RequestId, Subscribe, Token};
pub use connect::Peer;
pub use continuation::Continuation;
pub use dialect::{Dialect, Incoming, Payload, Unreadable};
pub use error::Error;
pub use history::read_history;
pub use host::{Host, Limits};
pub use outbox::Outbox;
pub use reply::{HistoryPage, Push, Reply, UNAVAILABLE, UNSUBSCRIBED_BY_SERVER, UNSUBSCRIBED_PERMISSION};

use crate::{Goodbye, Session};
use pace::Pace;
use presence::Presence;
use subscribe::Subscription;

/// One client session.
pub struct Client {
    host: Arc<Host>,
    dialect: Arc<dyn Dialect>,
    stage: Stage,
    reader: Reader,
    /// At most `subscriptions_max`, and looked through for commands only, never for an event.
    subscriptions: Vec<Subscription>,
    presence: Option<Box<Presence>>,
    /// The application wants something of it.
    has_orders: bool,
    pace: Pace,
    out: Outbox,
    /// Events appended after this are live ones, for the metrics.
    listening_since: Timestamp,
}

/// How far a client is.
enum Stage {
    /// It has not said who it is.
    Arrived(Box<Peer>),
    /// It is in the registry.
    Connected(Arc<Session>),
}

impl Client {
    /// A client that has just arrived and has not said who it is.
    pub fn new(host: Arc<Host>, dialect: Arc<dyn Dialect>, peer: Peer) -> Self {
        let reader = host.node.bus.reader();
        let pace = Pace::new(&host.limits);
        Self {
            host,
            dialect,
            stage: Stage::Arrived(Box::new(peer)),
            reader,
            subscriptions: Vec::new(),
            presence: None,
            has_orders: false,
            pace,
            out: Outbox::default(),
            listening_since: Timestamp::default(),
        }
    }

    /// Whether it has said who it is and was let in.
    pub fn is_connected(&self) -> bool {
        matches!(self.stage, Stage::Connected(_))
    }

    /// From now on `by` is told of news, instead of a task being woken. See [`Reader::serve_in_place`].
    pub fn serve_in_place(&mut self, by: Weak<dyn Serve>) {
        self.reader.serve_in_place(by);
    }

    /// The protocol it speaks.
    pub fn dialect(&self) -> &dyn Dialect {
        &*self.dialect
    }

    /// What waits to be sent.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.out
    }

    /// Carries out one request and puts what there is to say in the outbox. An error is said to the client; `Err`
    /// means that the session is over. Cancelling may leave the command done without an answer.
    pub async fn handle(&mut self, incoming: Incoming) -> Result<(), Goodbye> {
        let (id, command) = match incoming {
            Incoming::Request(request) => (request.id, Ok(request.command)),
            Incoming::Unreadable(unreadable) => (unreadable.id, Err(Error::Invalid(unreadable.error))),
            Incoming::Chores => return self.do_chores().boxed().await,
        };
        let done = match self.pace.spend() {
            Ok(()) => match command {
                Ok(command) => self.carry_out(id, command).await,
                Err(error) if self.is_connected() => Err(error.into()),
                // Whoever does not speak the protocol at all is not worth a session.
                Err(error) => Err(Failure { error, ends: Some(Goodbye::BadRequest) }),
            },
            Err(error) => Err(error),
        };
        let Err(failure) = done else { return Ok(()) };
        self.reply(id, &Reply::Error(failure.error));
        failure.ends.map_or(Ok(()), Err)
    }

    async fn carry_out(&mut self, id: Option<RequestId>, command: Command) -> Result<(), Failure> {
        let command = match command {
            Command::Connect(connect) => return self.connect(id, connect).boxed().await,
            Command::Ping => {
                self.reply(id, &Reply::Pong);
                return Ok(());
            }
            other => other,
        };
        let session = self.session().map(Arc::clone);
        let session = session.map_err(|error| Failure { error, ends: Some(Goodbye::Unauthenticated) })?;
        let time = self.host.limits.command_timeout;
        // Boxed, so that the connection's future does not keep the room of its widest command.
        let done = async {
            match command {
                Command::Subscribe(wish) => self.subscribe(wish).boxed().await,
                Command::Unsubscribe { topic } => self.unsubscribe(topic).boxed().await,
                Command::Publish { topic, draft } => self.publish(topic, draft).boxed().await,
                Command::History(query) => self.history(query).boxed().await,
                Command::Presence { topic, act } => self.presence(topic, act).boxed().await,
                Command::Refresh { token } => self.refresh(&token.0).boxed().await,
                Command::Connect(_) | Command::Ping => Ok(Done::quiet(Reply::Pong)),
            }
        };
        let done = tokio::select! {
            biased;
            done = tokio::time::timeout(time, done) => done.map_err(|_| Error::Timeout)??,
            // A session that is over does not wait for a log that is stuck.
            goodbye = session.ended() => return Err(Failure { error: Error::Timeout, ends: Some(goodbye) }),
        };
        if id.is_some() {
            self.reply(id, &done.reply);
        }
        for push in &done.pushes {
            self.push(push);
        }
        Ok(())
    }

    /// Waits for nothing: says that a transport-level ping has come, which costs as much as a command.
    pub fn pinged(&mut self) -> Result<(), Goodbye> {
        self.pace.spend().or_else(|failure| failure.ends.map_or(Ok(()), Err))
    }

    fn reply(&mut self, id: Option<RequestId>, reply: &Reply) {
        let bytes = self.dialect.reply(id, reply);
        self.out.push(bytes);
    }

    fn push(&mut self, push: &Push) {
        let bytes = self.dialect.push(push);
        self.out.push(bytes);
    }
}

/// A command that was carried out.
struct Done {
    reply: Reply,
    /// What follows from it, said after the reply.
    pushes: Vec<Push>,
}

impl Done {
    fn quiet(reply: Reply) -> Self {
        Self { reply, pushes: Vec::new() }
    }
}

/// A command that was not carried out.
struct Failure {
    error: Error,
    /// Whether, and with which verdict, the session is over.
    ends: Option<Goodbye>,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let ends = if let Error::Denied(denied) = &error { denied.ends() } else { None };
        Self { error, ends }
    }
}
