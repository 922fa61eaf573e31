//! The connection to the servers, and calls of the `JetStream` API over it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, HeaderMap, Message, Request, RequestErrorKind,
    Statistics,
};
use bytes::Bytes;
use fanfare_lifecycle::{Backoff, Lifecycle, TaskKind};
use fanfare_model::{Clock, Timestamp};
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::{Error, Fault, code};
use crate::gets::{Gets, Got, Stored};
use crate::life::Stream;
use crate::metrics::{Handles, Operation};
use crate::options::Options;

/// The oldest server that can do what is asked of it: batched direct gets and a time to live per message.
const SERVER_MIN: (i64, i64, i64) = (2, 11, 0);
/// How soon a call is tried again, at first and at last: an election takes seconds.
pub(crate) const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(200));

/// How soon a lost connection is made again, at first and at last.
const CONNECT_AGAIN: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(1600));

/// How long an answer is waited for at least, be the time over or not.
const PATIENCE_MIN: Duration = Duration::from_millis(100);

/// How long to wait before streams are looked for again that did not answer.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// One connection, which is made again whenever it breaks.
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) metrics: Arc<Handles>,
    pub(crate) timeout: Duration,
    gets: Gets,
    /// What the subjects of the API begin with.
    api: String,
    statistics: Arc<Statistics>,
    clock: Arc<dyn Clock>,
    /// Counts the times that live messages may have been missed.
    shaken: watch::Sender<u64>,
    /// Counts the times that all streams were looked at after that.
    settled: watch::Sender<u64>,
    /// The streams that are looked after.
    streams: Mutex<Vec<Arc<Stream>>>,
    /// What a server's clock showed, and when.
    server_time: Mutex<Option<(Timestamp, Instant)>>,
    _until_dropped: DropGuard,
}

impl Link {
    /// Connects, and checks that the servers can do what is needed.
    pub(crate) async fn connect(
        options: &Options,
        clock: Arc<dyn Clock>,
        life: &Lifecycle,
    ) -> Result<Arc<Self>, Error> {
        let metrics = Arc::new(Handles::new());
        let shaken = watch::Sender::new(0_u64);
        let connect = credentials(options).await?.event_callback({
            let (metrics, shaken) = (Arc::clone(&metrics), shaken.clone());
            move |event| {
                note(&event, &metrics, &shaken);
                std::future::ready(())
            }
        });
        let mut servers = Vec::with_capacity(options.urls.len());
        for url in &options.urls {
            let server: async_nats::ServerAddr = url.parse().map_err(|_| {
                let text =
                    "engine.nats.urls holds what is not the address of a server; write e.g. nats://10.0.0.1:4222";
                Error::Configuration(text.to_owned())
            })?;
            servers.push(server);
        }
        let timeout = options.timeout.get();
        let client = tokio::time::timeout(timeout, connect.connect(servers))
            .await
            .map_err(|error| Error::Unreachable(error.into()))?
            .map_err(refused)?;
        let (major, minor, patch) = SERVER_MIN;
        if !client.is_server_compatible(major, minor, patch) {
            let found = client.server_info().version;
            return Err(Error::Unfit(format!("the NATS server is version {found}; use {major}.{minor} or later")));
        }
        let api = options.domain.as_ref().map_or_else(|| "$JS.API".to_owned(), |domain| format!("$JS.{domain}.API"));
        let gets = Gets::listen(&client, life).await.map_err(|error| Error::Unreachable(error.into()))?;
        let end = life.hard().child_token();
        let link = Arc::new(Self {
            statistics: client.statistics(),
            client,
            metrics,
            timeout,
            gets,
            api,
            clock,
            shaken,
            settled: watch::Sender::new(0),
            streams: Mutex::default(),
            server_time: Mutex::new(None),
            _until_dropped: end.clone().drop_guard(),
        });
        match link.call::<Value>(Operation::Info, "INFO", &Value::Null).await {
            Ok(_) => {
                let watched = link.shaken.subscribe();
                life.spawn(TaskKind::Background, "nats-streams", settle(Arc::downgrade(&link), watched, end));
                Ok(link)
            }
            Err(fault) if passes(&fault) => Err(Error::Unready(fault.into())),
            Err(fault) => Err(Error::Unfit(format!(
                "JetStream cannot be used at the NATS server ({fault}); allow it for the account of this node"
            ))),
        }
    }

    /// Live messages may have been missed.
    pub(crate) fn shake(&self) {
        self.shaken.send_modify(|times| *times += 1);
    }

    /// Changes after live messages may have been missed (the connection was made again, or too many came at once), when it
    /// has been looked up in which life every stream is.
    pub(crate) fn settled(&self) -> watch::Receiver<u64> {
        self.settled.subscribe()
    }

    /// The number of the connection: counted before anything is sent on it.
    pub(crate) fn connection(&self) -> u64 {
        self.statistics.connects.load(Ordering::Acquire)
    }

    /// A stream is to be there from now on, and its life to be known.
    pub(crate) fn look_after(&self, stream: Arc<Stream>) {
        self.streams.lock().push(stream);
    }

    /// Looks up in which life every stream is; `false` if one does not answer.
    async fn look_at_streams(&self) -> bool {
        let streams = self.streams.lock().clone();
        let looks = streams.iter().map(|stream| async {
            let life = stream.life(self, self.timeout).await;
            life.inspect_err(|fault| tracing::warn!(error = %fault, stream = stream.name, "stream does not answer"))
                .is_ok()
        });
        join_all(looks).await.into_iter().all(|found| found)
    }

    /// The time by the servers' clock.
    pub(crate) fn server_time(&self) -> Option<Timestamp> {
        let known = *self.server_time.lock();
        known.map(|(at, since)| at.plus(since.elapsed()))
    }

    /// The same, or this node's own until a server has said what time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.server_time().unwrap_or_else(|| self.clock.now())
    }

    /// A server says what time it is.
    pub(crate) fn learn_time(&self, at: Timestamp) {
        *self.server_time.lock() = Some((at, Instant::now()));
    }

    /// The most bytes that a message may have.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.client.max_payload()
    }

    pub(crate) fn subject(&self, operation: &str) -> String {
        format!("{}.{operation}", self.api)
    }

    /// One call of the API, tried until the time is over.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        kind: Operation,
        operation: &str,
        body: &impl Serialize,
    ) -> Result<T, Fault> {
        let body = match serde_json::to_value(body).map_err(|error| Fault::Garbled(error.to_string()))? {
            Value::Null => Bytes::new(),
            value => Bytes::from(value.to_string()),
        };
        let subject = self.subject(operation);
        let answer = self.ask(kind, &subject, None, body).await?;
        serde_json::from_value(answer).map_err(|error| Fault::Garbled(error.to_string()))
    }

    /// Asks for an answer in JSON, again and again until there is one or the time is over.
    pub(crate) async fn ask(
        &self,
        kind: Operation,
        subject: &str,
        headers: Option<&HeaderMap>,
        body: Bytes,
    ) -> Result<Value, Fault> {
        let since = Instant::now();
        let (until, mut backoff) = (since + self.timeout, TRY_AGAIN);
        let answer = loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.ask_once(subject, headers, body.clone(), left).await {
                Err(fault) if passes(&fault) && backoff.wait_within(until).await => {}
                answer => break answer,
            }
        };
        self.metrics.called(kind, answer.is_ok(), since.elapsed());
        answer
    }

    /// Asks once; waits for at most `patience`, or half of the time-out if that is less.
    pub(crate) async fn ask_once(
        &self,
        subject: &str,
        headers: Option<&HeaderMap>,
        body: Bytes,
        patience: Duration,
    ) -> Result<Value, Fault> {
        let patience = patience.min(self.timeout / 2).max(PATIENCE_MIN);
        let mut request = Request::new().payload(body).timeout(Some(patience));
        if let Some(headers) = headers {
            request = request.headers(headers.clone());
        }
        let asked = async { self.client.send_request(subject.to_owned(), request).await.map_err(|e| fault_of(&e)) };
        parse(&self.on_this_connection(asked).await?)
    }

    /// The answer to a question, unless the connection is made again meanwhile: then none comes any more.
    async fn on_this_connection<T>(&self, asked: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let (connection, mut shaken) = (self.connection(), self.shaken.subscribe());
        let another = async { while self.connection() == connection && shaken.changed().await.is_ok() {} };
        tokio::select! {
            biased;
            answer = asked => answer,
            () = another => Err(Fault::Unavailable("the connection was lost meanwhile".to_owned())),
        }
    }

    /// Reads messages of a stream.
    pub(crate) async fn get(&self, stream: &str, get: &crate::gets::Get<'_>) -> Result<crate::gets::Batch, Fault> {
        let since = Instant::now();
        let (until, mut backoff) = (since + self.timeout, TRY_AGAIN);
        let subject = self.subject(&format!("DIRECT.GET.{stream}"));
        let answer = loop {
            let left = until.saturating_duration_since(Instant::now());
            let patience = left.min(self.timeout / 2).max(PATIENCE_MIN);
            match self.on_this_connection(self.gets.get(&self.client, &subject, get, patience)).await {
                Err(fault) if passes(&fault) && backoff.wait_within(until).await => {}
                answer => break answer,
            }
        };
        self.metrics.called(Operation::Get, answer.is_ok(), since.elapsed());
        answer
    }
}

impl Link {
    /// The last message of a subject as the leader of the stream has it, which has all that was acknowledged.
    pub(crate) async fn last_by_leader(&self, stream: &str, subject: &str) -> Result<Option<Stored>, Fault> {
        let body = serde_json::json!({ "last_by_subj": subject });
        match self.call::<Got>(Operation::Get, &format!("STREAM.MSG.GET.{stream}"), &body).await {
            Ok(got) => got.message.stored().map(Some),
            Err(fault) if fault.is(code::NO_MESSAGE) => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

/// Looks at all streams when something may have happened to them, and says so afterwards.
async fn settle(link: Weak<Link>, mut shaken: watch::Receiver<u64>, end: CancellationToken) {
    let mut whole = true;
    loop {
        let patience = if whole { Duration::MAX } else { LOOK_AGAIN_AFTER };
        let again = tokio::time::timeout(patience, shaken.changed());
        let (Some(_), Some(link)) = (end.run_until_cancelled(again).await, link.upgrade()) else { return };
        whole = link.look_at_streams().await;
        link.settled.send_modify(|times| *times += 1);
    }
}

/// Whether it is worth trying again soon.
fn passes(fault: &Fault) -> bool {
    match fault {
        Fault::Unavailable(_) => true,
        Fault::Refused { code, .. } => code::PASSING.contains(code),
        Fault::Garbled(_) => false,
    }
}

pub(crate) fn fault_of(error: &async_nats::RequestError) -> Fault {
    match error.kind() {
        RequestErrorKind::MaxPayloadExceeded => {
            Fault::Refused { code: code::MESSAGE_TOO_LARGE, text: "larger than a message may be".to_owned() }
        }
        _ => Fault::Unavailable(error.to_string()),
    }
}

/// The answer in a message, or the error that it holds.
pub(crate) fn parse(message: &Message) -> Result<Value, Fault> {
    let answer: Value = serde_json::from_slice(&message.payload).map_err(|error| Fault::Garbled(error.to_string()))?;
    match answer.get("error") {
        None => Ok(answer),
        Some(error) => {
            let number = |field: &str| error.get(field).and_then(Value::as_u64);
            let code = number("err_code").or_else(|| number("code")).unwrap_or(0);
            let text = error.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
            Err(Fault::Refused { code, text })
        }
    }
}

fn note(event: &Event, metrics: &Handles, shaken: &watch::Sender<u64>) {
    match event {
        Event::Connected => shaken.send_modify(|times| *times += 1),
        Event::SlowConsumer(_) => {
            metrics.overruns.increment(1);
            shaken.send_modify(|times| *times += 1);
        }
        Event::Disconnected => {
            metrics.disconnects.increment(1);
            tracing::warn!("connection to nats lost");
        }
        other => tracing::info!(event = %other, "nats"),
    }
}

/// Why there is no connection.
fn refused(error: ConnectError) -> Error {
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => Error::Unfit(
            "the NATS server does not let this node in; set engine.nats.username and password, token, or \
             credentials_file to what it knows"
                .to_owned(),
        ),
        _ => Error::Unreachable(error.into()),
    }
}

async fn credentials(options: &Options) -> Result<ConnectOptions, Error> {
    let backoff = Mutex::new(CONNECT_AGAIN);
    let mut connect = ConnectOptions::new()
        .name(format!("fanfare {}", options.prefix))
        .connection_timeout(options.timeout.get())
        .ping_interval(options.timeout.get())
        .subscription_capacity(options.live_waiting_max)
        .reconnect_delay_callback(move |attempts| {
            let mut backoff = backoff.lock();
            if attempts <= 1 {
                backoff.reset();
            }
            backoff.next_wait()
        });
    if let (Some(user), Some(password)) = (&options.username, &options.password) {
        connect = connect.user_and_password(user.clone(), password.reveal().to_owned());
    }
    if let Some(token) = &options.token {
        connect = connect.token(token.reveal().to_owned());
    }
    if let Some(file) = &options.credentials_file {
        connect = connect.credentials_file(file).await.map_err(|error| {
            Error::Configuration(format!("engine.nats.credentials_file \"{}\" cannot be used: {error}", file.display()))
        })?;
    }
    if let Some(file) = &options.ca_file {
        connect = connect.add_root_certificates(file.clone());
    }
    Ok(connect)
}
