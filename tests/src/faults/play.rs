//! Publishers and readers at work on a stage while a scenario breaks things.

mod ending;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::checker::{Allowance, Observation};
use super::engine::On;
use super::publisher::Publisher;
use super::reader::Reader;
use super::recorder::Recorder;
use super::stage::Stage;
use crate::{Config, Transport, eventually, seed};

/// How long anything may take that must come in the end; thousands of clients at once take more than a minute.
const PATIENCE: Duration = Duration::from_secs(180);

/// So many readers begin at once; the next when these have been given something. A crowd that comes at once is a scenario,
/// not the way to begin one.
const ENTERING_MAX: usize = 500;

/// How much a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Some seconds a scenario: with all other tests.
    Short,
    /// What the table in `docs/faults.md` shows: `FANFARE_FAULTS=long`, which `dev/test faults` sets.
    Long,
}

impl Scale {
    /// What the environment says.
    pub fn of_this_run() -> Self {
        match std::env::var("FANFARE_FAULTS").as_deref() {
            Ok("long") => Self::Long,
            Ok("short") | Err(_) => Self::Short,
            Ok(other) => panic!("FANFARE_FAULTS is `short` or `long`, not {other:?}"),
        }
    }

    /// One of two.
    pub fn choose<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }
}

/// Who works on the stage.
#[derive(Debug, Clone)]
pub struct Cast {
    /// Publishers, each with one event on its way.
    pub publishers: u32,
    /// Between an acknowledgement and the publisher's next event.
    pub pause: Duration,
    /// Readers, in turn over these transports.
    pub readers: u32,
    /// Over what they read.
    pub transports: Vec<Transport>,
    /// Topics in all.
    pub topics: usize,
    /// Topics that each reader reads.
    pub topics_each: usize,
    /// Nodes for clients.
    pub gateways: usize,
    /// What the nodes are told beside their engine.
    pub config: Config,
}

impl Default for Cast {
    /// Three publishers and ten readers, two over each transport.
    fn default() -> Self {
        Self {
            publishers: 3,
            pause: Duration::from_millis(10),
            readers: 10,
            transports: Transport::ALL.to_vec(),
            topics: 6,
            topics_each: 3,
            gateways: 2,
            config: Config::new().drain_over(1).session("sessions_per_user_max = 10000"),
        }
    }
}

/// A run under way.
pub struct Play {
    name: &'static str,
    on: On,
    begun: Instant,
    seed: u64,
    /// Random choices of the scenario.
    pub random: StdRng,
    /// How much to do.
    pub scale: Scale,
    /// What can be broken.
    pub stage: Stage,
    /// What everybody writes down.
    pub recorder: Arc<Recorder>,
    cast: Cast,
    topics: Vec<String>,
    publishers: Mutex<JoinSet<()>>,
    readers: Mutex<JoinSet<()>>,
    revoked: Mutex<BTreeSet<u32>>,
}

impl Play {
    /// Sets the stage and has everybody begin; every reader has been given something when this returns.
    pub async fn begin(name: &'static str, on: On, cast: Cast) -> Self {
        let begun = Instant::now();
        let seed = seed(&format!("{name} on {on}"));
        let folder = history_folder();
        let path = folder.join(format!("{name} on {on}.history"));
        let stage = Stage::start(on, cast.config.clone(), cast.gateways).await;
        let recorder = Arc::new(Recorder::new(Allowance::nothing(on.is_sparse()), &path));
        recorder.note(&format!("seed {seed}"));
        let topics = (1..=cast.topics).map(|number| format!("fault:{number}")).collect();
        let play = Self {
            name,
            on,
            begun,
            seed,
            random: StdRng::seed_from_u64(seed),
            scale: Scale::of_this_run(),
            stage,
            recorder,
            cast,
            topics,
            publishers: Mutex::default(),
            readers: Mutex::default(),
            revoked: Mutex::default(),
        };
        play.raise_the_curtain().await;
        play.recorder.begun();
        play
    }

    async fn raise_the_curtain(&self) {
        for number in 1..=self.cast.publishers {
            let publisher = Publisher {
                number,
                nodes: self.stage.backends(),
                topics: self.topics.clone(),
                pause: self.cast.pause,
                recorder: Arc::clone(&self.recorder),
                random: StdRng::seed_from_u64(self.seed.wrapping_add(u64::from(number))),
            };
            self.publishers.lock().spawn(publisher.run());
        }
        let numbers: Vec<u32> = (1..=self.cast.readers).collect();
        for group in numbers.chunks(ENTERING_MAX) {
            self.recorder.broken("some readers begin");
            for &number in group {
                self.readers.lock().spawn(self.reader(number).run());
            }
            self.until_all_are_whole(group).await;
        }
    }

    fn reader(&self, number: u32) -> Reader {
        let index = usize::try_from(number - 1).expect("a small number");
        Reader {
            number,
            transport: self.cast.transports[index % self.cast.transports.len()],
            doors: self.stage.doors(),
            topics: self.topics_of(number),
            recorder: Arc::clone(&self.recorder),
            random: StdRng::seed_from_u64(!self.seed.wrapping_add(u64::from(number))),
        }
    }

    fn topics_of(&self, reader: u32) -> Vec<String> {
        let begin = usize::try_from(reader).expect("a small number");
        let all = self.topics.iter().cycle().skip(begin % self.topics.len());
        all.take(self.cast.topics_each.min(self.topics.len())).cloned().collect()
    }

    /// What repeats the random choices.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Something is about to break: the clock of recovery starts.
    pub fn breaks(&self, what: &str) {
        self.recorder.broken(what);
    }

    /// What was broken last works again.
    pub fn mended(&self) {
        self.recorder.mended();
    }

    /// Lets things go on until so many more events are acknowledged.
    pub async fn carry_on(&self, events: usize) {
        let goal = self.recorder.acknowledged() + events;
        let more = self.recorder.until(|recorder| recorder.acknowledged() >= goal);
        let waited = timeout(PATIENCE, more).await;
        assert!(waited.is_ok(), "{}: no {events} more events were acknowledged in {PATIENCE:?}", self.title());
    }

    /// Lets things go on until so many more attempts to publish have failed, or, if the outage is not felt, for so long.
    pub async fn suffer(&self, failures: usize, at_most: Duration) {
        let goal = self.recorder.failed().saturating_add(failures);
        // Either is a long enough outage.
        let _ = timeout(at_most, self.recorder.until(|recorder| recorder.failed() >= goal)).await;
    }

    /// How long an outage lasts.
    pub async fn endure(&self, outage: Duration) {
        tokio::time::sleep(outage).await;
    }

    /// Blocks the user that is reader `number`, through a node that is up: it may be given nothing more.
    pub async fn revoke(&self, number: u32) {
        let body = json!({"block_user": Reader::user(number)});
        let blocked = eventually("a node to take a revocation", PATIENCE, || async {
            for server in &self.stage.apis {
                let api = server.api();
                let request = api.request(http::Method::POST, "/v1/tokens/revoke").json(&body);
                if api.send(request).await.is_ok_and(|answer| answer.status.is_success()) {
                    return Some(());
                }
            }
            None
        });
        blocked.await;
        let at = self.recorder.now();
        self.recorder.observe(Observation::Revoked { reader: number, at });
        self.revoked.lock().insert(number);
    }

    /// The readers that are to have everything.
    fn entitled(&self) -> Vec<u32> {
        let revoked = self.revoked.lock();
        (1..=self.cast.readers).filter(|number| !revoked.contains(number)).collect()
    }

    /// Waits until every reader has been given something that was sent after the last fault.
    pub async fn until_whole(&self) {
        self.until_all_are_whole(&self.entitled()).await;
    }

    async fn until_all_are_whole(&self, readers: &[u32]) {
        let until = Instant::now() + PATIENCE;
        loop {
            let ended = self.readers.lock().try_join_next();
            if let Some(ended) = ended.or_else(|| self.publishers.lock().try_join_next()) {
                ended.expect("an actor does not panic");
            }
            let (whole, all) = (self.recorder.whole_readers(readers), readers.len());
            if whole == all {
                return;
            }
            assert!(
                Instant::now() < until,
                "{}: only {whole} of {all} readers were whole again after {PATIENCE:?}; see the history in {}",
                self.title(),
                history_folder().display()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn title(&self) -> String {
        format!("{} on {}", self.name, self.on)
    }
}

/// `target/faults`, where histories and results are kept.
pub(super) fn history_folder() -> PathBuf {
    let binary = crate::binary();
    let target = binary.ancestors().nth(2).expect("the binary is in target/<profile>");
    let folder = target.join("faults");
    std::fs::create_dir_all(&folder).expect("target is writable");
    folder
}
