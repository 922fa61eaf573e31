//! The property that everything else serves: whatever happens to connections and to the server, what a reader has
//! seen of a topic is exactly the topic's log, or it has been told of a gap that is true.
//!
//! Readers die in random ways at random bytes, come back over another transport with other topics, while a publisher
//! goes on and the server is killed and started. To repeat a run, set `FANFARE_SEED`; timing still differs, what
//! each reader does does not.

mod publisher;
mod reader;
mod record;

use std::sync::Arc;
use std::time::Duration;

use fanfare_tests::{Config, Proxy, Server, eventually, seed};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;

use publisher::publish;
use reader::Reader;
use record::Record;

const READERS: u64 = 12;
/// Connections that each reader loses before the end: 1,200 in all.
const DISCONNECTS_EACH: usize = 100;
/// The server goes down each time that so many connections were lost.
const DISCONNECTS_PER_RESTART: usize = 90;
/// What `short` topics keep, so that readers really miss something.
const SHORT_EVENTS_MAX: usize = 30;
/// Longer than any machine needs; the test as a whole has three minutes.
const PATIENCE: Duration = Duration::from_secs(170);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reader_sees_the_log_or_a_true_gap() {
    let seed = seed("resume");
    let config = Config::new()
        .kind("committed", "durability = \"committed\"")
        .kind("buffered", "durability = \"buffered\"")
        .kind("short", &format!("history = {{ max_events = {SHORT_EVENTS_MAX} }}"))
        .session("sessions_per_user_max = 10000")
        .drain_over(1);
    let mut server = Server::start(config).await;
    let topics = ["committed:a", "committed:b", "buffered:a", "buffered:b", "short:a", "short:b"];
    let record = Arc::new(Record::new(&topics));

    let mut publisher = JoinSet::new();
    publisher.spawn(publish(server.admin(), Arc::clone(&record), StdRng::seed_from_u64(seed)));
    let mut readers = JoinSet::new();
    for number in 1..=READERS {
        let proxy = Proxy::start(server.public()).await;
        let random = StdRng::seed_from_u64(seed.wrapping_add(number));
        let mut reader = Reader::new(number, proxy, Arc::clone(&record), random);
        readers.spawn(async move {
            reader.suffer(DISCONNECTS_EACH).await;
            reader
        });
    }

    let mut random = StdRng::seed_from_u64(!seed);
    let (mut survivors, mut restarts) = (Vec::new(), 0);
    while survivors.len() < usize::try_from(READERS).expect("small") {
        let next_restart = (restarts + 1) * DISCONNECTS_PER_RESTART;
        let lost = record.disconnects();
        let due = eventually(format!("more than {lost} connections to be lost"), PATIENCE, || async {
            (record.disconnects() >= next_restart).then_some(())
        });
        tokio::select! {
            () = due => {
                if random.random_bool(0.7) {
                    server.kill();
                } else {
                    server.terminate();
                    server.ended(fanfare_tests::PATIENCE).await;
                }
                server.restart().await;
                restarts += 1;
            }
            reader = readers.join_next() => survivors.push(reader.expect("a reader").expect("a reader that ends well")),
        }
    }

    record.stop_publishing();
    tokio::time::timeout(PATIENCE, publisher.join_next())
        .await
        .expect("the publisher ends")
        .expect("it")
        .expect("well");
    assert!(record.disconnects() >= 1000, "{} disconnects", record.disconnects());
    assert!(restarts >= 5, "{restarts} restarts");
    record.agrees_with_the_log(&server.api().pooled()).await;
    for reader in &mut survivors {
        reader.catch_up().await;
        for topic in topics {
            record.check(topic, reader.seen(topic), reader.number(), topic.starts_with("short"));
        }
    }
    let gaps: usize = survivors.iter().map(Reader::gaps).sum();
    assert!(gaps > 0, "the short topics were meant to be trimmed under some reader");
    eprintln!(
        "resume: {} events, {} disconnects, {restarts} restarts, {gaps} gaps",
        record.events(),
        record.disconnects()
    );
}
