//! Sessions that take the place of those on other nodes.

use std::time::Duration;

use fanfare_auth::Door;
use fanfare_model::Timestamp;
use fanfare_session::{Goodbye, Options};

use crate::support::{NOW, Nodes, TestNode, ended};

fn single(nodes: &Nodes, name: &str) -> TestNode {
    let options = Options { single_per_user: true, ..Options::default() };
    nodes.node_with(name, options, nodes.bus.clone())
}

#[tokio::test(start_paused = true)]
async fn a_users_new_session_ends_the_old_one_on_another_node() {
    let nodes = Nodes::new();
    let (a, b) = (single(&nodes, "a"), single(&nodes, "b"));
    a.sees(2).await;
    let (first, bob) = (a.enter("alice").await.session, a.enter("bob").await.session);
    nodes.clock.advance(Duration::from_millis(5));
    let second = b.enter("alice").await.session;
    assert_eq!(ended(&first).await, Some(Goodbye::Replaced));
    assert!(!first.is_taken_over(), "it is over");
    assert_eq!((ended(&second).await, ended(&bob).await), (None, None));
}

/// Both come in the same microsecond, and neither knows of the other: exactly one stays.
#[tokio::test(start_paused = true)]
async fn of_two_at_once_one_stays() {
    let nodes = Nodes::new();
    let (a, b) = (single(&nodes, "a"), single(&nodes, "b"));
    a.sees(2).await;
    for round in 0..20 {
        let user = format!("user-{round}");
        let (one, other) = tokio::join!(a.enter(&user), b.enter(&user));
        let ends = (ended(&one.session).await, ended(&other.session).await);
        assert!(
            matches!(ends, (Some(Goodbye::Replaced), None) | (None, Some(Goodbye::Replaced))),
            "round {round}: {ends:?}"
        );
    }
}

/// The clock of the node where the new one comes is behind: still not both stay.
#[tokio::test(start_paused = true)]
async fn clocks_that_differ_leave_one() {
    let nodes = Nodes::new();
    let (a, b) = (single(&nodes, "a"), single(&nodes, "b"));
    a.sees(2).await;
    let first = a.enter("alice").await.session;
    nodes.clock.set(Timestamp::from_seconds(NOW - 1));
    let second = b.enter("alice").await.session;
    let ends = (ended(&first).await, ended(&second).await);
    assert_eq!(ends, (None, Some(Goodbye::Replaced)), "the one that is later by the clocks stays");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_goes_on_elsewhere_ends_its_earlier_life() {
    let nodes = Nodes::new();
    let (a, b) = (nodes.node("a"), nodes.node("b"));
    a.sees(2).await;
    let (first, other) = (a.enter("alice").await, a.enter("alice").await);
    let token = first.resume.as_ref().expect("a resume token").text.clone();
    nodes.clock.advance(Duration::from_secs(1));
    let principal = b.auth.authenticate(Door::Client, &token).expect("the nodes share their keys");
    let second = b.enter_as(principal).await;
    assert!(second.resumed);
    assert_eq!(second.session.info().id, first.session.info().id);
    assert_eq!(ended(&first.session).await, Some(Goodbye::Replaced));
    assert!(first.session.is_taken_over() && !second.session.is_taken_over(), "the first leaves no topic by its end");
    assert_eq!((ended(&second.session).await, ended(&other.session).await), (None, None));
}
