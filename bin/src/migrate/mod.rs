//! Moving everything that one engine keeps to another, while no node runs on either.

mod copy;
mod cursors;
mod progress;
mod revocations;
mod tenants;
mod verify;
mod walk;

use std::sync::Arc;

use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Clock, SystemClock, Tenant, TopicKey};

use crate::config::{Config, Engine};
use crate::failure::{Code, Failure};
use crate::print;
use crate::serve::engine::Kept;
use copy::Copy;
use progress::Progress;
use revocations::Side;

/// What `fanfare migrate` was asked to do.
#[derive(Debug)]
pub(crate) struct Migrate {
    /// Where everything is.
    pub from: Config,
    /// Where it shall be.
    pub to: Config,
    /// Whose topics are moved besides those of the tenants that the configurations name.
    pub tenants: Vec<Tenant>,
    /// Whether events may get new offsets, if the engine they go to cannot take over the old ones.
    pub renumber: bool,
}

/// What was moved.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Moved {
    topics: u64,
    events: u64,
    /// Events that the new policies do not keep.
    trimmed: u64,
    /// Topics whose new policy keeps nothing.
    skipped: u64,
    cursors: u64,
    /// What was revoked, if it is kept otherwise than before.
    revoked: u64,
}

impl Migrate {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let life = Lifecycle::new();
        let moved = Box::pin(self.moved(&life)).await;
        life.stop();
        moved
    }

    async fn moved(self, life: &Lifecycle) -> Result<(), Failure> {
        let (old, new) = (log_of(&self.from)?, log_of(&self.to)?);
        if old == Engine::Memory || new == Engine::Memory {
            let text = "the memory engine keeps nothing beyond its process, so there is nothing to move from or to it";
            return Err(Failure::new(Code::Unusable, text));
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let from = Kept::open(&self.from, &clock, life).await?;
        let restore = match Kept::restore(&self.to, &clock, life).await {
            Ok(restore) => Some(restore),
            Err(_) if self.renumber => None,
            Err(refused) if refused.code() == Code::EngineCannot => return Err(renumber_instead(new)),
            Err(failure) => return Err(failure),
        };
        let keeps_places = restore.is_some();
        let topics = self.topics(&from).await?;
        let progress = Progress::new(topics.len());
        // First everything is written and closed, then it is read as a node would read it.
        let mut moved = if let Some(restore) = restore {
            let moved = Copy::as_it_was(&from, &restore).topics(&topics, &progress).await?;
            restore.finish().await?;
            moved
        } else {
            let to = Kept::open(&self.to, &clock, life).await?;
            let moved = Copy::anew(&from, &to).topics(&topics, &progress).await?;
            to.close().await?;
            moved
        };
        let to = Kept::open(&self.to, &clock, life).await?;
        progress.begin("verified", topics.len());
        moved.trimmed = verify::topics(&from, &to, &topics, keeps_places, &progress).await?;
        if keeps_places {
            moved.cursors = cursors::copy(&from, &to, &self.tenants()).await?;
        }
        if !self.keeps_revocations_alike() {
            moved.revoked = revocations::carry(Side(&self.from, &from), Side(&self.to, &to), &clock).await?;
        }
        progress.end();
        to.close().await?;
        from.close().await?;
        tell(moved, keeps_places);
        Ok(())
    }

    /// Whether what was revoked moves like any topic.
    fn keeps_revocations_alike(&self) -> bool {
        self.from.is_cluster() && self.to.is_cluster()
    }

    /// Every topic there is, of every tenant that is known, and that of revocations, which is in no list.
    async fn topics(&self, from: &Kept) -> Result<Vec<TopicKey>, Failure> {
        let mut topics = Vec::new();
        for tenant in self.tenants() {
            topics.extend(copy::listed(from, &tenant).await?);
        }
        let revocations = fanfare_session::revocations::topic();
        if self.keeps_revocations_alike() && copy::was_written(from, &revocations).await? {
            topics.push(revocations);
        }
        Ok(topics)
    }

    fn tenants(&self) -> Vec<Tenant> {
        tenants::of([&self.from, &self.to], &self.tenants)
    }
}

fn log_of(config: &Config) -> Result<Engine, Failure> {
    let parts = config.engine.parts();
    parts.map(|parts| parts.log).ok_or_else(|| Failure::new(Code::ConfigWrong, "engine.composed names no log"))
}

/// The engine gives every event an offset of its own, and that is that.
fn renumber_instead(engine: Engine) -> Failure {
    let name = engine.as_str();
    let text = format!(
        "the engine `{name}` cannot take over the epochs and offsets of another\n  fix: choose another engine; or add \
         --renumber: events keep their ids, data and order, but every position that a client or a consumer holds ends \
         (readers are told of a gap, reason `epoch`), and events get the time of the move"
    );
    Failure::new(Code::EngineCannot, text)
}

fn tell(moved: Moved, keeps_places: bool) {
    let Moved { topics, events, trimmed, skipped, cursors, revoked } = moved;
    let places = if keeps_places { "with their epochs, offsets and times" } else { "with new offsets" };
    print::line(format_args!(
        "moved {events} events of {topics} topics {places}, and {cursors} cursors of consumers; verified"
    ));
    if revoked > 0 {
        print::line(format_args!("{revoked} revocations and blocks are in force as before"));
    }
    if trimmed > 0 {
        print::line(format_args!("{trimmed} events are beyond what the new policies keep, and were left out"));
    }
    if skipped > 0 {
        print::line(format_args!("{skipped} topics keep nothing by the new policies, and were left out"));
    }
    if !keeps_places {
        print::line("cursors of consumers and positions of clients do not fit the new offsets, and were not moved");
    }
}
