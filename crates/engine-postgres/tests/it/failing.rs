//! Servers that stop, are cut off, or are replaced by one that lacks the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fanfare_engine_postgres::{Engine, Error, Options};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Duration, GapReason, Kind, SystemClock};
use fanfare_test_engines::{FaultProxy, Postgres};
use futures_util::future::join_all;

use crate::support::{Got, Node, PATIENCE, application, options, run, shared, until};

/// Publishes until it is accepted.
async fn insist(node: &Node, topic: &str, text: &str) -> u64 {
    let whole = tokio::time::timeout(PATIENCE, async {
        loop {
            match node.try_publish(topic, text).await {
                Ok(appended) => return appended.position.offset,
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Unavailable);
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            }
        }
    });
    whole.await.expect("the server is there again")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_loses_and_doubles_nothing() {
    const PUBLISHERS: usize = 4;
    const EACH: usize = 60;
    let server = Postgres::start().await;
    let node = Node::start(&server.url(), "fanfare").await;
    let mut listener = node.listen(&["a"]).await;
    let acknowledged = AtomicUsize::new(0);
    let (node, count) = (&node, &acknowledged);
    let publishers = join_all((0..PUBLISHERS).map(|publisher| async move {
        let mut offsets = Vec::new();
        for n in 0..EACH {
            offsets.push((insist(node, "a", &format!("{publisher}-{n}")).await, format!("{publisher}-{n}")));
            count.fetch_add(1, Ordering::Relaxed);
        }
        offsets
    }));
    let faults = async {
        for after in [PUBLISHERS * EACH / 4, PUBLISHERS * EACH / 2] {
            while acknowledged.load(Ordering::Relaxed) < after {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            server.kill();
            server.restart().await;
        }
    };
    let (offsets, ()) = tokio::join!(publishers, faults);
    let mut all: Vec<(u64, String)> = offsets.into_iter().flatten().collect();
    all.sort();
    listener.until(|got| got.len() >= PUBLISHERS * EACH).await;
    let heard: Vec<(u64, String)> = listener
        .events()
        .iter()
        .map(|event| (event.offset, event.draft.data.as_text().unwrap_or("?").to_owned()))
        .collect();
    assert!(listener.gaps().is_empty(), "{:?}", listener.gaps());
    assert_eq!(heard, all, "each once, in order, where it was acknowledged");
    assert_eq!(
        heard.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(),
        (1..=(PUBLISHERS * EACH) as u64).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_lacks_the_end_is_told_as_a_fork() {
    let primary = Postgres::start().await;
    let url = primary.url();
    let proxy = FaultProxy::start(primary.address()).await;
    let first = Node::start(&url, "fanfare").await;
    first.publish("a", "1").await;
    first.publish("a", "2").await;
    let standby = primary.standby_via(proxy.address()).await;
    drop(first);
    let both = Options {
        standby_urls: vec![standby.url().into()],
        timeout: Duration::from_secs(2),
        ..options(&url, "fanfare")
    };
    let node = Node::start_with(&both, Arc::new(SystemClock)).await;
    let mut listener = node.listen(&["a", "quiet"]).await;
    node.publish("a", "3").await;
    let mut replica = application(&standby.url()).await;
    until(&mut replica, "SELECT top::text FROM fanfare.topic WHERE topic = 'a'", "3").await;
    drop(replica);
    // From here on the standby knows nothing.
    proxy.part(true);
    for text in ["lost 4", "lost 5"] {
        node.publish("a", text).await;
    }
    listener.until_text("lost 5").await;
    primary.kill();
    standby.promote().await;
    assert_eq!(insist(&node, "a", "new 4").await, 4, "the offset is used again");
    listener.until(|got| got.iter().any(|got| matches!(got, Got::Gap(_)))).await;
    insist(&node, "a", "new 5").await;
    insist(&node, "a", "new 6").await;
    listener.until_text("new 6").await;
    assert_eq!(listener.gaps(), [GapReason::Fork]);
    let texts = listener.texts();
    assert_eq!(texts[..3], ["3", "lost 4", "lost 5"]);
    // Whatever of the new log lies before the place where the reader goes on is in the gap.
    let after: Vec<&str> = texts[4..].iter().map(String::as_str).collect();
    assert!(["new 4", "new 5", "new 6"].ends_with(&after) && after.len() >= 2, "{texts:?}");
    assert_eq!(insist(&node, "quiet", "q").await, 1);
    listener.until_text("q").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_is_unavailable_soon_and_nothing_is_lost() {
    let server = shared().await;
    let proxy = FaultProxy::start(server.address()).await;
    let through = server.url().replace(&server.address().to_string(), &proxy.address().to_string());
    let impatient = Options { timeout: Duration::from_millis(500), ..options(&through, "parted") };
    let node = Node::start_with(&impatient, Arc::new(SystemClock)).await;
    let mut listener = node.listen(&["a"]).await;
    node.publish("a", "1").await;
    listener.until_text("1").await;
    proxy.part(true);
    let since = tokio::time::Instant::now();
    assert_eq!(node.try_publish("a", "2").await.unwrap_err().kind(), Kind::Unavailable);
    assert!(node.bus.heads(vec![crate::support::key("a")]).await.is_err());
    assert!(since.elapsed() < std::time::Duration::from_secs(4), "{:?}", since.elapsed());
    // Another node is not cut off.
    let other = Node::start(&server.url(), "parted").await;
    other.publish("a", "meanwhile").await;
    proxy.part(false);
    insist(&node, "a", "2").await;
    insist(&node, "a", "3").await;
    listener.until_text("3").await;
    listener.until_text("meanwhile").await;
    let mut texts = listener.texts();
    assert!(texts.contains(&"2".to_owned()));
    let count = texts.len();
    texts.sort();
    texts.dedup();
    assert_eq!((texts.len(), count), (4, 4), "each once: {texts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_will_not_do_is_refused_with_the_reason() {
    let server = shared().await;
    let connect = async |url: &str| {
        let impatient = Options { timeout: Duration::from_millis(500), ..options(url, "fanfare") };
        match Engine::connect(&impatient, Arc::new(SystemClock), &Lifecycle::new()).await {
            Ok(_) => panic!("it was accepted"),
            Err(error) => error,
        }
    };
    let mut owner = application(&server.url()).await;
    let create = "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    run(&mut owner, create).await.unwrap();
    let other = format!("postgres://postgres@{}/ascii", server.address());
    assert!(matches!(connect(&other).await, Error::Encoding { found } if found == "SQL_ASCII"));
    run(&mut owner, "CREATE ROLE nobody LOGIN").await.unwrap();
    let other = server.url().replace("postgres@", "nobody@");
    assert!(matches!(connect(&other).await, Error::Schema { schema, .. } if schema == "fanfare"));
    assert!(matches!(connect("postgres://postgres@127.0.0.1:1/postgres").await, Error::Unreachable(_)));
    assert!(matches!(connect("mysql:nonsense").await, Error::Options(_)));
}
