//! Transactions beside: long ones, and many that commit in any order (R05).

use std::collections::BTreeMap;
use std::sync::Arc;

use fanfare_engine_postgres::Options;
use fanfare_model::{Duration, Kind, SystemClock};

use crate::support::{Node, application, options, run, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_transaction_delays_nobody_but_its_own_topics() {
    let url = shared().await.url();
    let one_writer = Options { writers: 1, ..options(&url, "beside") };
    let node = Node::start_with(&one_writer, Arc::new(SystemClock)).await;
    let mut listener = node.listen(&["slow", "fast"]).await;
    let mut app = application(&url).await;
    run(&mut app, "BEGIN; SELECT beside.publish('slow', '\"first\"')").await.unwrap();
    let (blocked, ()) = tokio::join!(node.publish("slow", "second"), async {
        for n in 0..50 {
            node.publish("fast", &format!("f{n}")).await;
        }
        listener.until_text("f49").await;
        assert_eq!(listener.texts_of("fast").len(), 50, "none waits for the transaction");
        assert!(listener.texts_of("slow").is_empty());
        run(&mut app, "COMMIT").await.unwrap();
    });
    assert_eq!(blocked.position.offset, 2);
    listener.until_text("second").await;
    assert_eq!(listener.texts_of("slow"), ["\"first\"", "second"]);
}

/// More topics than are waited for at a time, held as a sweep or a transaction of an application holds them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_refused_because_many_topics_are_locked() {
    const TOPICS: usize = 20;
    let url = shared().await.url();
    let one_writer = Options { writers: 1, ..options(&url, "many") };
    let node = Node::start_with(&one_writer, Arc::new(SystemClock)).await;
    let topics: Vec<String> = (0..TOPICS).map(|n| format!("held:{n}")).collect();
    let mut app = application(&url).await;
    let held: Vec<String> = topics.iter().map(|topic| format!("SELECT many.publish('{topic}', '1')")).collect();
    run(&mut app, &format!("BEGIN; {}", held.join(";"))).await.unwrap();
    let publish = |round: u64| {
        let node = &node;
        futures_util::future::join_all(topics.iter().map(|topic| async move {
            let published = node.publish(topic, &format!("{round}")).await;
            assert_eq!(published.position.offset, round, "{topic}");
        }))
    };
    // The second of each topic waits behind the first.
    let (.., ()) = tokio::join!(publish(2), publish(3), async {
        node.publish("free", "passes").await;
        run(&mut app, "COMMIT").await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_for_a_topic_is_told() {
    let url = shared().await.url();
    let impatient = Options { timeout: Duration::from_millis(300), ..options(&url, "impatient") };
    let node = Node::start_with(&impatient, Arc::new(SystemClock)).await;
    let mut app = application(&url).await;
    run(&mut app, "BEGIN; SELECT impatient.publish('slow', '1')").await.unwrap();
    assert_eq!(node.try_publish("slow", "x").await.unwrap_err().kind(), Kind::Unavailable);
    run(&mut app, "ROLLBACK").await.unwrap();
    assert_eq!(node.publish("slow", "x").await.position.offset, 1);
    assert!(node.publish("slow", "x").await.duplicate);
}

/// Small, and the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("it is below a usize")
    }
}

/// R05: 1,000 transactions that begin, publish and end in any order; no reader misses an event that was committed, or sees
/// one that was not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interleaved_commits_never_skip() {
    const TOPICS: usize = 12;
    let url = shared().await.url();
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_u64);
    println!("SEED={seed}");
    let mut random = Random(seed);
    let names: Vec<String> = (0..TOPICS).map(|n| format!("t:{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let nodes = [Node::start(&url, "interleaved").await, Node::start(&url, "interleaved").await];
    let mut listeners = [nodes[0].listen(&names).await, nodes[1].listen(&names).await];
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push((application(&url).await, Vec::<(usize, String)>::new()));
    }
    let mut expected: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let (mut transactions, mut number) = (0, 0);
    while transactions < 1000 || connections.iter().any(|(_, open)| !open.is_empty()) {
        let at = random.below(connections.len());
        let held: Vec<usize> = connections.iter().flat_map(|(_, open)| open.iter().map(|(topic, _)| *topic)).collect();
        let (connection, open) = &mut connections[at];
        match (open.is_empty(), random.below(4)) {
            (true, _) if transactions >= 1000 => {}
            (false, 0) => {
                run(connection, "COMMIT").await.unwrap();
                for (topic, text) in open.drain(..) {
                    expected.entry(topic).or_default().push(format!("\"{text}\""));
                }
            }
            (false, 1) if random.below(3) == 0 => {
                run(connection, "ROLLBACK").await.unwrap();
                open.clear();
            }
            (is_new, _) => {
                // One that nobody else holds, or this single thread would wait for itself.
                let topic = random.below(TOPICS);
                if held.contains(&topic) && !open.iter().any(|(own, _)| *own == topic) {
                    continue;
                }
                if is_new {
                    transactions += 1;
                }
                number += 1;
                let begin = if is_new { "BEGIN;" } else { "" };
                let publish =
                    format!("{begin} SELECT interleaved.publish('t:{topic}', '\"{number}\"', event_id => '{number}')");
                run(connection, &publish).await.unwrap();
                open.push((topic, number.to_string()));
            }
        }
    }
    for (topic, name) in names.iter().enumerate() {
        nodes[0].publish(name, &format!("end {topic}")).await;
    }
    for listener in &mut listeners {
        for topic in 0..TOPICS {
            listener.until_text(&format!("end {topic}")).await;
        }
        assert!(listener.gaps().is_empty());
        for (topic, name) in names.iter().enumerate() {
            let mut whole = expected.get(&topic).cloned().unwrap_or_default();
            whole.push(format!("end {topic}"));
            assert_eq!(listener.texts_of(name), whole, "{name}");
        }
    }
}
