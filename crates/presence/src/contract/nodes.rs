//! Several nodes on one engine.

use std::sync::Arc;
use std::time::Duration;

use fanfare_bus::{Per, PresencePolicy};
use fanfare_model::Tenant;

use super::{Bench, cases, holder, session, topic};
use crate::member::Occupancy;

cases! {
    a_session_is_where_it_entered_last,
    a_dead_node_leaves_once,
    a_user_with_a_session_elsewhere_stays,
    occupancy_is_right_after_a_crash,
    a_session_that_moves_stays_a_member,
    who_was_taken_for_dead_is_told,
    what_one_node_does_another_sees,
}

/// Long enough to be alive for the whole case.
const ALIVE: Duration = Duration::from_secs(3600);

impl Bench {
    async fn beat(&self, lease: Duration) -> bool {
        self.engine.heartbeat(&self.holder, lease).await.expect("a sign of life is taken")
    }

    async fn reap(&self) -> usize {
        self.engine.reap(&self.holder).await.expect("the dead are taken out")
    }
}

async fn a_session_is_where_it_entered_last(bench: Bench) {
    let (a, one, two) = (topic("a"), bench.on("one"), bench.on("two"));
    one.enter(&a, "s", "1").await;
    assert!(!two.enter(&a, "s", "1").await.changed, "it is the same member");
    assert!(!one.leave(&a, "s").await.changed, "one does not hold it any more");
    let held = |name: &str| {
        let (engine, holder) = (Arc::clone(&bench.engine), holder(name));
        async move { engine.topics_in(&Tenant::default(), &session("s"), &holder).await.expect("it is told").len() }
    };
    assert_eq!((held("one").await, held("two").await), (0, 1));
    assert!(two.leave(&a, "s").await.changed);
    assert_eq!(bench.told(&a).await, ["+s=1", "-s=1"]);
}

// 36
async fn a_dead_node_leaves_once(bench: Bench) {
    let (a, alive, dead) = (topic("a"), bench.on("alive"), bench.on("dead"));
    for n in 0..50 {
        dead.enter(&a, &format!("d{n:02}"), "").await;
        alive.enter(&a, &format!("l{n:02}"), "").await;
    }
    alive.beat(ALIVE).await;
    assert_eq!(alive.reap().await, 0, "who has just entered is alive without a sign");
    dead.beat(Duration::ZERO).await;
    assert_eq!(alive.reap().await, 50);
    assert_eq!(alive.reap().await, 0);
    assert_eq!(bench.on("another").reap().await, 0);
    let mut left = bench.told(&a).await.split_off(100);
    left.sort();
    assert_eq!(left, (0..50).map(|n| format!("-d{n:02}")).collect::<Vec<_>>());
    assert_eq!(bench.list(&a).await, (0..50).map(|n| format!("l{n:02}")).collect::<Vec<_>>());
}

async fn a_user_with_a_session_elsewhere_stays(bench: Bench) {
    let bench = bench.with_policy(PresencePolicy { per: Per::User, ..PresencePolicy::default() });
    let (a, alive, dead) = (topic("a"), bench.on("alive"), bench.on("dead"));
    dead.enter(&a, "s1@alice", "1").await;
    alive.enter(&a, "s2@alice", "").await;
    dead.enter(&a, "s3@bob", "").await;
    alive.beat(ALIVE).await;
    dead.beat(Duration::ZERO).await;
    assert_eq!(alive.reap().await, 2);
    assert_eq!(bench.told(&a).await, ["+alice=1", "+bob", "-bob"]);
    alive.leave(&a, "s2").await;
    assert_eq!(bench.told(&a).await.last().map(String::as_str), Some("-alice=1"));
}

// 38
async fn occupancy_is_right_after_a_crash(bench: Bench) {
    let a = topic("a");
    let nodes = ["n0", "n1", "n2", "n3"].map(|name| bench.on(name));
    for (at, node) in nodes.iter().enumerate() {
        node.beat(ALIVE).await;
        for n in 0..25 {
            node.enter(&a, &format!("s{at}-{n}@u{n}"), "").await;
        }
    }
    assert_eq!(bench.occupancy(&a).await, Occupancy { count: 100, users: 25 });
    nodes[2].beat(Duration::ZERO).await;
    let mut reaped = 0;
    for at in [0, 1, 3] {
        reaped += nodes[at].reap().await;
    }
    assert_eq!(reaped, 25, "by one of them");
    assert_eq!(bench.occupancy(&a).await, Occupancy { count: 75, users: 25 });
    let members = bench.members(&a).await;
    assert_eq!((members.count, members.members.len()), (75, 75));
    assert!(members.members.iter().all(|member| !member.id.starts_with("s2-")));
}

async fn a_session_that_moves_stays_a_member(bench: Bench) {
    let (one, two) = (bench.on("one"), bench.clone());
    let topics = [topic("a:1"), topic("b:1")];
    for topic in &topics {
        one.enter(topic, "s@alice", "1").await;
        one.enter(topic, "t", "").await;
    }
    let adopted = two.engine.adopt(&Tenant::default(), &session("s"), &two.holder).await.expect("it is told");
    let told: Vec<_> = adopted.iter().map(|(topic, member)| format!("{topic} {}", super::shown(member))).collect();
    assert_eq!(told, ["a:1 s=1", "b:1 s=1"]);
    let nobody = two.engine.adopt(&Tenant::default(), &session("nobody"), &two.holder).await.expect("it is told");
    assert!(nobody.is_empty());
    for topic in &topics {
        assert!(!one.leave(topic, "s").await.changed, "one does not hold it any more");
        assert!(one.leave(topic, "t").await.changed);
        assert!(two.leave(topic, "s").await.changed);
        assert_eq!(bench.told(topic).await, ["+s=1", "+t", "-t", "-s=1"], "it was never gone");
    }
}

async fn who_was_taken_for_dead_is_told(bench: Bench) {
    let (a, one, two) = (topic("a"), bench.on("one"), bench.on("two"));
    assert!(!one.beat(ALIVE).await, "it is not known");
    assert!(one.beat(ALIVE).await);
    one.enter(&a, "s", "").await;
    one.beat(Duration::ZERO).await;
    assert_eq!(two.reap().await, 1);
    assert!(!one.beat(ALIVE).await, "its members are gone");
    assert_eq!(two.reap().await, 0);
    // Another life of the same node.
    let again = bench.on("one-again");
    assert!(again.enter(&a, "s", "").await.changed);
    assert_eq!(one.reap().await + two.reap().await, 0, "who has entered is alive");
    assert_eq!(bench.told(&a).await, ["+s", "-s", "+s"]);
}

async fn what_one_node_does_another_sees(bench: Bench) {
    let (a, here, there) = (topic("a"), bench.clone(), bench.on("there"));
    for n in 0..30 {
        let (first, then) = if n % 2 == 0 { (&here, &there) } else { (&there, &here) };
        let name = format!("s{n:02}@u{n:02}");
        let (session, user) = name.split_once('@').expect("both");
        let entered = first.enter(&a, &name, "").await;
        let members = then.members(&a).await;
        assert_eq!((members.rev, members.count), (entered.rev, n + 1));
        let updated = then.update(&a, session, "1").await.expect("wherever it is held");
        assert_eq!(first.members(&a).await.rev, updated.rev);
        let topics = then.engine.topics_of(&Tenant::default(), &super::user(user)).await.expect("they are told");
        assert_eq!(topics.len(), 1);
    }
    assert_eq!(here.told(&a).await, there.told(&a).await);
}
