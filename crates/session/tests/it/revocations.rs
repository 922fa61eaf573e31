//! What is revoked on one node is revoked on all, and stays so.

use std::time::Duration;

use fanfare_auth::{Door, Reason, Revocation};
use fanfare_bus::{Admin, Direction, Read, ReadFrom};
use fanfare_model::{Tenant, Timestamp, Topic, TopicKey, UserId};
use fanfare_session::{Goodbye, Unrevoked};

use crate::support::{NOW, Nodes, TestNode, ended};

/// For how long the log keeps the topic.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

fn block(user: &str) -> Revocation {
    Revocation::Block { tenant: Tenant::default(), user: UserId::new(user).expect("a user") }
}

fn refused(node: &TestNode, token: &str) -> Option<Reason> {
    node.auth.authenticate(Door::Client, token).err().map(|refusal| refusal.reason())
}

async fn kept(nodes: &Nodes) -> usize {
    let topic = TopicKey::new(Tenant::default(), Topic::internal("revocations"));
    let (from, direction) = (ReadFrom::End, Direction::Forward);
    let read = Read { topic, from, direction, limit: 1000, bytes_max: usize::MAX, age_max: Some(KEPT) };
    nodes.bus.read(read).await.expect("a page").events.len()
}

#[tokio::test(start_paused = true)]
async fn sessions_of_all_nodes_end() {
    let nodes = Nodes::new();
    let (a, b) = (nodes.node("a"), nodes.node("b"));
    let (on_a, on_b, bob) =
        (a.enter("alice").await.session, b.enter("alice").await.session, b.enter("bob").await.session);
    let token = b.token("alice");
    a.revoke(block("alice")).await.unwrap();
    assert_eq!(refused(&a, &token), Some(Reason::UserBlocked), "here at once");
    assert_eq!(ended(&on_a).await, Some(Goodbye::Revoked));
    assert_eq!(ended(&on_b).await, Some(Goodbye::Revoked));
    assert_eq!(ended(&bob).await, None);
    assert_eq!(refused(&b, &token), Some(Reason::UserBlocked));

    let alice = UserId::new("alice").unwrap();
    b.unblock(&Tenant::default(), &alice).await.unwrap();
    assert_eq!(refused(&b, &token), None);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(refused(&a, &token), None);
    let again = a.unblock(&Tenant::default(), &alice).await;
    assert!(matches!(again, Err(Unrevoked::Auth(fanfare_auth::Error::NotFound(_)))), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_knows_before_it_lets_anybody_in() {
    let nodes = Nodes::new();
    let a = nodes.node("a");
    let (alice, bob, carol) = (a.token("alice"), a.token("bob"), a.token("carol"));
    a.revoke(block("alice")).await.unwrap();
    let issued_before = Timestamp::from_seconds(NOW + 1);
    nodes.clock.advance(Duration::from_secs(2));
    let user = UserId::new("bob").unwrap();
    a.revoke(Revocation::UserTokens { tenant: Tenant::default(), user, issued_before }).await.unwrap();
    a.revoke(block("carol")).await.unwrap();
    a.unblock(&Tenant::default(), &UserId::new("carol").unwrap()).await.unwrap();
    drop(a);
    let later = nodes.node("later");
    later.learn_revocations().await.unwrap();
    assert_eq!(refused(&later, &alice), Some(Reason::UserBlocked));
    assert_eq!(refused(&later, &bob), Some(Reason::Revoked));
    assert_eq!(refused(&later, &carol), None, "the block was taken back");
    assert_eq!(refused(&later, &later.token("bob")), None, "made since");
}

/// The engine has lost its log: whoever knows puts it there again, once each.
#[tokio::test(start_paused = true)]
async fn what_the_log_has_lost_is_told_again() {
    let nodes = Nodes::new();
    let (a, b) = (nodes.node("a"), nodes.node("b"));
    let token = a.token("alice");
    a.revoke(block("alice")).await.unwrap();
    a.revoke(block("bob")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(refused(&b, &token), Some(Reason::UserBlocked));
    let topic = TopicKey::new(Tenant::default(), Topic::internal("revocations"));
    nodes.bus.admin(Admin::Purge(topic)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(kept(&nodes).await, 2);
    let later = nodes.node("later");
    later.learn_revocations().await.unwrap();
    assert_eq!(refused(&later, &token), Some(Reason::UserBlocked));
}

/// A block outlives the time for which the log keeps events: one of the nodes sees to it, once a week.
#[tokio::test(start_paused = true)]
async fn what_is_in_force_is_kept_anew() {
    let nodes = Nodes::new();
    let (a, b) = (nodes.node("a"), nodes.node("b"));
    // Each has looked once, as it started.
    tokio::time::sleep(Duration::from_secs(1)).await;
    a.revoke(block("alice")).await.unwrap();
    a.keep_revocations_anew().await;
    assert_eq!(kept(&nodes).await, 1, "it is not a week old");
    for weeks in 2..=8 {
        nodes.clock.advance(Duration::from_secs(7 * 24 * 3600));
        nodes.a_week_passes_for("once/revocations").await;
        for node in [&a, &b, &a] {
            node.keep_revocations_anew().await;
        }
        assert_eq!(kept(&nodes).await, weeks.min(5), "after {} weeks", weeks - 1);
    }
    let later = nodes.node("later");
    later.learn_revocations().await.unwrap();
    assert_eq!(refused(&later, &later.token("alice")), Some(Reason::UserBlocked));
}
