//! Reading the end of a long topic, and one to which more is published than it keeps.

use std::sync::Arc;

use fanfare_history::{Direction, Read, ReadFrom};
use fanfare_model::{Data, Draft, Event};
use fanfare_test_engines::Nats;

use crate::node::{Node, topic};
use crate::support::options;

/// What the server has sent to its clients so far.
async fn sent(server: &Nats) -> u64 {
    let state: serde_json::Value = serde_json::from_str(&server.monitor("/varz").await).expect("JSON");
    state["out_msgs"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_many_events_are_read_without_the_others() {
    let server = Nats::start().await;
    let node = Node::start_keeping(&options(vec![server.url()], "long"), 10_000).await;
    let few = topic("few:a");
    for _ in 0..5 {
        let batch = (0..1000).map(|_| (few.topic.clone(), Draft::new(Data::text("x")))).collect();
        node.bus.publish(&few.tenant, batch).await.expect("the events are valid");
    }
    for from in [ReadFrom::End, ReadFrom::Offset(5_000), ReadFrom::Offset(u64::MAX)] {
        for limit in [1, 10] {
            let topic = few.clone();
            let read = Read { topic, from, direction: Direction::Backward, limit, bytes_max: 1 << 20, age_max: None };
            let before = sent(&server).await;
            let page = node.broker.read(read).await.expect("the log is read");
            let sent = sent(&server).await - before;
            let offsets: Vec<u64> = page.events.iter().map(|event| event.offset).collect();
            assert_eq!(offsets, (1..=5_000).rev().take(limit).collect::<Vec<_>>());
            assert!(sent < 500, "{sent} messages for {limit} events from {from:?}");
        }
    }
}

/// Events of the only topic of a stream have places one after the other, so each is known to be right or wrong.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_while_a_page_is_read_is_missed_by_nobody_unnoticed() {
    let server = Nats::start().await;
    let node = Node::start_keeping(&options(vec![server.url()], "moving"), 60).await;
    let few = topic("few:a");
    let publish = async {
        for _ in 0..100 {
            let batch = (0..100).map(|_| (few.topic.clone(), Draft::new(Data::text("x")))).collect();
            let answers = node.bus.publish(&few.tenant, batch).await.expect("the events are valid");
            assert!(answers.iter().all(Result::is_ok), "all are stored");
        }
    };
    let read = async {
        let mut pages = 0;
        loop {
            for direction in [Direction::Forward, Direction::Backward] {
                let (from, topic) = (ReadFrom::End, few.clone());
                let read = Read { topic, from, direction, limit: 40, bytes_max: 1 << 20, age_max: None };
                let page = node.broker.read(read).await.expect("the log is read");
                let wrong: Vec<&Arc<Event>> = page.events.iter().filter(|e| e.prev + 1 != e.offset).collect();
                assert!(wrong.is_empty(), "page {pages}: {wrong:?}");
                pages += 1;
            }
        }
    };
    tokio::select! {
        () = publish => {}
        () = read => {}
    }
}
