//! Questions to all other nodes.

use std::sync::Arc;
use std::time::Duration;

use fanfare_lifecycle::Lifecycle;
use tokio::sync::mpsc;

use crate::support::{Cluster, Node, bus, settled};

const PATIENCE: Duration = Duration::from_secs(2);

/// Answers with its name and the question.
fn echoes(node: &Node) {
    let name = node.handle.node().name.clone();
    node.handle.on("echo", move |question: String| {
        let answer = format!("{name} {question}");
        async move { answer }
    });
}

/// What the others say, and how many are silent.
async fn ask(node: &Node, kind: &'static str) -> (Vec<String>, usize) {
    let answers = node.handle.ask_others::<_, String>(kind, &"hi", PATIENCE).await;
    let mut said: Vec<String> = answers.answers.into_iter().map(|(_, said)| said).collect();
    said.sort();
    (said, answers.silent.len())
}

#[tokio::test(start_paused = true)]
async fn every_other_node_answers() {
    let cluster = Cluster::new();
    let nodes = [cluster.node("a"), cluster.node("b"), cluster.node("c")];
    nodes.iter().for_each(echoes);
    settled(&nodes.each_ref()).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(ask(&nodes[1], "echo").await, (vec!["a hi".to_owned(), "c hi".to_owned()], 0));
    assert_eq!(begun.elapsed(), Duration::ZERO, "nobody is waited for");
    // Who has nothing to say is not missed.
    assert_eq!(ask(&nodes[1], "unknown").await, (Vec::new(), 0));
    nodes[2].handle.on("only there", |question: String| async move { format!("c {question}") });
    assert_eq!(ask(&nodes[0], "only there").await, (vec!["c hi".to_owned()], 0));
    // Two at once are not mixed up.
    let (one, other) = tokio::join!(ask(&nodes[0], "echo"), ask(&nodes[0], "only there"));
    assert_eq!((one.0.len(), other.0.len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_told_is_heard_by_the_others() {
    let cluster = Cluster::new();
    let (a, b, c) = (cluster.node("a"), cluster.node("b"), cluster.node("c"));
    let (heard, mut lines_heard) = mpsc::channel(8);
    for node in [&a, &b, &c] {
        let (name, heard) = (node.handle.node().name.clone(), heard.clone());
        node.handle.on("news", move |news: Arc<str>| {
            let (heard, line) = (heard.clone(), format!("{name} {news}"));
            async move { heard.send(line).await.is_ok() }
        });
    }
    settled(&[&a, &b, &c]).await;
    a.handle.tell_others("news", &"hi").await;
    let mut lines = [lines_heard.recv().await.unwrap(), lines_heard.recv().await.unwrap()];
    lines.sort();
    assert_eq!(lines, ["b hi", "c hi"]);
    assert!(lines_heard.try_recv().is_err(), "not by a itself");
}

#[tokio::test(start_paused = true)]
async fn a_node_by_itself_needs_no_bus() {
    let life = Lifecycle::new();
    let cluster = Cluster::new();
    let node = cluster.node_on("a", bus(&life));
    life.stop();
    life.ended().await;
    echoes(&node);
    let begun = tokio::time::Instant::now();
    assert_eq!(ask(&node, "echo").await, (Vec::new(), 0));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// One that is alive and cannot be reached is told of as silent, when the asker's patience is over.
#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_told() {
    let cluster = Cluster::new();
    let elsewhere = Lifecycle::new();
    let (a, b, far) = (cluster.node("a"), cluster.node("b"), cluster.node_on("far", bus(&elsewhere)));
    [&a, &b, &far].into_iter().for_each(echoes);
    settled(&[&a, &b, &far]).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(ask(&a, "echo").await, (vec!["b hi".to_owned()], 1));
    assert_eq!(begun.elapsed(), PATIENCE);
    elsewhere.stop();
}

/// Of those that cannot make out what is asked, or what is said, it is known at once.
#[tokio::test(start_paused = true)]
async fn who_is_not_understood_is_told() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    a.handle.on("sum", |(x, y): (u32, u32)| async move { x + y });
    b.handle.on("sum", |_: String| async { "another version" });
    settled(&[&a, &b]).await;
    let begun = tokio::time::Instant::now();
    let answers = b.handle.ask_others::<_, u32>("sum", &(1, 2), PATIENCE).await;
    assert_eq!(answers.answers, [(a.handle.id().clone(), 3)]);
    let answers = b.handle.ask_others::<_, u32>("sum", &"?", PATIENCE).await;
    assert_eq!(answers.silent, [a.handle.id().clone()]);
    let answers = a.handle.ask_others::<_, u32>("sum", &"?", PATIENCE).await;
    assert_eq!(answers.silent, [b.handle.id().clone()]);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// The nodes are known from before when the store cannot be asked.
#[tokio::test(start_paused = true)]
async fn questions_need_no_store() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    [&a, &b].into_iter().for_each(echoes);
    settled(&[&a, &b]).await;
    a.cut_off(true);
    assert_eq!(ask(&a, "echo").await, (vec!["b hi".to_owned()], 0));
}
