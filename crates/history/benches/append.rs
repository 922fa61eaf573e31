//! Group commit against a bare file writer of the same bytes, in one run: what the log costs over the disk.

use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use fanfare_history::embedded::{EmbeddedLog, Options};
use fanfare_history::{Announce, Append, Durability, Keep, Log as _, Reset};
use fanfare_model::{Data, Draft, Event, SystemClock, Tenant, Topic, TopicKey};
use futures_util::future::join_all;

/// The payload of the measured events: a small JSON message.
const PAYLOAD_BYTES: usize = 256;
/// Events go to so many topics in turn.
const TOPICS: usize = 100;

/// As in the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Nobody;

impl Announce for Nobody {
    fn stored(&self, events: &[Arc<Event>]) {
        black_box(events);
    }
    fn reset(&self, _: &Reset) {}
}

/// How events arrive: so many callers at once, each with a batch of so many events.
#[derive(Clone, Copy)]
struct Arrival {
    name: &'static str,
    durability: Durability,
    callers: usize,
    batch: usize,
}

const ARRIVALS: [Arrival; 4] = [
    Arrival { name: "buffered, batches of 100", durability: Durability::Buffered, callers: 1, batch: 100 },
    Arrival { name: "buffered, 256 in flight", durability: Durability::Buffered, callers: 256, batch: 1 },
    Arrival { name: "committed, 1 in flight", durability: Durability::Committed, callers: 1, batch: 1 },
    Arrival { name: "committed, 256 in flight", durability: Durability::Committed, callers: 256, batch: 1 },
];

impl Arrival {
    fn events(self) -> usize {
        self.callers * self.batch
    }
}

struct Rig {
    runtime: tokio::runtime::Runtime,
    log: EmbeddedLog,
    topics: Vec<TopicKey>,
    sent: usize,
}

impl Rig {
    fn new(dir: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let log = EmbeddedLog::open(Options::at(dir), Arc::new(SystemClock), Arc::new(Nobody)).expect("a new store");
        let topic = |n| TopicKey::new(Tenant::default(), Topic::new(format!("t:{n}")).expect("a valid topic"));
        Self { runtime, log, topics: (0..TOPICS).map(topic).collect(), sent: 0 }
    }

    /// One round of an arrival: every caller hands in its batch and waits for the answer.
    fn round(&mut self, arrival: Arrival) {
        let keep = Arc::new(Keep { durability: arrival.durability, events_max: None, ..Keep::default() });
        let batches: Vec<Vec<Append>> = (0..arrival.callers)
            .map(|_| {
                let append = |_| {
                    self.sent += 1;
                    let topic = self.topics[self.sent % TOPICS].clone();
                    Append { topic, draft: Draft::new(Data::binary(vec![7; PAYLOAD_BYTES])), keep: Arc::clone(&keep) }
                };
                (0..arrival.batch).map(append).collect()
            })
            .collect();
        let answers = self.runtime.block_on(join_all(batches.into_iter().map(|batch| self.log.append(batch))));
        assert!(answers.iter().flatten().all(Result::is_ok), "every event is stored");
    }
}

/// The same bytes, appended to a file: one `write` for each round, and an `fdatasync` where the log does one.
struct Bare {
    file: File,
    bytes: Vec<u8>,
}

impl Bare {
    fn new(dir: &Path) -> Self {
        Self { file: File::create(dir.join("bare")).expect("a new file"), bytes: Vec::new() }
    }

    fn round(&mut self, arrival: Arrival) {
        let id_bytes = 36;
        self.bytes.resize(arrival.events() * (PAYLOAD_BYTES + id_bytes), 7);
        self.file.write_all(&self.bytes).expect("the file takes writes");
        if arrival.durability == Durability::Committed {
            self.file.sync_data().expect("the disk confirms");
        }
    }
}

/// How long so many rounds take.
fn rounds(count: u64, mut round: impl FnMut()) -> Duration {
    let begun = Instant::now();
    (0..count).for_each(|_| round());
    begun.elapsed()
}

/// Events per second of the log and of the bare writer, measured alternately, so that both meet the same disk. With 256
/// `committed` in flight the bare writer does one `write` and one `fdatasync` for all of them.
fn ratio(rig: &mut Rig, bare: &mut Bare, arrival: Arrival) -> (f64, f64) {
    let (mut log_took, mut bare_took, mut count) = (Duration::ZERO, Duration::ZERO, 0_u32);
    while log_took + bare_took < Duration::from_millis(800) {
        log_took += rounds(4, || rig.round(arrival));
        bare_took += rounds(4, || bare.round(arrival));
        count += 4;
    }
    let events = f64::from(count) * f64::from(u32::try_from(arrival.events()).expect("few events"));
    (events / log_took.as_secs_f64(), events / bare_took.as_secs_f64())
}

fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut rig = Rig::new(&dir.path().join("store"));
    let mut bare = Bare::new(dir.path());
    let mut criterion = Criterion::default()
        .configure_from_args()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500));
    let mut group = criterion.benchmark_group("append");
    for arrival in ARRIVALS {
        group.throughput(Throughput::Elements(arrival.events() as u64));
        group.bench_function(BenchmarkId::new("log", arrival.name), |b| {
            b.iter_custom(|count| rounds(count, || rig.round(arrival)));
        });
        group.bench_function(BenchmarkId::new("bare", arrival.name), |b| {
            b.iter_custom(|count| rounds(count, || bare.round(arrival)));
        });
    }
    group.finish();
    let mut out = std::io::stdout().lock();
    for arrival in ARRIVALS {
        let (log, bare) = ratio(&mut rig, &mut bare, arrival);
        let line = format!("{:<26} log {log:>9.0} events/s, bare {bare:>9.0}, ratio {:.3}", arrival.name, log / bare);
        writeln!(out, "{line}").expect("the terminal takes text");
    }
}
