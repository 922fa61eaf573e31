//! Who is where, as backends see it.

use fanfare_auth::Action;
use fanfare_model::{Tenant, Topic, TopicKey, UserId};
use fanfare_presence::Who;
use serde_json::json;

use crate::support::{TestApi, grant};

async fn enter(api: &TestApi, topic: &str, session: &str, user: &str) {
    let key = TopicKey::new(Tenant::default(), Topic::new(topic).unwrap());
    let who = Who { session: session.parse().unwrap(), user: Some(UserId::new(user).unwrap()), info: None };
    api.node.presence.enter(&key, &who, None).await.unwrap();
}

#[tokio::test]
async fn members_are_read_in_pages_and_counted() {
    let api = TestApi::new();
    for (session, user) in [("s1", "alice"), ("s2", "bob"), ("s3", "alice")] {
        enter(&api, "chat:1", session, user).await;
    }
    enter(&api, "chat:2", "s1", "alice").await;
    let page = api.get("/v1/topics/chat:1/presence?limit=2").await;
    assert_eq!(page.headers["content-type"], "application/json");
    let page = page.ok();
    assert_eq!((&page["topic"], &page["count"], &page["next"]), (&json!("chat:1"), &json!(3), &json!("s2")));
    assert_eq!(page["members"][0], json!({"id": "s1", "user": "alice", "since": 1_763_719_200_000_000_i64}));
    let page = api.get("/v1/topics/chat:1/presence?limit=2&after=s2").await.ok();
    assert_eq!((page["members"].as_array().unwrap().len(), page.get("next")), (1, None));

    let asked = json!({"topics": ["chat:2", "chat:1", "chat:3"]});
    let counted = api.post_json("/v1/presence/occupancy", &asked).await.ok();
    assert_eq!(
        counted,
        json!({"topics": [
            {"topic": "chat:2", "count": 1, "users": 1}, {"topic": "chat:1", "count": 3, "users": 2},
            {"topic": "chat:3", "count": 0, "users": 0},
        ]})
    );
    assert_eq!(api.get("/v1/users/alice/topics").await.ok(), json!({"topics": ["chat:1", "chat:2"]}));
    assert_eq!(api.delete("/v1/users/alice/presence").await.ok(), json!({"removed": 2}));
    assert_eq!(api.get("/v1/users/alice/topics").await.ok(), json!({"topics": []}));
    assert_eq!(api.get("/v1/topics/chat:1/presence").await.ok()["count"], 1);
}

#[tokio::test]
async fn who_may_not_see_it_does_not() {
    let api = TestApi::new();
    let token = api.mint(grant("chat:1", &[Action::Presence]));
    let ask = async |path: &str| api.ask_as(&token, http::Method::GET, path).await;
    ask("/v1/topics/chat:1/presence").await.ok();
    ask("/v1/topics/chat:2/presence").await.problem(403, "permission_denied");
    ask("/v1/users/alice/topics").await.problem(403, "permission_denied");
    api.ask_as(&token, http::Method::DELETE, "/v1/users/alice/presence").await.problem(403, "permission_denied");
    let body = json!({"topics": ["chat:1", "chat:2"]}).to_string();
    let json = [("content-type", "application/json")];
    let problem = api.post_as(&token, "/v1/presence/occupancy", &json, body).await.problem(403, "permission_denied");
    assert_eq!((&problem["topic"], &problem["at"]), (&json!("chat:2"), &json!("/topics/1")));
    for (body, at) in [(json!({"topics": []}), "/topics"), (json!({"topics": ["a b"]}), "/topics/0")] {
        let problem = api.post_json("/v1/presence/occupancy", &body).await.problem(400, "invalid_request");
        assert_eq!(problem["at"], at);
    }
}
