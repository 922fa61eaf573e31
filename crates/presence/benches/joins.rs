//! Joins a second: what a member costs from `enter` to the difference that tells of it, in one topic and in many, with
//! somebody who watches, and beside it what the engine alone costs.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use fanfare_bus::{Bus, Hub, HubOptions, LocalBroker, OnSlow, Policies, PolicyOptions, PresencePolicy, Subscribe};
use fanfare_cluster::{Fence, MemoryLeases, NodeInfo};
use fanfare_history::memory::{MemoryLog, Options as LogOptions};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Clock, SessionId, StartFrom, SystemClock, Tenant, Topic, TopicKey};
use fanfare_presence::memory::MemoryPresence;
use fanfare_presence::{Enter, Handle, Holder, Limits, Options, Presence as _, Who};

/// How many join, and then leave.
const MEMBERS: usize = 10_000;

fn topics(count: usize) -> Vec<TopicKey> {
    let topic = |n| TopicKey::new(Tenant::default(), Topic::new(format!("chat:{n}")).expect("a topic"));
    (0..count).map(topic).collect()
}

fn sessions() -> Vec<Who> {
    let who = |_| Who { session: SessionId::generate(), user: None, info: None };
    (0..MEMBERS).map(who).collect()
}

/// A node on `runtime` whose topics of kind `chat` name everybody.
fn node(runtime: &tokio::runtime::Runtime) -> (Handle, Bus) {
    let policy = PresencePolicy { members_max: u64::MAX, ..PresencePolicy::default() };
    let options =
        PolicyOptions { presence: Some(fanfare_bus::PresenceOptions::With(policy)), ..PolicyOptions::default() };
    let policies = Arc::new(Policies::new(&BTreeMap::from([("chat".to_owned(), options)])));
    let hub = Hub::new(HubOptions::default(), Arc::clone(&policies), 1);
    let log = || Arc::new(MemoryLog::new(Arc::new(SystemClock), Arc::clone(&hub) as _, LogOptions::default()));
    let broker = LocalBroker::new(log(), log(), policies);
    let bus = Bus::new(hub, Arc::new(broker));
    let node = NodeInfo::new("bench", Vec::new(), SystemClock.now(), "0").expect("a valid name");
    let leases = Arc::new(MemoryLeases::new());
    let cluster = fanfare_cluster::Handle::new(leases, bus.clone(), node, fanfare_cluster::Options::default());
    let engine = Arc::new(MemoryPresence::new());
    let presence = Handle::new(engine, bus.clone(), &cluster, Arc::new(SystemClock), Options::default());
    let _on = runtime.enter();
    let life = Lifecycle::new();
    bus.start_worker(&life);
    cluster.start(&life);
    presence.start(&life);
    (presence, bus)
}

async fn come_and_go(presence: &Handle, topics: &[TopicKey], sessions: &[Who]) {
    for (n, who) in sessions.iter().enumerate() {
        black_box(presence.enter(&topics[n % topics.len()], who, None).await.expect("it may enter"));
    }
    for (n, who) in sessions.iter().enumerate() {
        black_box(presence.leave(&topics[n % topics.len()], &who.session).await.expect("it may leave"));
    }
}

fn on_a_node(c: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (presence, bus) = node(&runtime);
    let mut group = c.benchmark_group("a join and a leave, told to who watches");
    group.throughput(Throughput::Elements(MEMBERS as u64)).sample_size(20);
    for count in [1, 1000] {
        let topics = topics(count);
        let mut readers: Vec<_> = topics
            .iter()
            .map(|topic| {
                let topic = TopicKey::new(topic.tenant.clone(), topic.topic.signals());
                let (start, on_slow) = (StartFrom::Now, Some(OnSlow::Skip));
                let mut reader = bus.reader();
                let request = Subscribe { topic, start, on_slow, history: false };
                runtime.block_on(reader.subscribe(request)).expect("it may watch");
                reader
            })
            .collect();
        group.bench_with_input(BenchmarkId::new("topics", count), &topics, |b, topics| {
            b.iter_batched(
                sessions,
                |sessions| runtime.block_on(come_and_go(&presence, topics, &sessions)),
                BatchSize::LargeInput,
            );
        });
        readers.clear();
    }
    group.finish();
}

fn in_the_engine(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (engine, policy) = (MemoryPresence::new(), Arc::new(PresencePolicy::default()));
    let holder = Holder(Arc::from("node"));
    let lease = std::time::Duration::from_secs(3600);
    let limits = Limits { topics_per_session_max: 100, members_max: usize::MAX, waiting_max: usize::MAX, lease };
    let mut group = c.benchmark_group("a join and a leave, in the engine");
    group.throughput(Throughput::Elements(MEMBERS as u64)).sample_size(20);
    for count in [1, 1000] {
        let topics = topics(count);
        let round = async |sessions: Vec<Who>| {
            for (n, who) in sessions.iter().enumerate() {
                let enter = Enter {
                    topic: topics[n % count].clone(),
                    policy: Arc::clone(&policy),
                    holder: holder.clone(),
                    session: who.session.clone(),
                    user: None,
                    info: None,
                    data: None,
                    now: SystemClock.now(),
                    limits,
                };
                engine.enter(enter).await.expect("it may enter");
            }
            for (n, who) in sessions.iter().enumerate() {
                engine.leave(&topics[n % count], &who.session, &holder).await.expect("it may leave");
            }
            for shard in 0..engine.shards() {
                engine.fed(shard, Fence::new(1), u64::MAX).await.expect("it is taken");
            }
        };
        group.bench_function(BenchmarkId::new("topics", count), |b| {
            b.iter_batched(sessions, |sessions| runtime.block_on(round(sessions)), BatchSize::LargeInput);
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    in_the_engine(&mut criterion);
    on_a_node(&mut criterion);
    criterion.final_summary();
}
