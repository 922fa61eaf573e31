//! The servers, as one thing that answers: it knows which is primary of what, and tries again while that changes.

mod link;
mod map;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare_lifecycle::Backoff;
use parking_lot::Mutex;
use redis::{Client, Cmd, ConnectionInfo, ErrorKind, RedisError, ServerErrorKind, TlsCertificates, Value};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

pub(crate) use link::{Address, Identity, Link, Pushes};
pub(crate) use map::Map;
use map::Source;

use crate::error::{Error, Failure};
use crate::keys::{Keys, Partition};
use crate::metrics::{Handles, Operation};
use crate::options::{Mode, Options};

/// How soon a call is tried again, at first and at last: a reconnect takes a moment, a failover seconds.
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(200));

/// Calls go to the primary of their partition.
pub(crate) struct Servers {
    pub(crate) keys: Keys,
    pub(crate) handles: Handles,
    source: Source,
    timeout: Duration,
    map: watch::Sender<Arc<Map>>,
    links: Mutex<HashMap<Address, Arc<Slot>>>,
    /// Held by whoever asks for the map, with the time of the last answer.
    asking: tokio::sync::Mutex<Option<Instant>>,
}

/// The connection to one server, if there is one.
#[derive(Default)]
struct Slot {
    current: Mutex<Option<Link>>,
    /// Held by whoever connects.
    opening: tokio::sync::Mutex<()>,
    /// The life that the server had at the last connection.
    life: Mutex<Option<Arc<str>>>,
}

/// What a failed attempt asks for.
enum Next {
    /// The connection or the server is gone: ask for the map, connect anew.
    Reconnect,
    /// Another server is in charge: ask for the map.
    Moved,
    /// This slot is on its way to that server.
    Ask(String),
    /// It will pass.
    Wait,
    /// The scripts are not there.
    Load,
    /// Nothing helps.
    Refuse,
}

fn next(error: &RedisError) -> Next {
    match error.kind() {
        ErrorKind::Server(kind) => match kind {
            ServerErrorKind::Moved | ServerErrorKind::ReadOnly => Next::Moved,
            ServerErrorKind::Ask => error.redirect_node().map_or(Next::Wait, |(to, _)| Next::Ask(to.to_owned())),
            ServerErrorKind::NoScript => Next::Load,
            ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::BusyLoading => Next::Wait,
            _ => Next::Refuse,
        },
        // A script that takes too long, or a primary with too few replicas: both pass.
        ErrorKind::Extension if matches!(error.code(), Some("BUSY" | "NOREPLICAS" | "UNBLOCKED")) => Next::Wait,
        ErrorKind::Extension | ErrorKind::InvalidClientConfig | ErrorKind::AuthenticationFailed => Next::Refuse,
        _ => Next::Reconnect,
    }
}

/// The first answer that is an error.
fn refused(answers: &[Value]) -> Option<RedisError> {
    answers.iter().find_map(|answer| match answer {
        Value::ServerError(error) => Some(RedisError::from(error.clone())),
        _ => None,
    })
}

impl Servers {
    pub(crate) async fn connect(options: &Options) -> Result<Arc<Self>, Error> {
        let source = source(options)?;
        let keys = Keys::new(&options.prefix);
        let timeout = options.timeout.get();
        let deadline = Instant::now() + timeout;
        let mut backoff = TRY_AGAIN;
        let map = loop {
            match source.resolve(&[], &keys).await {
                Ok(map) => break map,
                Err(error) if matches!(next(&error), Next::Refuse) => return Err(unfit(&error, options.mode)),
                Err(error) if !backoff.wait_within(deadline).await => return Err(Error::Unreachable(Box::new(error))),
                Err(_) => {}
            }
        };
        Ok(Arc::new(Self {
            keys,
            handles: Handles::new(),
            source,
            timeout,
            map: watch::Sender::new(Arc::new(map)),
            links: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }))
    }

    /// The map as it is, and as it changes.
    pub(crate) fn map(&self) -> watch::Receiver<Arc<Map>> {
        self.map.subscribe()
    }

    /// How long an operation may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How long one attempt may take, so that a second one at another server fits in.
    fn attempt(&self) -> Duration {
        self.timeout / 2
    }

    /// A connection of one's own to a server, which is not shared and not kept.
    pub(crate) async fn open(&self, address: &Address, pushes: Option<Pushes>) -> Result<Link, RedisError> {
        Link::open(&self.source.client_of(address)?, self.attempt(), pushes).await
    }

    /// The shared connection to a server.
    pub(crate) async fn link(&self, address: &Address) -> Result<Link, RedisError> {
        let slot = Arc::clone(self.links.lock().entry(address.clone()).or_default());
        if let Some(link) = slot.current.lock().clone() {
            return Ok(link);
        }
        let _opening = slot.opening.lock().await;
        if let Some(link) = slot.current.lock().clone() {
            return Ok(link);
        }
        let link = self.open(address, None).await?;
        if !link.identity.primary {
            return Err((ErrorKind::Io, "the server is a replica").into());
        }
        if let Some(policy) = &link.identity.evicts {
            // At the start this is refused; a replica that took over may be set otherwise.
            tracing::warn!(server = %address, policy, "the primary may evict acknowledged events: set maxmemory-policy noeviction");
        }
        self.handles.connected_calls.increment(1);
        let before = slot.life.lock().replace(Arc::clone(&link.identity.life));
        if before.is_some_and(|life| life != link.identity.life) {
            tracing::warn!(server = %address, "the primary has begun another life");
            self.handles.failovers.increment(1);
        }
        *slot.current.lock() = Some(link.clone());
        Ok(link)
    }

    /// Forgets a connection that failed, unless it was replaced already.
    fn discard(&self, address: &Address, failed: &Link) {
        let slot = Arc::clone(self.links.lock().entry(address.clone()).or_default());
        let mut current = slot.current.lock();
        if current.as_ref().is_some_and(|link| Arc::ptr_eq(&link.identity, &failed.identity)) {
            *current = None;
        }
    }

    /// Asks which servers are primaries. Many who ask at once get one answer.
    pub(crate) async fn refresh(&self) -> Result<(), RedisError> {
        const FRESH: Duration = Duration::from_millis(20);
        let mut asked = self.asking.lock().await;
        if asked.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        let known = self.map.borrow().addresses();
        let map = self.source.resolve(&known, &self.keys).await?;
        *asked = Some(Instant::now());
        let changed = self.map.send_if_modified(|current| {
            let changed = **current != map;
            if changed {
                *current = Arc::new(map);
            }
            changed
        });
        if changed {
            let map = Arc::clone(&self.map.borrow());
            let addresses = map.addresses();
            tracing::info!(servers = ?addresses, "other servers are primaries");
            self.links.lock().retain(|address, _| addresses.contains(address));
        }
        Ok(())
    }

    /// Sends what `make` makes to the primary of `partition` and answers its answers. `again`: whether it may be done
    /// twice, so that it is tried again also when it is not known whether it was done.
    pub(crate) async fn call(
        &self,
        operation: Operation,
        partition: Partition,
        again: bool,
        make: impl Fn(&Link) -> Vec<Cmd>,
    ) -> Result<Vec<Value>, Failure> {
        let began = Instant::now();
        // Boxed: what calls it would be large otherwise, and a call crosses a network anyway.
        let done = Box::pin(self.try_until(began + self.timeout, partition, again, make)).await;
        let calls = self.handles.of(operation);
        calls.seconds.record(began.elapsed());
        if done.is_ok() { &calls.ok } else { &calls.failed }.increment(1);
        done
    }

    async fn try_until(
        &self,
        deadline: Instant,
        partition: Partition,
        again: bool,
        make: impl Fn(&Link) -> Vec<Cmd>,
    ) -> Result<Vec<Value>, Failure> {
        let mut backoff = TRY_AGAIN;
        let mut redirect: Option<Address> = None;
        loop {
            let address = match redirect.take() {
                Some(address) => (address, true),
                None => (self.map.borrow().of(partition).clone(), false),
            };
            let (address, asking) = address;
            let link = match timeout_at(deadline, self.link(&address)).await {
                Ok(Ok(link)) => link,
                Ok(Err(error)) if matches!(next(&error), Next::Refuse) => {
                    return Err(Failure::Refused(said_by_server(&error)));
                }
                Ok(Err(error)) => {
                    self.handles.retried_lost.increment(1);
                    self.pause_and_refresh(&mut backoff, deadline, &error).await?;
                    continue;
                }
                Err(_) => return Err(Failure::Unavailable(format!("{address} cannot be reached"))),
            };
            let attempt = deadline.min(Instant::now() + self.attempt());
            let sent = timeout_at(attempt, send(&link, make(&link), asking)).await;
            let error = match sent {
                Ok(Ok(answers)) => match refused(&answers) {
                    None => return Ok(answers),
                    Some(error) => error,
                },
                Ok(Err(error)) => error,
                Err(_) => (ErrorKind::Io, "no answer within the time").into(),
            };
            match next(&error) {
                Next::Refuse => return Err(Failure::Refused(said_by_server(&error))),
                Next::Load => {
                    let mut link = link.clone();
                    if timeout_at(deadline, link.load()).await.is_err() {
                        return Err(Failure::Unavailable(error.to_string()));
                    }
                }
                Next::Ask(to) => redirect = Address::parse(&to, &address),
                Next::Wait => {
                    self.handles.retried_busy.increment(1);
                    if !backoff.wait_within(deadline).await {
                        return Err(Failure::Unavailable(error.to_string()));
                    }
                }
                Next::Moved => {
                    self.handles.retried_moved.increment(1);
                    // A primary that was demoted may come back as another life behind the same connection.
                    self.discard(&address, &link);
                    self.pause_and_refresh(&mut backoff, deadline, &error).await?;
                }
                Next::Reconnect => {
                    self.discard(&address, &link);
                    if !again {
                        return Err(Failure::Unavailable(error.to_string()));
                    }
                    self.handles.retried_lost.increment(1);
                    self.pause_and_refresh(&mut backoff, deadline, &error).await?;
                }
            }
        }
    }

    async fn pause_and_refresh(
        &self,
        backoff: &mut Backoff,
        deadline: Instant,
        why: &RedisError,
    ) -> Result<(), Failure> {
        if !backoff.wait_within(deadline).await {
            return Err(Failure::Unavailable(why.to_string()));
        }
        // Without an answer the old map has to do; the next attempt shows.
        if let Ok(Err(error)) = timeout_at(deadline, self.refresh()).await {
            tracing::debug!(error = %error, "nobody says which servers are primaries");
        }
        Ok(())
    }
}

async fn send(link: &Link, commands: Vec<Cmd>, asking: bool) -> Result<Vec<Value>, RedisError> {
    if !asking {
        return link.send(&commands).await;
    }
    let mut asked = Vec::with_capacity(commands.len() * 2);
    for command in commands {
        asked.push(redis::cmd("ASKING"));
        asked.push(command);
    }
    let answers = link.send(&asked).await?;
    Ok(answers.into_iter().skip(1).step_by(2).collect())
}

/// A server that answers, but not as it should at the start: what to change.
fn unfit(error: &RedisError, mode: Mode) -> Error {
    let said = said_by_server(error);
    Error::Unfit(match (error.code(), mode) {
        (Some("NOPERM"), _) => {
            format!("engine.redis.username may not do what is needed ({said}); docs/engines/redis.md lists the rights")
        }
        (Some("ERR"), Mode::Sentinel | Mode::Cluster) => format!(
            "the server is none of those that engine.redis.mode speaks of ({said}); name Sentinels or nodes of a Cluster in \
             engine.redis.urls, or set mode = \"standalone\""
        ),
        _ => format!(
            "the server refuses this node ({said}); check user, password and the number of the database in engine.redis.urls"
        ),
    })
}

/// What a server said, for an operator: without what was sent to it.
fn said_by_server(error: &RedisError) -> String {
    let unknown =
        error.kind() == ErrorKind::AuthenticationFailed || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"));
    if unknown {
        return "the server does not accept engine.redis.username and password: set them to a user that it knows"
            .to_owned();
    }
    error.to_string()
}

fn source(options: &Options) -> Result<Source, Error> {
    options.validate().map_err(Error::Configuration)?;
    let read = |path: &std::path::Path, key: &str| {
        std::fs::read(path).map_err(|error| {
            Error::Configuration(format!("engine.redis.{key} {} cannot be read: {error}", path.display()))
        })
    };
    let mut infos = Vec::with_capacity(options.urls.len());
    for url in &options.urls {
        let info: ConnectionInfo = url
            .reveal()
            .parse()
            .map_err(|_| Error::Configuration("engine.redis.urls has a URL that cannot be read".to_owned()))?;
        infos.push(info);
    }
    let file = options.password_file.as_ref().map(|path| read(path, "password_file")).transpose()?;
    let file = file.map(|bytes| String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned());
    let password = options.password.as_ref().map(|secret| secret.reveal().to_owned()).or(file);
    let log_in = |info: &ConnectionInfo, username: Option<&str>, password: Option<&str>| {
        let mut settings = info.redis_settings().clone();
        if let Some(username) = username {
            settings = settings.set_username(username);
        }
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        info.clone().set_redis_settings(settings)
    };
    let first = &infos[0];
    let sentinel_password = options.sentinel_password.as_ref().map(fanfare_auth::Secret::reveal);
    let seeds: Option<Vec<_>> = infos.iter().map(Address::of).collect();
    let server = link::with_pushes(log_in(first, options.username.as_deref(), password.as_deref()));
    // A Sentinel has no databases and its own users.
    let sentinel = first.clone().set_redis_settings(redis::RedisConnectionInfo::default());
    let sentinel = log_in(&sentinel, None, sentinel_password);
    Ok(Source {
        mode: options.mode,
        server,
        seeds: seeds
            .ok_or_else(|| Error::Configuration("engine.redis.urls must be of hosts, not of sockets".to_owned()))?,
        sentinel,
        service: options.service.clone(),
        timeout: (options.timeout.get() / 3).max(Duration::from_millis(100)),
        client,
        ca: options.ca_file.as_ref().map(|path| read(path, "ca_file")).transpose()?,
    })
}

fn client(info: ConnectionInfo, ca: Option<&[u8]>) -> Result<Client, RedisError> {
    match ca {
        Some(ca) => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(ca.to_vec()) }),
        None => Client::open(info),
    }
}

impl Servers {
    /// Keeps the map right while nobody calls; never returns.
    pub(crate) async fn watch(&self, every: Duration) {
        if self.source.mode == Mode::Standalone && self.source.seeds.len() == 1 {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(every).await;
            if let Err(error) = self.refresh().await {
                tracing::warn!(error = %error, "nobody says which servers are primaries");
            }
        }
    }
}
