//! The bell: nodes tell each other that there is something to read, after the commit and once for many.

use std::sync::Arc;
use std::time::Duration;

use fanfare_lifecycle::{Backoff, Lifecycle, TaskKind};
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::error::Failure;
use crate::metrics::Call;
use crate::options::Options;
use crate::server::{Server, SharedServer};

/// The pauses before listening is tried again. Until then nodes look by themselves.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// After so long without a ring it is asked whether the server is still there: what lies between may have forgotten a
/// connection that says nothing, and would let nobody know.
const QUIET: Duration = Duration::from_secs(60);

/// What a bell is rung for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Channel {
    /// Events.
    Tail,
    /// Changes of presence.
    Presence,
}

impl Channel {
    /// The name for `NOTIFY`. That of the tail is also rung by the SQL function `bell`.
    fn name(self, schema: &str) -> String {
        match self {
            Self::Tail => format!("{schema}.bell"),
            Self::Presence => format!("{schema}.presence"),
        }
    }
}

/// Rings for the other nodes.
pub(crate) struct Bell {
    ring: Arc<Notify>,
}

impl Bell {
    /// Also listens, and wakes `wake` when anybody else rings.
    pub(crate) fn start(
        server: &SharedServer,
        options: &Options,
        channel: Channel,
        wake: Arc<Notify>,
        stop: &CancellationToken,
        life: &Lifecycle,
    ) -> Self {
        let channel = channel.name(&options.schema);
        // Whoever rings has heard of it already, and need not look again.
        let own = format!("{:016x}", rand::random::<u64>());
        let ring = Arc::new(Notify::new());
        let (pause, wanted) = (options.bell_interval.get(), Arc::clone(&ring));
        let (ringing, name, from) = (Arc::clone(server), channel.clone(), own.clone());
        spawn(life, stop, "ring the bell of PostgreSQL", async move {
            loop {
                wanted.notified().await;
                // Not heard by others if it fails: they look by themselves.
                let _ = send(&ringing, &name, &from).await;
                tokio::time::sleep(pause).await;
            }
        });
        let server = Arc::clone(server);
        spawn(life, stop, "hear the bell of PostgreSQL", async move {
            let mut retry = RETRY;
            loop {
                let listening = Box::pin(listen(&server, &channel, &own, &wake, &mut retry)).await;
                if let Err(failure) = listening {
                    tracing::debug!(error = %failure, "the bell of PostgreSQL is not heard");
                }
                tokio::time::sleep(retry.next_wait()).await;
            }
        });
        Self { ring }
    }

    /// Something has been committed.
    pub(crate) fn ring(&self) {
        self.ring.notify_one();
    }
}

fn spawn(
    life: &Lifecycle,
    stop: &CancellationToken,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) {
    let (stop, ended) = (stop.clone(), life.hard().clone());
    life.spawn(TaskKind::Background, name, async move {
        tokio::select! {
            () = task => {}
            () = stop.cancelled() => {}
            () = ended.cancelled() => {}
        }
    });
}

async fn send(server: &Server, channel: &str, from: &str) -> Result<(), Failure> {
    let mut connection = server.borrow(Call::Bell).await?;
    // Nothing is lost with it, so that the disk need not be waited for.
    let notify = sqlx::query("SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)");
    let notify = notify.bind(channel).bind(from);
    let sent = server.limit(notify.execute(&mut *connection)).await;
    connection.done(sent)?;
    Ok(())
}

/// Until the connection breaks; `retry` begins anew once it listens.
async fn listen(server: &Server, channel: &str, own: &str, wake: &Notify, retry: &mut Backoff) -> Result<(), Failure> {
    // A pool of one, as the listener wants it, made anew each time: another server may take writes by then.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(server.timeout)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy_with(server.listening_options());
    let mut listener = server.limit(Box::pin(PgListener::connect_with(&pool))).await?;
    listener.ignore_pool_close_event(true);
    listener.eager_reconnect(false);
    server.limit(Box::pin(listener.listen(channel))).await?;
    retry.reset();
    // What was rung before.
    wake.notify_one();
    loop {
        match tokio::time::timeout(QUIET, listener.try_recv()).await {
            Ok(rung) => match rung? {
                Some(rung) if rung.payload() == own => {}
                Some(_) => wake.notify_one(),
                None => return Ok(()),
            },
            Err(_) => {
                server.limit(sqlx::query("SELECT 1").execute(&mut listener)).await?;
            }
        }
    }
}
