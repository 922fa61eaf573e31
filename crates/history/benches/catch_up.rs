//! A reader that reads a long log from its beginning, a page at a time, against reading the same bytes from a file.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use fanfare_history::embedded::{EmbeddedLog, Options};
use fanfare_history::{Announce, Append, Direction, Durability, Keep, Log as _, Read, ReadFrom, Reset};
use fanfare_model::{Data, Draft, Event, SystemClock, Tenant, Topic, TopicKey};

/// So many events are read.
const EVENTS: usize = 100_000;
/// The payload of each: a small JSON message.
const PAYLOAD_BYTES: usize = 256;
/// What the hub asks for at once.
const PAGE_EVENTS: usize = 256;
const PAGE_BYTES: usize = 64 << 10;

/// As in the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Nobody;

impl Announce for Nobody {
    fn stored(&self, _: &[Arc<Event>]) {}
    fn reset(&self, _: &Reset) {}
}

struct Rig {
    runtime: tokio::runtime::Runtime,
    log: EmbeddedLog,
    topic: TopicKey,
}

fn open(dir: &Path) -> EmbeddedLog {
    EmbeddedLog::open(Options::at(dir), Arc::new(SystemClock), Arc::new(Nobody)).expect("the store opens")
}

impl Rig {
    /// A log that was filled by an earlier run, so that nothing of it is in memory.
    fn new(dir: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let topic = TopicKey::new(Tenant::default(), Topic::new("long").expect("a valid topic"));
        let keep = Arc::new(Keep { durability: Durability::Buffered, events_max: None, ..Keep::default() });
        let log = open(dir);
        runtime.block_on(async {
            for _ in 0..EVENTS / 1000 {
                let draft = || Draft::new(Data::binary(vec![7; PAYLOAD_BYTES]));
                let append = || Append { topic: topic.clone(), draft: draft(), keep: Arc::clone(&keep) };
                let answers = log.append(std::iter::repeat_with(append).take(1000).collect()).await;
                assert!(answers.iter().all(Result::is_ok), "every event is stored");
            }
            log.close().await.expect("the log closes");
        });
        drop(log);
        Self { runtime, log: open(dir), topic }
    }

    /// Reads everything; returns how many events it was.
    fn catch_up(&self) -> usize {
        self.runtime.block_on(async {
            let (mut next, mut count) = (1, 0);
            loop {
                let page = self
                    .log
                    .read(Read {
                        topic: self.topic.clone(),
                        from: ReadFrom::Offset(next),
                        direction: Direction::Forward,
                        limit: PAGE_EVENTS,
                        bytes_max: PAGE_BYTES,
                        age_max: None,
                    })
                    .await
                    .expect("the log is read");
                let Some(last) = page.events.last() else { return count };
                (next, count) = (last.offset + 1, count + black_box(&page.events).len());
            }
        })
    }
}

/// The same bytes in a file, read as many at a time.
fn bare(path: &Path) -> usize {
    let mut file = File::open(path).expect("the file is there");
    let mut page = vec![0; PAGE_BYTES];
    let mut bytes = 0;
    loop {
        match file.read(&mut page).expect("the file is read") {
            0 => return bytes,
            read => bytes += black_box(read),
        }
    }
}

/// The resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn took(work: impl FnOnce() -> usize) -> Duration {
    let begun = Instant::now();
    assert!(work() > 0, "there is something to read");
    begun.elapsed()
}

fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::new(&dir.path().join("store"));
    let file = dir.path().join("bare");
    std::fs::write(&file, vec![7; EVENTS * (PAYLOAD_BYTES + 36)]).expect("the file takes writes");
    assert_eq!(rig.catch_up(), EVENTS);
    let mut criterion = Criterion::default()
        .configure_from_args()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    let mut group = criterion.benchmark_group("catch up");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("log", |b| b.iter(|| rig.catch_up()));
    group.bench_function("bare", |b| b.iter(|| bare(&file)));
    group.finish();
    let before = resident();
    let rounds = 5;
    let log: Duration = (0..rounds).map(|_| took(|| rig.catch_up())).sum();
    let grown = resident().saturating_sub(before);
    let bare: Duration = (0..rounds).map(|_| took(|| bare(&file))).sum();
    let events = EVENTS as f64 * f64::from(rounds);
    let (log, bare) = (events / log.as_secs_f64(), events / bare.as_secs_f64());
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "catch up: log {log:.0} events/s, bare {bare:.0}, ratio {:.3}; memory grew by {grown} KiB",
        log / bare
    )
    .expect("the terminal takes text");
}
