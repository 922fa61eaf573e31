//! Connections to the server that takes writes.

use std::ops::{Deref, DerefMut};
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgConnection, PgPool, Postgres, Row as _};
use tokio::time::Instant;

use crate::error::{Error, Failure};
use crate::metrics::{Call, Handles};
use crate::options::Options;

/// The servers of the cluster, and connections to the one that takes writes.
pub(crate) struct Server {
    candidates: Vec<PgConnectOptions>,
    /// Which candidate took writes last.
    current: AtomicUsize,
    pool: PgPool,
    session: Session,
    pub(crate) timeout: Duration,
    pub(crate) metrics: Handles,
}

impl Server {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let password = match &options.password_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Error::Options(format!("password_file {} cannot be read: {error}", path.display()))
                })?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        };
        let mut candidates = Vec::new();
        for (key, url) in
            std::iter::once(("url", &options.url)).chain(options.standby_urls.iter().map(|url| ("standby_urls", url)))
        {
            let problem = || Error::Options(format!("{key} is not of the form postgres://user@host:5432/database"));
            if !["postgres://", "postgresql://"].iter().any(|scheme| url.reveal().starts_with(scheme)) {
                return Err(problem());
            }
            let parsed = PgConnectOptions::from_str(url.reveal()).map_err(|_| problem())?;
            let mut parsed = parsed.application_name("fanfare").disable_statement_logging();
            if let Some(password) = &password {
                parsed = parsed.password(password);
            }
            candidates.push(parsed);
        }
        let session = Session {
            // `pg_temp` last, so that nobody can put a table of their own before ours.
            search_path: format!("\"{}\", pg_temp", options.schema),
            timeout_millis: options.timeout.get().as_millis().to_string(),
        };
        let prepare = session.clone();
        let pool = PgPoolOptions::new()
            .max_connections(options.connections)
            .acquire_timeout(options.timeout.get())
            .after_connect(move |connection, _| {
                let session = prepare.clone();
                Box::pin(async move { session.prepare(connection).await })
            })
            .connect_lazy_with(candidates[0].clone());
        let (current, timeout) = (AtomicUsize::new(0), options.timeout.get());
        Ok(Self { candidates, current, pool, session, timeout, metrics: Handles::new() })
    }

    /// A connection of its own to the server that takes writes.
    pub(crate) async fn connect(&self) -> Result<PgConnection, Failure> {
        let first = self.current.load(Ordering::Relaxed);
        let mut failure = Failure::Slow;
        for step in 0..self.candidates.len() {
            let at = (first + step) % self.candidates.len();
            let open = async {
                let mut connection = self.candidates[at].connect().await?;
                self.session.prepare(&mut connection).await?;
                Ok(connection)
            };
            match self.limit(open).await {
                Ok(connection) => {
                    if self.current.swap(at, Ordering::Relaxed) != at {
                        tracing::warn!(server = self.candidates[at].get_host(), "another server takes writes now");
                        self.pool.set_connect_options(self.candidates[at].clone());
                    }
                    return Ok(connection);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// A connection of the pool, for one call.
    pub(crate) async fn borrow(&self, call: Call) -> Result<Borrowed<'_>, Failure> {
        let since = Instant::now();
        match self.pool.acquire().await {
            Ok(connection) => Ok(Borrowed { server: self, connection, call, since, answered: false }),
            Err(error) => {
                self.metrics.called(call, since.elapsed(), false);
                Err(error.into())
            }
        }
    }

    /// Waits for an answer no longer than the time-out.
    pub(crate) async fn limit<T>(&self, asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::Slow),
        }
    }

    /// The pool, for `LISTEN`.
    pub(crate) fn listening_options(&self) -> PgConnectOptions {
        self.candidates[self.current.load(Ordering::Relaxed)].clone()
    }
}

/// What every connection is set to.
#[derive(Clone)]
struct Session {
    search_path: String,
    timeout_millis: String,
}

impl Session {
    /// Refuses a server that takes no writes.
    ///
    /// Every statement is planned once, and by the indexes. Each has one right plan: planned anew each time it takes longer
    /// than to run, and kept as it was planned while the tables were small it would read all of them later.
    async fn prepare(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let row = sqlx::query(
            "SELECT pg_is_in_recovery(), set_config('search_path', $1, false), set_config('statement_timeout', $2, false),
                    set_config('lock_timeout', $2, false), set_config('jit', 'off', false),
                    set_config('default_transaction_isolation', 'read committed', false),
                    set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),
                    set_config('enable_hashjoin', 'off', false), set_config('enable_mergejoin', 'off', false),
                    set_config('enable_material', 'off', false)",
        )
        .bind(&self.search_path)
        .bind(&self.timeout_millis)
        .fetch_one(connection)
        .await?;
        if row.try_get(0)? {
            let reason = "the server is a standby and takes no writes";
            return Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::ReadOnlyFilesystem, reason)));
        }
        Ok(())
    }
}

/// A connection for one call. Unless it gave an answer it is closed, because what it says next would be the answer to
/// something else.
pub(crate) struct Borrowed<'a> {
    server: &'a Server,
    connection: PoolConnection<Postgres>,
    call: Call,
    since: Instant,
    answered: bool,
}

impl Borrowed<'_> {
    /// Ends the call with what came of it.
    pub(crate) fn done<T>(mut self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        self.answered = outcome.as_ref().err().is_none_or(Failure::is_answer);
        self.server.metrics.called(self.call, self.since.elapsed(), outcome.is_ok());
        outcome
    }
}

impl Deref for Borrowed<'_> {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.connection.close_on_drop();
        }
    }
}

/// The server as the engine's parts hold it.
pub(crate) type SharedServer = Arc<Server>;
