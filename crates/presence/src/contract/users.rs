//! Users: collapsed to one member, where they are, and taking them out.

use std::sync::Arc;

use fanfare_bus::{Per, PresencePolicy};
use fanfare_model::{Tenant, Topic, TopicKey};

use super::{Bench, cases, topic, user};
use crate::error::Error;
use crate::member::Occupancy;

cases! {
    a_user_joins_with_the_first_session_and_leaves_with_the_last,
    who_has_no_user_is_no_member_where_members_are_users,
    occupancy_tells_members_and_users,
    it_is_known_where_a_user_is,
    a_user_is_taken_out_of_everything_once,
}

fn per_user() -> PresencePolicy {
    PresencePolicy { per: Per::User, ..PresencePolicy::default() }
}

// 36
async fn a_user_joins_with_the_first_session_and_leaves_with_the_last(bench: Bench) {
    let (bench, a) = (bench.with_policy(per_user()), topic("a"));
    bench.enter(&a, "s1@alice", "1").await;
    assert!(!bench.enter(&a, "s2@alice", "").await.changed, "a further session that says nothing");
    bench.enter(&a, "s3@alice", "3").await;
    bench.enter(&a, "s4@bob", "").await;
    assert!(!bench.leave(&a, "s1").await.changed);
    bench.update(&a, "s2", "2").await.expect("it may update");
    assert!(!bench.leave(&a, "s3").await.changed);
    assert_eq!(bench.list(&a).await, ["alice=2", "bob"]);
    assert!(bench.leave(&a, "s2").await.changed);
    assert_eq!(bench.told(&a).await, ["+alice=1", "~alice=3", "+bob", "~alice=2", "-alice=2"]);
    assert_eq!(bench.occupancy(&a).await, Occupancy { count: 1, users: 1 });
}

async fn who_has_no_user_is_no_member_where_members_are_users(bench: Bench) {
    let bench = bench.with_policy(per_user());
    let refused = bench.try_enter(&topic("a:1"), "s", "").await;
    assert!(matches!(refused, Err(Error::NeedsUser { kind }) if kind == "a"));
    assert_eq!(bench.occupancy(&topic("a:1")).await, Occupancy::default());
}

async fn occupancy_tells_members_and_users(bench: Bench) {
    let (a, b, c) = (topic("a"), topic("b"), topic("c"));
    for who in ["s1@alice", "s2@alice", "s3@bob", "s4"] {
        bench.enter(&a, who, "").await;
    }
    bench.enter(&b, "s1@alice", "").await;
    let all = bench.engine.occupancy(&[b.clone(), c, a.clone()]).await.expect("occupancy is told");
    let told: Vec<_> = all.iter().map(|one| (one.count, one.users)).collect();
    assert_eq!(told, [(1, 1), (0, 0), (4, 2)]);
    bench.leave(&a, "s1").await;
    assert_eq!(bench.occupancy(&a).await, Occupancy { count: 3, users: 2 });
    bench.leave(&a, "s2").await;
    assert_eq!(bench.occupancy(&a).await, Occupancy { count: 2, users: 1 });
}

// 37
async fn it_is_known_where_a_user_is(bench: Bench) {
    let (tenant, other) = (Tenant::default(), Tenant::new("other").expect("a tenant"));
    let alice = user("alice");
    for name in ["c:1", "a:1", "b:1"] {
        bench.enter(&topic(name), "s1@alice", "").await;
    }
    bench.enter(&topic("a:1"), "s2@alice", "").await;
    let elsewhere = TopicKey::new(other.clone(), Topic::new("z").expect("a topic"));
    bench.enter(&elsewhere, "s1@alice", "").await;
    let names = |topics: Vec<Topic>| topics.iter().map(Topic::to_string).collect::<Vec<_>>();
    let of = |tenant: Tenant| {
        let (engine, alice) = (Arc::clone(&bench.engine), alice.clone());
        async move { engine.topics_of(&tenant, &alice).await.expect("topics are told") }
    };
    assert_eq!(names(of(tenant.clone()).await), ["a:1", "b:1", "c:1"]);
    assert_eq!(names(of(other).await), ["z"]);
    bench.leave(&topic("a:1"), "s1").await;
    bench.leave(&topic("c:1"), "s1").await;
    assert_eq!(names(of(tenant.clone()).await), ["a:1", "b:1"]);
    let of_session = bench.engine.topics_in(&tenant, &super::session("s1"), &bench.holder).await;
    assert_eq!(names(of_session.expect("topics are told")), ["b:1"]);
}

// 37
async fn a_user_is_taken_out_of_everything_once(bench: Bench) {
    let tenant = Tenant::default();
    for n in 0..20 {
        let topic = topic(&format!("t:{n}"));
        bench.enter(&topic, "s1@alice", "").await;
        bench.on("another").enter(&topic, "s2@alice", "").await;
        bench.enter(&topic, "s3@bob", "").await;
    }
    let alice = user("alice");
    let removed = bench.engine.remove_user(&tenant, &alice).await.expect("it is done");
    assert_eq!(removed, 20);
    let again = bench.engine.remove_user(&tenant, &alice).await.expect("it is done");
    assert_eq!(again, 0);
    assert!(bench.engine.topics_of(&tenant, &alice).await.expect("topics are told").is_empty());
    for n in 0..20 {
        let topic = topic(&format!("t:{n}"));
        assert_eq!(bench.list(&topic).await, ["s3"]);
        let mut told = bench.told(&topic).await;
        told[3..].sort();
        assert_eq!(told, ["+s1", "+s2", "+s3", "-s1", "-s2"]);
    }
    bench.enter(&topic("t:0"), "s1@alice", "").await;
    assert_eq!(bench.list(&topic("t:0")).await, ["s1", "s3"]);
}
