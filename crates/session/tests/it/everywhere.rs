//! Sessions of all nodes, from any of them.

use std::time::Duration;

use fanfare_model::{SessionId, Tenant, Topic, UserId};
use fanfare_session::{From, Goodbye, NotFound, Nudge, Order, Query, Whose, Wish};

use crate::support::{Nodes, ended, nudged};

fn all() -> Query {
    Query { tenant: Tenant::default(), user: None, after: None, limit: 100 }
}

fn of_user(user: &str) -> Whose {
    Whose::User(Tenant::default(), UserId::new(user).expect("a user"))
}

#[tokio::test(start_paused = true)]
async fn sessions_are_listed_wherever_they_are() {
    let nodes = Nodes::new();
    let (a, b) = (nodes.node("a"), nodes.node("b"));
    a.sees(2).await;
    let sessions = [a.enter("alice").await, b.enter("alice").await, b.enter("bob").await];
    for node in [&a, &b] {
        let reached = node.everywhere().list(&all()).await;
        assert_eq!((reached.nodes, reached.silent, reached.what.total, reached.what.more), (2, 0, 3, false));
        let listed = reached.what.sessions;
        assert!(listed.is_sorted_by_key(|(_, info)| info.id.clone()));
        for (on, entered) in [(&a, &sessions[0]), (&b, &sessions[1]), (&b, &sessions[2])] {
            let info = entered.session.info();
            let found = listed.iter().find(|(_, listed)| listed.id == info.id).expect("it is listed");
            assert_eq!((&found.0, &found.1.user), (on.cluster.id(), &info.user));
        }
        // Page by page it is the same.
        let (mut after, mut ids) = (None, Vec::new());
        loop {
            let page = node.everywhere().list(&Query { after, limit: 1, ..all() }).await.what;
            ids.extend(page.sessions.iter().map(|(_, info)| info.id.clone()));
            if !page.more {
                break;
            }
            after = ids.last().cloned();
        }
        assert!(ids.iter().eq(listed.iter().map(|(_, info)| &info.id)));
        let alice = Query { user: Some(UserId::new("alice").unwrap()), limit: 0, ..all() };
        assert_eq!(node.everywhere().list(&alice).await.what.total, 2);
    }
    let counts: Vec<_> = a.everywhere().nodes(&Tenant::default()).await;
    let counts: Vec<_> = counts.iter().map(|(node, sessions)| (node.name.as_str(), *sessions)).collect();
    assert_eq!(counts, [("a", Some(1)), ("b", Some(2))]);
}

#[tokio::test(start_paused = true)]
async fn orders_reach_sessions_of_other_nodes() {
    let nodes = Nodes::new();
    let (a, b) = (nodes.node("a"), nodes.node("b"));
    a.sees(2).await;
    let (on_a, on_b, bob) =
        (a.enter("alice").await.session, b.enter("alice").await.session, b.enter("bob").await.session);
    let topics = ["chat:1", "chat:2"].map(|topic| Topic::new(topic).unwrap());
    let with_from = topics.clone().map(|topic| (topic, From::Last(5)));
    let wish = Wish::Subscribe { whose: of_user("alice"), topics: with_from.to_vec() };
    let reached = a.everywhere().carry_out(&wish).await;
    assert_eq!((reached.what, reached.nodes, reached.silent), (2, 2, 0));
    for session in [&on_a, &on_b] {
        assert_eq!(nudged(session).await, Some(Nudge::Orders));
        let expected = with_from.clone().map(|(topic, from)| Order::Subscribe { topic, from });
        assert_eq!(session.take_orders(), expected);
    }
    assert!(bob.take_orders().is_empty());

    let one = Whose::Session(Tenant::default(), bob.info().id);
    let wish = Wish::Unsubscribe { whose: one.clone(), topics: topics.to_vec() };
    assert_eq!(a.everywhere().carry_out(&wish).await.found(&one).map(|reached| reached.what), Ok(1));
    assert_eq!(bob.take_orders().len(), 2);
    assert_eq!(a.everywhere().carry_out(&Wish::Disconnect(one)).await.what, 1);
    assert_eq!(ended(&bob).await, Some(Goodbye::Disconnected));
    assert_eq!(b.everywhere().carry_out(&Wish::Disconnect(of_user("alice"))).await.what, 2);
    assert_eq!(ended(&on_a).await, Some(Goodbye::Disconnected));
    assert_eq!(ended(&on_b).await, Some(Goodbye::Disconnected));
}

/// A node that is alive and does not answer: what was done elsewhere is done, and it is said that one is missing.
#[tokio::test(start_paused = true)]
async fn a_silent_node_is_told_of() {
    let nodes = Nodes::new();
    let (a, b) = (nodes.node("a"), nodes.node("b"));
    a.sees(2).await;
    let (here, there) = (a.enter("alice").await.session, b.enter("alice").await.session);
    let deaf = nodes.deaf_node("deaf");
    deaf.cluster.nodes().wait_for(|nodes| nodes.len() == 3).await.unwrap();
    let begun = tokio::time::Instant::now();
    let whose = Whose::Session(Tenant::default(), SessionId::new("nobody").unwrap());
    let reached = a.everywhere().carry_out(&Wish::Disconnect(whose.clone())).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(2), "patience");
    assert_eq!((reached.what, reached.nodes, reached.silent), (0, 2, 1));
    assert_eq!(reached.found(&whose), Err(NotFound::Silent));
    let reached = a.everywhere().carry_out(&Wish::Disconnect(of_user("alice"))).await;
    assert_eq!((reached.what, reached.nodes, reached.silent), (2, 2, 1));
    assert_eq!(ended(&here).await, Some(Goodbye::Disconnected));
    assert_eq!(ended(&there).await, Some(Goodbye::Disconnected));
    let listed = a.everywhere().nodes(&Tenant::default()).await;
    let silent: Vec<_> = listed.iter().filter(|(_, count)| count.is_none()).map(|(node, _)| &*node.name).collect();
    assert_eq!(silent, ["deaf"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_by_itself_speaks_for_all() {
    let nodes = Nodes::new();
    let a = nodes.node("a");
    let session = a.enter("alice").await.session;
    let reached = a.everywhere().list(&all()).await;
    assert!(reached.is_alone());
    assert_eq!(reached.what.total, 1);
    let nobody = Whose::Session(Tenant::new("other").unwrap(), session.info().id);
    let reached = a.everywhere().carry_out(&Wish::Disconnect(nobody.clone())).await;
    assert_eq!(reached.found(&nobody), Err(NotFound::Nowhere), "another tenant's is none");
}
