//! Publishers and readers at work on a stage while a scenario breaks things.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fanfare_model::Position;
use parking_lot::Mutex;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::checker::{Allowance, Entry, Log, Observation};
use super::engine::On;
use super::publisher::Publisher;
use super::reader::Reader;
use super::recorder::{Recorder, hash_of};
use super::report::Report;
use super::stage::Stage;
use crate::{Api, Config, Transport, eventually, seed};

/// How long anything may take that must come in the end; thousands of clients at once take more than a minute.
const PATIENCE: Duration = Duration::from_secs(180);

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
        play.raise_the_curtain();
        play.recorder.broken("begun");
        play.until_whole().await;
        play.recorder.begun();
        play
    }

    fn raise_the_curtain(&self) {
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
        let transports = self.cast.transports.iter().cycle();
        for (number, transport) in (1..=self.cast.readers).zip(transports) {
            let reader = Reader {
                number,
                transport: *transport,
                doors: self.stage.doors(),
                topics: self.topics_of(number),
                recorder: Arc::clone(&self.recorder),
                random: StdRng::seed_from_u64(!self.seed.wrapping_add(u64::from(number))),
            };
            self.readers.lock().spawn(reader.run());
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
        let entitled = self.entitled();
        let readers = entitled.len();
        let until = tokio::time::Instant::now() + PATIENCE;
        while self.recorder.whole_readers(&entitled) < readers {
            let ended = self.readers.lock().try_join_next();
            if let Some(ended) = ended.or_else(|| self.publishers.lock().try_join_next()) {
                ended.expect("an actor does not panic");
            }
            let whole = self.recorder.whole_readers(&entitled);
            assert!(
                tokio::time::Instant::now() < until,
                "{}: only {whole} of {readers} readers were whole again after {PATIENCE:?}; see the history in {}",
                self.title(),
                history_folder().display()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Has everybody come to the end, and checks everything. Panics with what was broken.
    pub async fn finish(self) {
        self.recorder.note("the end begins");
        self.recorder.stop_publishing();
        let mut publishers = std::mem::take(&mut *self.publishers.lock());
        let ended = timeout(PATIENCE, async {
            while let Some(publisher) = publishers.join_next().await {
                publisher.expect("a publisher does not panic");
            }
        });
        ended.await.unwrap_or_else(|_| panic!("{}: publishers do not end", self.title()));
        let logs = self.logs().await;
        self.until_read(&logs).await;
        let mut readers = std::mem::take(&mut *self.readers.lock());
        readers.abort_all();
        while let Some(reader) = readers.join_next().await {
            // All were told to stop; one that had ended before did so in a panic.
            assert!(reader.as_ref().is_err_and(tokio::task::JoinError::is_cancelled), "{}: {reader:?}", self.title());
        }
        let whole_again = self.recorder.whole_again();
        let reconnects = self.recorder.reconnects();
        let (checker, history) = self.recorder.close();
        let verdict = checker.finish(&logs);
        let report = Report {
            seed: self.seed,
            faults: self.recorder.faults(),
            readers: self.cast.readers,
            acknowledged: verdict.figures.acknowledged,
            delivered: verdict.figures.delivered,
            reconnects,
            gaps: verdict.figures.gaps,
            lost: verdict.figures.lost,
            violations: verdict.figures.violations,
            whole_median: whole_again.get(whole_again.len() / 2).copied().unwrap_or_default(),
            whole_max: whole_again.last().copied().unwrap_or_default(),
            ..Report::new(self.name, self.on)
        };
        eprintln!("{report}");
        if self.scale == Scale::Long {
            report.keep();
        }
        let shown: Vec<String> = verdict.violations.iter().take(30).map(ToString::to_string).collect();
        assert!(
            shown.is_empty(),
            "{} with seed {}: {} violations; the history is in {}\n{}",
            self.title(),
            self.seed,
            verdict.figures.violations,
            history.display(),
            shown.join("\n")
        );
    }

    /// Every topic's log, read through a node that answers.
    async fn logs(&self) -> BTreeMap<String, Log> {
        let apis: Vec<Api> = self.stage.apis.iter().map(|server| server.api().pooled()).collect();
        let mut logs = BTreeMap::new();
        for topic in &self.topics {
            let log = eventually(format!("the log of {topic}"), PATIENCE, || read(&apis[0], topic)).await;
            logs.insert(topic.clone(), log);
        }
        logs
    }

    /// Waits until every reader has come to the end of its topics. One that does not is the checker's to name.
    async fn until_read(&self, logs: &BTreeMap<String, Log>) {
        let behind = |number: u32| {
            self.topics_of(number).into_iter().any(|topic| {
                let end = logs[&topic].entries.last().map_or(0, |entry| entry.offset);
                end > 0
                    && self
                        .recorder
                        .place(number, &topic)
                        .is_none_or(|place| place.epoch != logs[&topic].epoch || place.offset < end)
            })
        };
        let until = tokio::time::Instant::now() + PATIENCE;
        let entitled = self.entitled();
        while entitled.iter().copied().any(behind) && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn title(&self) -> String {
        format!("{} on {}", self.name, self.on)
    }
}

/// A whole log; `None` if the node cannot read it now.
async fn read(api: &Api, topic: &str) -> Option<Log> {
    let mut log = Log { epoch: 0, entries: Vec::new() };
    let mut from = "start".to_owned();
    loop {
        let path = format!("/v1/topics/{}/events?from={from}&limit=500", crate::percent_encode(topic));
        let answer = api.send(api.request(http::Method::GET, &path)).await.ok()?;
        if answer.status == 404 {
            return Some(log);
        }
        if !answer.status.is_success() {
            return None;
        }
        let page = answer.json();
        let events = page["events"].as_array()?;
        for event in events {
            let position: Position = event["position"].as_str()?.parse().ok()?;
            log.epoch = position.epoch.as_u32();
            let (id, hash) = (event["id"].as_str()?.to_owned(), hash_of(&event["data"]));
            let time = event["time"].as_u64()?;
            log.entries.push(Entry { offset: position.offset, id, hash, time });
        }
        match events.last().and_then(|event: &Value| event["position"].as_str()) {
            Some(last) => last.clone_into(&mut from),
            None => return Some(log),
        }
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
