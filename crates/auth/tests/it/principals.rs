//! What a good token, or none, makes of its bearer.

use fanfare_auth::{Action, Anonymous, Credential, Door, Grant, MintRequest, Options, Pattern, Principal};
use fanfare_model::{Duration, Kind, Tenant, Timestamp, Topic, UserId};
use serde_json::json;
use serde_json::value::RawValue;

use crate::forge::{NOW, SECRET_OTHER, auth, claiming, claims, options, sign_text, with};

fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

fn admitted(changes: serde_json::Value) -> Principal {
    auth(options()).authenticate(Door::Client, &claiming(changes)).unwrap()
}

/// What `principal` may do with `on`.
fn actions(principal: &Principal, on: &str) -> Vec<&'static str> {
    Action::ALL.into_iter().filter(|action| principal.may(*action, &topic(on))).map(Action::as_str).collect()
}

#[test]
fn claims_become_a_principal() {
    let principal = admitted(json!({"fanfare": {
        "grants": [{"topics": ["orders:*"], "allow": ["publish"]}],
        "info": {"name": "Alice"},
        "subscribe": ["chat:1", "news"],
    }}));
    assert_eq!(principal.tenant, Tenant::new("acme").unwrap());
    assert_eq!(principal.user, Some(UserId::new("alice").unwrap()));
    assert_eq!(&*principal.issuer, "app");
    let issued_at = Some(Timestamp::from_seconds(NOW - 10));
    assert_eq!(principal.credential, Credential::Token { id: Some("token-1".to_owned()), issued_at });
    assert_eq!(principal.expires_at, Some(Timestamp::from_seconds(NOW + 600)));
    assert_eq!(principal.info.as_ref().unwrap().get(), r#"{"name":"Alice"}"#);
    assert_eq!(principal.subscribe, [topic("chat:1"), topic("news")]);
    assert_eq!(principal.door(), Door::Client);
    // The shorthand adds to the grants.
    assert_eq!(actions(&principal, "orders:1"), ["publish"]);
    assert_eq!(actions(&principal, "chat:1"), ["subscribe", "history"]);
    assert_eq!(actions(&principal, "news"), [""; 0]);
}

#[test]
fn the_tenant_comes_from_the_issuer() {
    let auth = auth(options());
    let claims = with(claims(), json!({"iss": "https://other.example", "aud": "live", "tenant": "acme"}));
    let token = sign_text(r#"{"alg":"HS256","typ":"push+jwt"}"#, &claims.to_string(), SECRET_OTHER.as_bytes());
    let principal = auth.authenticate(Door::Client, &token).unwrap();
    assert_eq!((principal.tenant, &*principal.issuer), (Tenant::default(), "other"));
}

#[test]
fn the_shorthand_is_a_list_or_commas() {
    for topics in [json!(["a:1", "b:*"]), json!("a:1,b:*"), json!(" a:1 , b:* ")] {
        let principal = admitted(json!({"topics": topics}));
        assert_eq!(actions(&principal, "a:1"), ["subscribe", "history"]);
        assert_eq!(actions(&principal, "b:x"), ["subscribe", "history"]);
        assert_eq!(actions(&principal, "a:2"), [""; 0]);
    }
    // In a list a comma is part of a topic.
    let principal = admitted(json!({"topics": ["a:1,b:*"]}));
    assert_eq!(principal.grants()[0].topics[0].as_str(), "a:1,b:*");
    assert_eq!(actions(&principal, "b:x"), [""; 0]);
}

#[test]
fn a_user_stands_in_patterns_and_cannot_widen_them() {
    let patterns = json!(["user:{user}", "inbox:{user}:*"]);
    let alice = admitted(json!({"topics": patterns}));
    assert_eq!(
        alice.grants()[0].topics.iter().map(Pattern::as_str).collect::<Vec<_>>(),
        ["user:alice", "inbox:alice:*"]
    );
    assert!(alice.may(Action::Subscribe, &topic("inbox:alice:7")));
    for (user, on) in [
        (json!("*"), "user:bob"),
        (json!("*"), "inbox:bob:1"),
        (json!("alice:*"), "user:alice:1"),
        (json!("alice:private"), "inbox:alice:private:1"),
        (json!("alice:private"), "user:alice:private"),
        (json!("{user}"), "user:{user}"),
        (json!("bob,user:*"), "user:x"),
        (json!(null), "user:{user}"),
    ] {
        let principal = admitted(json!({"sub": user, "topics": patterns}));
        assert!(!principal.may(Action::Subscribe, &topic(on)), "{user} on {on}");
        // Nor does what is left mean more when it is read again.
        for pattern in principal.grants().iter().flat_map(|grant| &grant.topics) {
            assert!(!Pattern::parse(pattern.as_str()).unwrap().matches(&topic(on)), "{user}: {pattern}");
        }
    }
}

#[test]
fn the_default_grants_are_for_tokens_that_name_none() {
    let mut options = options();
    options.issuers.get_mut("app").unwrap().grants_default =
        vec![Grant::to_listen(vec![Pattern::parse("news").unwrap(), Pattern::parse("user:{user}").unwrap()])];
    let auth = auth(options);
    let may = |changes, on: &str| {
        auth.authenticate(Door::Client, &claiming(changes)).unwrap().may(Action::Subscribe, &topic(on))
    };
    assert!(may(json!({"topics": null}), "news"));
    assert!(may(json!({"topics": null}), "user:alice"));
    assert!(may(json!({"topics": null, "fanfare": {"info": {}}}), "news"));
    assert!(!may(json!({"topics": ["chat:1"]}), "news"));
    assert!(!may(json!({"topics": null, "fanfare": {"grants": []}}), "news"));
}

#[test]
fn refused_actions_say_which() {
    let principal = admitted(json!({}));
    assert!(principal.authorize(Action::Subscribe, &topic("chat:1")).is_ok());
    let refusal = principal.authorize(Action::Publish, &topic("chat:1")).unwrap_err();
    assert_eq!((refusal.kind(), refusal.code()), (Kind::Denied, "permission_denied"));
    assert_eq!(refusal.to_string(), "this credential does not allow `publish` on the topic `chat:1`");
    assert!(!principal.may_any(Action::Subscribe));
    assert!(principal.authorize_any(Action::Admin).unwrap_err().to_string().ends_with("`admin` on every topic"));
    let all = admitted(json!({"fanfare": {"grants": [{"topics": ["*"], "allow": ["admin"]}]}}));
    assert!(all.may_any(Action::Admin) && !all.may_any(Action::Publish));
    assert!(all.authorize_any(Action::Admin).is_ok());
    let prefix = admitted(json!({"fanfare": {"grants": [{"topics": ["chat:*"], "allow": ["admin"]}]}}));
    assert!(!prefix.may_any(Action::Admin));
}

#[test]
fn minted_tokens_say_what_was_asked() {
    let auth = auth(options());
    let grants = vec![Grant { topics: vec![Pattern::parse("orders:{user}").unwrap()], allow: vec![Action::Publish] }];
    for door in Door::ALL {
        let request = MintRequest {
            issuer: Some("app".to_owned()),
            door,
            user: Some(UserId::new("bob").unwrap()),
            grants: grants.clone(),
            topics: vec![Pattern::parse("chat:*").unwrap()],
            lifetime: Duration::from_secs(90),
            id: Some("id-7".to_owned()),
            info: Some(RawValue::from_string(r#"{"a":1}"#.to_owned()).unwrap()),
            subscribe: vec![topic("chat:1")],
        };
        let principal = auth.authenticate(door, &auth.mint(request).unwrap()).unwrap();
        let issued_at = Some(Timestamp::from_seconds(NOW));
        assert_eq!(principal.credential, Credential::Token { id: Some("id-7".to_owned()), issued_at });
        assert_eq!(principal.expires_at, Some(Timestamp::from_seconds(NOW + 90)));
        assert_eq!(principal.info.as_ref().unwrap().get(), r#"{"a":1}"#);
        assert_eq!(principal.subscribe, [topic("chat:1")]);
        assert_eq!(actions(&principal, "orders:bob"), ["publish"]);
        assert_eq!(actions(&principal, "chat:9"), ["subscribe", "history"]);
    }
    // The typ that the issuer asks for is the typ that is minted.
    let request = MintRequest { issuer: Some("other".to_owned()), ..MintRequest::default() };
    auth.authenticate(Door::Client, &auth.mint(request).unwrap()).unwrap();
}

#[test]
fn tokens_that_could_not_be_let_in_are_not_minted() {
    let auth = auth(options());
    let app = MintRequest { issuer: Some("app".to_owned()), ..MintRequest::default() };
    let many = (0..2_000).map(|i| Pattern::parse(format!("t:{i}")).unwrap()).collect();
    for (request, kind, part) in [
        (MintRequest::default(), Kind::Invalid, "`app`, `other`"),
        (MintRequest { issuer: Some("x".to_owned()), ..app.clone() }, Kind::NotFound, "no issuer `x`"),
        (MintRequest { lifetime: Duration::from_secs(86_401), ..app.clone() }, Kind::Invalid, "max_lifetime"),
        (MintRequest { lifetime: Duration::from_millis(999), ..app.clone() }, Kind::Invalid, "from 1s"),
        (MintRequest { info: Some(RawValue::NULL.to_owned()), ..app.clone() }, Kind::Invalid, "`fanfare.info`"),
        (MintRequest { topics: many, ..app.clone() }, Kind::Invalid, "at most 8192 are allowed"),
        (MintRequest { id: Some("j".repeat(256)), ..app }, Kind::Invalid, "`jti`"),
    ] {
        let error = auth.mint(request).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(part), "{error}");
    }
    let error = crate::forge::auth(Options::default()).mint(MintRequest::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn anybody_comes_in_only_where_the_configuration_says() {
    assert!(auth(options()).anonymous(Door::Client).is_none());
    assert!(!auth(Options::default()).accepts_any());
    let anonymous = Anonymous {
        tenant: Tenant::new("demo").unwrap(),
        grants: vec![Grant::to_listen(vec![Pattern::parse("news").unwrap(), Pattern::parse("user:{user}").unwrap()])],
        ..Anonymous::default()
    };
    let auth = auth(Options { anonymous: Some(anonymous), ..Options::default() });
    assert!(auth.accepts_any());
    assert!(auth.anonymous(Door::Server).is_none());
    let principal = auth.anonymous(Door::Client).unwrap();
    assert_eq!((principal.credential.clone(), principal.user.clone()), (Credential::Anonymous, None));
    assert_eq!(principal.tenant.as_str(), "demo");
    assert_eq!(actions(&principal, "news"), ["subscribe", "history"]);
    assert_eq!(principal.grants()[0].topics.len(), 1);
    assert!(!auth.revocations().is_revoked(&principal));
}
