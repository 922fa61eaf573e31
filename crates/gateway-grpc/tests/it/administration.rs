//! `Topics`, `Presence`, `Sessions` and `Tokens`.

use fanfare_auth::{Action, Door};
use fanfare_proto::v1::presence_client::PresenceClient;
use fanfare_proto::v1::revoke_request::What as Revoke;
use fanfare_proto::v1::server_frame::What;
use fanfare_proto::v1::sessions_client::SessionsClient;
use fanfare_proto::v1::tokens_client::TokensClient;
use fanfare_proto::v1::topics_client::TopicsClient;
use fanfare_proto::v1::{self, read_history, revocation, sessions_selector};
use tonic::Code;

use crate::support::{Choices, node, numbers, refused, strings, topics, with_token};

#[tokio::test]
async fn topics_are_listed_read_and_emptied() {
    let test = node(Choices::default()).await;
    let server = test.server();
    for topic in ["chat:1", "chat:2", "orders"] {
        test.publish(topic, numbers(0..3)).await;
    }
    let mut client = TopicsClient::new(test.channel().await);
    let list = v1::ListTopicsRequest { prefix: "chat:".to_owned(), limit: 1, ..v1::ListTopicsRequest::default() };
    let page = client.list(with_token(list.clone(), &server)).await.unwrap().into_inner();
    assert_eq!((page.topics.len(), page.topics[0].topic.as_str(), page.next.as_str()), (1, "chat:1", "chat:1"));
    let page = client.list(with_token(v1::ListTopicsRequest { after: page.next, ..list }, &server)).await.unwrap();
    assert_eq!((page.get_ref().topics[0].topic.as_str(), page.get_ref().next.as_str()), ("chat:2", ""));

    let anchor = Some(read_history::Anchor::After(1));
    let read = v1::ReadHistory { topic: "chat:1".to_owned(), anchor, limit: 1, ..v1::ReadHistory::default() };
    let history = client.history(with_token(read, &server)).await.unwrap().into_inner();
    assert_eq!((history.events[0].id.as_str(), history.more, history.first), ("1", true, 1));

    let truncate = v1::TruncateTopicRequest { topic: "chat:1".to_owned(), before: 3 };
    let left = client.truncate(with_token(truncate, &server)).await.unwrap().into_inner();
    assert_eq!(left.first, 3);
    let purge = v1::PurgeTopicRequest { topic: "chat:1".to_owned() };
    let born = client.purge(with_token(purge.clone(), &server)).await.unwrap().into_inner();
    assert_ne!(born.position.split('.').next(), left.position.split('.').next(), "another life");
    let get = v1::GetTopicRequest { topic: "chat:1".to_owned() };
    assert_eq!(client.get(with_token(get.clone(), &server)).await.unwrap().into_inner(), born);

    let reader = test.token_for(Door::Server, None, &["chat:1"], &[Action::History]);
    refused(client.purge(with_token(purge, &reader)).await, Code::PermissionDenied, "permission_denied");
    let all = client.list(with_token(v1::ListTopicsRequest::default(), &reader)).await.unwrap().into_inner();
    assert!(all.topics.iter().all(|topic| topic.topic == "chat:1"), "{all:?}");
    let too_many = v1::ListTopicsRequest { limit: 5000, ..v1::ListTopicsRequest::default() };
    refused(client.list(with_token(too_many, &reader)).await, Code::InvalidArgument, "invalid_request");
}

#[tokio::test]
async fn backends_see_who_is_where() {
    let test = node(Choices::default()).await;
    let server = test.server();
    let mut alice = test.connect("alice").await;
    alice.enter("chat:1", r#"{"a":1}"#).await;
    alice.enter("chat:2", "null").await;
    let mut client = PresenceClient::new(test.channel().await);
    let members = v1::MembersRequest { topic: "chat:1".to_owned(), ..v1::MembersRequest::default() };
    let page = client.members(with_token(members.clone(), &server)).await.unwrap().into_inner();
    assert_eq!(
        (page.count, page.members[0].user.as_str(), &page.members[0].data[..]),
        (1, "alice", &br#"{"a":1}"#[..])
    );
    let asked = v1::OccupancyRequest { topics: strings(&["chat:2", "chat:3"]) };
    let found = client.occupancy(with_token(asked, &server)).await.unwrap().into_inner();
    let counts: Vec<_> = found.topics.iter().map(|topic| (topic.topic.as_str(), topic.count, topic.users)).collect();
    assert_eq!(counts, [("chat:2", 1, 1), ("chat:3", 0, 0)]);
    let user = || v1::TopicsOfRequest { user: "alice".to_owned() };
    let found = client.topics_of(with_token(user(), &server)).await.unwrap().into_inner();
    assert_eq!(found.topics, ["chat:1", "chat:2"]);
    let remove = v1::RemoveUserRequest { user: "alice".to_owned() };
    assert_eq!(client.remove_user(with_token(remove, &server)).await.unwrap().into_inner().removed, 2);
    assert!(client.topics_of(with_token(user(), &server)).await.unwrap().into_inner().topics.is_empty());
    let empty = v1::OccupancyRequest::default();
    refused(client.occupancy(with_token(empty, &server)).await, Code::InvalidArgument, "invalid_request");
    let reader = test.token_for(Door::Server, None, &["*"], &[Action::History]);
    refused(client.members(with_token(members, &reader)).await, Code::PermissionDenied, "permission_denied");
}

#[tokio::test]
async fn sessions_are_listed_ordered_and_ended() {
    let test = node(Choices::default()).await;
    let server = test.server();
    let mut alice = test.connect("alice").await;
    let mut bob = test.subscribe(&test.token("bob"), topics(&["chat:1"], "now")).await.unwrap();
    assert!(matches!(bob.next().await, What::Subscribed(_)));
    let mut client = SessionsClient::new(test.channel().await);
    let list = v1::ListSessionsRequest { user: "alice".to_owned(), ..v1::ListSessionsRequest::default() };
    let page = client.list(with_token(list, &server)).await.unwrap().into_inner();
    let session = &page.sessions[0];
    assert_eq!((page.total, session.user.as_str(), session.protocol.as_str()), (1, "alice", "grpc"));
    assert!(session.client.starts_with("tonic") && session.address == "127.0.0.1" && session.expires_at.is_some());

    let of_user =
        |user: &str| Some(v1::SessionsSelector { whose: Some(sessions_selector::Whose::User(user.to_owned())) });
    let topic = || v1::TopicFrom { topic: "orders".to_owned(), from: None };
    let subscribe = v1::SubscribeSessionsRequest { sessions: of_user("alice"), topics: vec![topic()] };
    let told = client.subscribe(with_token(subscribe, &server)).await.unwrap().into_inner();
    assert_eq!(told.sessions, 1);
    assert!(matches!(alice.next().await, What::Subscribed(subscribed) if subscribed.topic == "orders"));
    let unsubscribe = v1::UnsubscribeSessionsRequest { sessions: of_user("alice"), topics: strings(&["orders"]) };
    client.unsubscribe(with_token(unsubscribe, &server)).await.unwrap();
    assert!(matches!(alice.next().await, What::Unsubscribed(_)));

    let one = v1::SessionsSelector { whose: Some(sessions_selector::Whose::Session(session.id.clone())) };
    client.disconnect(with_token(one.clone(), &server)).await.unwrap();
    assert_eq!(alice.end().await.1.code(), Code::Aborted);
    test.sessions_are(1).await;
    refused(client.disconnect(with_token(one, &server)).await, Code::NotFound, "not_found");
    let nobody = v1::SessionsSelector::default();
    refused(client.disconnect(with_token(nobody, &server)).await, Code::InvalidArgument, "invalid_request");
    let ended = client.disconnect(with_token(of_user("bob").unwrap(), &server)).await.unwrap().into_inner();
    assert_eq!((ended.sessions, bob.end().await.1.code()), (1, Code::Aborted));
    let reader = test.token_for(Door::Server, None, &["chat:*"], &Action::ALL);
    let done = client.list(with_token(v1::ListSessionsRequest::default(), &reader)).await;
    refused(done, Code::PermissionDenied, "permission_denied");
}

#[tokio::test]
async fn tokens_end_before_their_time() {
    let test = node(Choices::default()).await;
    let server = test.server();
    let mut alice = test.connect("alice").await;
    let mut client = TokensClient::new(test.channel().await);
    let block = v1::RevokeRequest { what: Some(Revoke::BlockUser("alice".to_owned())) };
    client.revoke(with_token(block, &server)).await.unwrap();
    assert_eq!(alice.end().await.1.code(), Code::Unauthenticated);
    refused(test.open_with(Some(&test.token("alice"))).await, Code::Unauthenticated, "user_blocked");
    let request = v1::RevokeRequest { what: Some(Revoke::TokenId("t-1".to_owned())) };
    client.revoke(with_token(request, &server)).await.unwrap();
    let user_tokens = v1::UserTokens { user: "bob".to_owned(), issued_before: 1_763_719_200_000_000 };
    let request = v1::RevokeRequest { what: Some(Revoke::UserTokens(user_tokens)) };
    client.revoke(with_token(request, &server)).await.unwrap();
    let listed = client.revocations(with_token(v1::RevocationsRequest::default(), &server)).await.unwrap().into_inner();
    let what: Vec<_> = listed.revocations.into_iter().filter_map(|revoked| revoked.what).collect();
    assert!(what.contains(&revocation::What::BlockUser("alice".to_owned())), "{what:?}");
    assert!(what.contains(&revocation::What::TokenId("t-1".to_owned())), "{what:?}");

    let unblock = || v1::UnblockRequest { user: "alice".to_owned() };
    client.unblock(with_token(unblock(), &server)).await.unwrap();
    assert!(test.open_with(Some(&test.token("alice"))).await.is_ok());
    refused(client.unblock(with_token(unblock(), &server)).await, Code::NotFound, "not_found");
    let nothing = v1::RevokeRequest::default();
    refused(client.revoke(with_token(nothing, &server)).await, Code::InvalidArgument, "invalid_request");

    let ticket = v1::TicketRequest { user: "carol".to_owned(), topics: strings(&["chat:*"]), ..Default::default() };
    let made = client.ticket(with_token(ticket, &server)).await.unwrap().into_inner();
    assert!(made.ticket.starts_with("ft1.") && made.expires_in > 0);
    let bad = v1::TicketRequest { topics: strings(&["a*b"]), ..Default::default() };
    refused(client.ticket(with_token(bad, &server)).await, Code::InvalidArgument, "invalid_request");
}
