//! The engine: one schema of a database, and what is built on it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use fanfare_bus::{Broker, Policies, Receive};
use fanfare_cluster::Leases;
use fanfare_consumer::Cursors;
use fanfare_history::{Announce, Capabilities, Durability, Failover, Log, Retention, TimeOf, Window};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::Clock;
use fanfare_presence::Presence;
use parking_lot::Mutex;
use sqlx::migrate::Migrator;
use sqlx::{PgConnection, Row as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::append::Into;
use crate::bell::{Bell, Channel};
use crate::broker::{Interest, PgBroker};
use crate::columns;
use crate::cursors::PgCursors;
use crate::error::{Error, Failure};
use crate::lanes::{Lanes, Plan, Stored};
use crate::leases::PgLeases;
use crate::log::{PgLog, Relay};
use crate::metrics::Call;
use crate::options::Options;
use crate::presence::PgPresence;
use crate::server::{Server, SharedServer};
use crate::store::{DAY, Store};
use crate::tail::{Hear, Reads, Tail};
use crate::upkeep::Upkeep;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The oldest server that has what is needed.
const VERSION_MIN: i32 = 150_000;

/// A connected engine. What it makes keeps it alive.
pub struct Engine {
    server: SharedServer,
    options: Options,
    clock: Arc<dyn Clock>,
    life: Lifecycle,
    /// Into how many shards presence is divided here.
    shards: u16,
}

impl Engine {
    /// Connects, checks the server, and makes the tables or brings them up to date. Several nodes may do so at once.
    pub async fn connect(options: &Options, clock: Arc<dyn Clock>, life: &Lifecycle) -> Result<Arc<Self>, Error> {
        options.validate().map_err(Error::Options)?;
        let server = Arc::new(Server::new(options)?);
        let mut connection = server.connect().await.map_err(unreachable)?;
        check(&server, &mut connection).await?;
        check_unshared(&server, &mut connection).await?;
        let shards = set_up(&mut connection, options, &*clock)
            .await
            .map_err(|source| Error::Schema { schema: options.schema.clone(), source })?;
        Ok(Arc::new(Self { server, options: options.clone(), clock, life: life.clone(), shards }))
    }

    /// What its logs can do.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: "postgres",
            durability_max: Durability::Committed,
            survives_restart: true,
            failover: Failover::Tail,
            event_bytes_max: self.options.event_bytes_max.as_usize(),
            dense: true,
            retention: Retention::PerAppend,
            bounds_bytes: true,
            truncates: true,
            window: Window::PerAppend,
            time: TimeOf::Node,
        }
    }

    /// A broker whose announcements `receive` hears. The policies are also written to the database, for applications that
    /// publish in their own transactions.
    pub fn broker(&self, policies: Arc<Policies>, receive: Arc<dyn Receive>) -> Arc<dyn Broker> {
        let stop = CancellationToken::new();
        let interest = Arc::new(Interest::new(receive));
        let (tail, bell) = self.tail(Reads::All, Arc::clone(&interest) as Arc<dyn Hear>, &stop);
        self.write_policies(&policies, &stop);
        let wake = |tail: &Arc<Tail>, bell: &Arc<Bell>| -> Stored {
            let (tail, bell) = (Arc::clone(tail), Arc::clone(bell));
            Arc::new(move |_| {
                tail.wake();
                bell.ring();
            })
        };
        Arc::new(PgBroker {
            store: self.store(),
            log: self.lanes(Into::Log, wake(&tail, &bell), false),
            passing: self.lanes(Into::Passing, wake(&tail, &bell), false),
            upkeep: self.upkeep(&policies, &tail, &bell),
            policies,
            capabilities: self.capabilities(),
            interest,
            tail,
            _stop: stop.drop_guard(),
        })
    }

    /// A log alone, for a broker that carries hints another way. Topics that keep no history do not come here.
    pub fn log(&self, policies: &Arc<Policies>, announce: Arc<dyn Announce>) -> Arc<dyn Log> {
        self.target(policies, announce)
    }

    /// The same log as what it is: one that can take over the logs of another engine ([`fanfare_history::Restore`]).
    pub fn target(&self, policies: &Arc<Policies>, announce: Arc<dyn Announce>) -> Arc<PgLog> {
        let stop = CancellationToken::new();
        let relay: Arc<dyn Hear> = Arc::new(Relay(Arc::clone(&announce)));
        let (tail, bell) = self.tail(Reads::Outside, relay, &stop);
        self.write_policies(policies, &stop);
        let told = Arc::clone(&announce);
        Arc::new(PgLog {
            store: self.store(),
            lanes: self.lanes(Into::Log, Arc::new(move |events| told.stored(events)), true),
            capabilities: self.capabilities(),
            announce,
            upkeep: self.upkeep(policies, &tail, &bell),
            _stop: stop.drop_guard(),
        })
    }

    /// Leases.
    pub fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(PgLeases { server: Arc::clone(&self.server) })
    }

    /// The progress of consumers, of which a tenant may have as many as `options` say.
    pub fn cursors(&self, options: &fanfare_consumer::Options) -> Arc<dyn Cursors> {
        let consumers_max = options.consumers_max;
        Arc::new(PgCursors { server: Arc::clone(&self.server), consumers_max, closed: AtomicBool::new(false) })
    }

    /// Presence.
    pub fn presence(&self) -> Arc<dyn Presence> {
        Arc::new(PgPresence::new(Arc::clone(&self.server), &self.options, self.shards, &self.life))
    }

    fn store(&self) -> Store {
        Store { server: Arc::clone(&self.server), clock: Arc::clone(&self.clock) }
    }

    fn tail(&self, reads: Reads, hear: Arc<dyn Hear>, stop: &CancellationToken) -> (Arc<Tail>, Arc<Bell>) {
        let wake = Arc::new(Notify::new());
        let bell = Bell::start(&self.server, &self.options, Channel::Tail, Arc::clone(&wake), stop, &self.life);
        let server = Arc::clone(&self.server);
        let tail = Tail::start(server, &self.options, reads, hear, wake, stop.clone(), &self.life);
        (Arc::new(tail), Arc::new(bell))
    }

    fn lanes(&self, into: Into, stored: Stored, tells: bool) -> Lanes {
        let plan = Plan {
            server: Arc::clone(&self.server),
            clock: Arc::clone(&self.clock),
            into,
            writers: self.options.writers as usize,
            batch_events_max: self.options.batch_events_max,
            queue_bytes_max: self.options.queue_bytes_max.as_usize(),
            event_bytes_max: self.options.event_bytes_max.as_usize(),
            stored,
            tells,
        };
        Lanes::start(plan, &self.life)
    }

    fn upkeep(&self, policies: &Policies, tail: &Arc<Tail>, bell: &Arc<Bell>) -> Upkeep {
        let windows = policies.all().map(|(_, policy)| policy.keep.idempotency_window);
        Upkeep {
            clock: Arc::clone(&self.clock),
            days_ahead: self.options.days_ahead,
            dead_for: windows.fold(self.options.dead_for.get(), Duration::max),
            tail: Arc::clone(tail),
            bell: Arc::clone(bell),
            done: Mutex::default(),
        }
    }

    /// Tells applications' `publish` of the policies, as soon as the server can be reached.
    fn write_policies(&self, policies: &Arc<Policies>, stop: &CancellationToken) {
        let (server, policies, stop) = (Arc::clone(&self.server), Arc::clone(policies), stop.clone());
        self.life.spawn(fanfare_lifecycle::TaskKind::Background, "write policies to PostgreSQL", async move {
            while let Err(failure) = write_policies(&server, &policies).await {
                tracing::warn!(error = %failure, "policies could not be written to PostgreSQL yet");
                if tokio::time::timeout(server.timeout, stop.cancelled()).await.is_ok() {
                    return;
                }
            }
        });
    }
}

async fn write_policies(server: &Server, policies: &Policies) -> Result<(), Failure> {
    let all: Vec<_> = policies.all().collect();
    let keep = |of: fn(&fanfare_history::Keep) -> Option<i64>| {
        all.iter().map(|(_, policy)| of(&policy.keep)).collect::<Vec<_>>()
    };
    let query = sqlx::query(
        "WITH new AS (
            SELECT * FROM unnest($1::text[], $2::boolean[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
                AS u (kind, history, events_max, bytes_max, age_max, idempotency_window, event_bytes_max)
        ), gone AS (DELETE FROM policy WHERE kind NOT IN (SELECT kind FROM new))
        INSERT INTO policy SELECT * FROM new ORDER BY kind
        ON CONFLICT (kind) DO UPDATE SET history = excluded.history, events_max = excluded.events_max,
            bytes_max = excluded.bytes_max, age_max = excluded.age_max,
            idempotency_window = excluded.idempotency_window, event_bytes_max = excluded.event_bytes_max",
    )
    .bind(all.iter().map(|(kind, _)| *kind).collect::<Vec<_>>())
    .bind(all.iter().map(|(_, policy)| policy.history).collect::<Vec<_>>())
    .bind(keep(|keep| keep.events_max.map(columns::number)))
    .bind(keep(|keep| keep.bytes_max.map(columns::number)))
    .bind(keep(|keep| keep.age_max.map(columns::micros)))
    .bind(keep(|keep| Some(columns::micros(keep.idempotency_window))))
    .bind(all.iter().map(|(_, policy)| columns::number(policy.event_bytes_max as u64)).collect::<Vec<_>>());
    let mut connection = server.borrow(Call::Admin).await?;
    let written = server.limit(query.execute(&mut *connection)).await;
    connection.done(written)?;
    Ok(())
}

fn unreachable(failure: Failure) -> Error {
    match failure {
        other if other.is_shared() => Error::Shared,
        Failure::Server(error @ sqlx::Error::Database(_)) => Error::Refused(error),
        Failure::Server(error) => Error::Unreachable(error),
        other => Error::Unreachable(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, other))),
    }
}

/// Whether the server has what is needed.
async fn check(server: &Server, connection: &mut PgConnection) -> Result<(), Error> {
    let query = sqlx::query(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
                current_setting('server_encoding')",
    );
    let row = server.limit(query.fetch_one(connection)).await.map_err(unreachable)?;
    let read = |at| row.try_get::<String, _>(at).map_err(Error::Unreachable);
    if row.try_get::<i32, _>(0).map_err(Error::Unreachable)? < VERSION_MIN {
        return Err(Error::Version { found: read(1)? });
    }
    let encoding = read(2)?;
    if encoding != "UTF8" {
        return Err(Error::Encoding { found: encoding });
    }
    Ok(())
}

/// Whether connections are of one's own, and not lent by a pooler for a transaction at a time: two that are there at once
/// would be one at the server. A pooler that happens to have others at hand is not found out.
async fn check_unshared(server: &Server, first: &mut PgConnection) -> Result<(), Error> {
    let mut second = server.connect().await.map_err(unreachable)?;
    let mut backends = [0, 0];
    for (backend, connection) in backends.iter_mut().zip([first, &mut second]) {
        let query = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()");
        *backend = server.limit(query.fetch_one(connection)).await.map_err(unreachable)?;
    }
    if backends[0] == backends[1] { Err(Error::Shared) } else { Ok(()) }
}

/// Makes the schema and its tables. Nodes that start together do so one after the other.
///
/// Returns how many shards presence has: what the options say when the tables are made.
async fn set_up(
    connection: &mut PgConnection,
    options: &Options,
    clock: &dyn Clock,
) -> Result<u16, Box<dyn std::error::Error + Send + Sync>> {
    let schema = &options.schema;
    // Migrations may take long, and so may waiting for another node's.
    sqlx::query("SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false)")
        .execute(&mut *connection)
        .await?;
    sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))")
        .bind(format!("{schema}/schema"))
        .execute(&mut *connection)
        .await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)")
        .bind(schema)
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        // The name was checked: letters, digits and `_`.
        let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\""));
        sqlx::query(create).execute(&mut *connection).await?;
    }
    // The lock goes with the connection, which is closed after this.
    MIGRATIONS.run_direct(None, connection, false).await?;
    sqlx::query(
        "INSERT INTO presence_shard (shard) SELECT generate_series(0, $1 - 1)
         WHERE NOT EXISTS (SELECT 1 FROM presence_shard)",
    )
    .bind(i32::from(options.shards))
    .execute(&mut *connection)
    .await?;
    // Before anybody publishes: a transaction of an application that had to make its day would keep others waiting.
    for day in 0..=u32::from(options.days_ahead) {
        let time = clock.now().plus(DAY * day).as_micros();
        sqlx::query("SELECT make_day($1)").bind(time).execute(&mut *connection).await?;
    }
    let shards: i64 = sqlx::query_scalar("SELECT count(*) FROM presence_shard").fetch_one(connection).await?;
    Ok(u16::try_from(shards)?)
}
