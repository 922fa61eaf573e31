//! A ticket is good once, on whichever node it is shown.

use std::time::Duration;

use fanfare_auth::{Action, Auth, Door, Pattern, Resume, Revocation, TicketRequest};
use fanfare_model::{Tenant, Topic, UserId};
use fanfare_session::access::redeem;

use crate::support::{Nodes, TestNode, auth_options};

fn ticket(node: &TestNode, origin: Option<&str>) -> String {
    let topics = Some(["chat:1", "other:*"].map(|text| Pattern::parse(text).expect("a pattern")).to_vec());
    let request = TicketRequest { principal: node.principal("alice"), origin: origin.map(str::to_owned), topics };
    node.auth.ticket(request).expect("a ticket").text
}

async fn code(node: &TestNode, ticket: &str, origin: Option<&str>) -> Option<&'static str> {
    redeem(node, ticket, origin).await.err().map(|problem| problem.code())
}

#[tokio::test(start_paused = true)]
async fn it_is_good_once_on_any_node() {
    let nodes = Nodes::new();
    let (a, b) = (nodes.node("a"), nodes.node("b"));
    let text = ticket(&a, None);
    assert!(text.starts_with("ft1."));
    let principal = redeem(&b, &text, None).await.unwrap();
    assert_eq!(principal.user, Some(UserId::new("alice").unwrap()));
    // For what it was made for, and no more.
    assert!(principal.may(Action::Subscribe, &Topic::new("chat:1").unwrap()));
    assert!(!principal.may(Action::Subscribe, &Topic::new("chat:2").unwrap()));
    assert!(!principal.may(Action::Subscribe, &Topic::new("other:1").unwrap()));
    for node in [&a, &b] {
        assert_eq!(code(node, &text, None).await, Some("unknown_ticket"));
    }
    // However many are shown it at once.
    let text = ticket(&b, None);
    let tries = (0..16).map(|n| {
        let (node, text) = (if n % 2 == 0 { &a } else { &b }, &text);
        async move { redeem(node, text, None).await.is_ok() }
    });
    let let_in = futures_util::future::join_all(tries).await;
    assert_eq!(let_in.iter().filter(|ok| **ok).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_ends_and_belongs_to_its_origin() {
    let nodes = Nodes::new();
    let (a, b) = (nodes.node("a"), nodes.node("b"));
    let page = Some("https://app.example");
    let text = ticket(&a, page);
    assert_eq!(code(&b, &text, Some("https://evil.example")).await, Some("unknown_ticket"));
    assert_eq!(code(&b, &text, page).await, Some("unknown_ticket"), "a wrong one has used it up");
    assert_eq!(code(&b, &ticket(&a, page), page).await, None);
    let late = ticket(&a, None);
    nodes.clock.advance(Duration::from_secs(30));
    assert_eq!(code(&b, &late, None).await, Some("unknown_ticket"));
    for forged in ["ft1.", "ft1.AAAA", &late.replace("ft1.", "fr1."), "x"] {
        assert_eq!(code(&b, forged, None).await, Some("unknown_ticket"), "{forged}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_no_resume_token_and_the_other_way_round() {
    let nodes = Nodes::new();
    let a = nodes.node("a");
    let text = ticket(&a, None);
    for forged in [text.clone(), text.replacen("ft1.", "fr1.", 1)] {
        assert!(a.auth.authenticate(Door::Client, &forged).is_err());
    }
    let resume = a.enter("alice").await.resume.expect("a resume token").text;
    assert_eq!(code(&a, &resume.replacen("fr1.", "ft1.", 1), None).await, Some("unknown_ticket"));
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_what_it_was_asked_for_with() {
    let nodes = Nodes::new();
    let (a, b) = (nodes.node("a"), nodes.node("b"));
    let text = ticket(&a, None);
    let user = UserId::new("alice").unwrap();
    b.revoke(Revocation::Block { tenant: Tenant::default(), user }).await.unwrap();
    assert_eq!(code(&b, &text, None).await, Some("user_blocked"));
}

#[test]
fn nodes_that_share_an_engine_need_the_same_keys() {
    let options = fanfare_auth::Options { resume: Resume::default(), ..auth_options() };
    let refused = options.validate().unwrap_err();
    assert!(refused.contains("auth.resume.keys") && refused.contains("openssl rand -hex 32"), "{refused}");
    let clock = std::sync::Arc::new(fanfare_model::SystemClock);
    assert!(Auth::new(options, clock).is_err());
}
