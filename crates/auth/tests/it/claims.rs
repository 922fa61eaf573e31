//! Tokens of other systems, read as the configuration says.

use fanfare_auth::{Action, Auth, Door, Lack, MintRequest, Options, Principal, Reason, Refusal};
use fanfare_model::{Timestamp, Topic};
use serde_json::{Value, json};

use crate::forge::{NOW, SECRET, clock, options, sign};

/// A server whose issuer `app` has its claims read so.
fn reading(claims: Value) -> Result<Auth, String> {
    let mut options = options();
    let app = options.issuers.get_mut("app").unwrap();
    app.claims = serde_json::from_value(claims).map_err(|e| e.to_string())?;
    app.may_lack = vec![Lack::Issuer, Lack::Audience];
    Auth::new(options, clock()).map_err(|e| e.to_string())
}

fn enter(form: &Value, claims: &Value) -> Result<Principal, Refusal> {
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let mut claims = claims.clone();
    claims["exp"] = json!(NOW + 600);
    reading(form.clone()).unwrap().authenticate(Door::Client, &sign(&header, &claims))
}

/// What the principal of these claims may do with each topic.
fn may(form: &Value, claims: &Value, topics: &[&str]) -> Vec<String> {
    let principal = enter(form, claims).unwrap();
    let actions = |topic: &&str| {
        let topic = Topic::new(topic).unwrap();
        let may = Action::ALL.into_iter().filter(|action| principal.may(*action, &topic));
        may.map(Action::as_str).collect::<Vec<_>>().join(" ")
    };
    topics.iter().map(actions).collect()
}

const LISTEN: &str = "subscribe history";

#[test]
fn mercure() {
    let form = json!("mercure");
    let grants =
        json!({"subscribe": ["books:*", "https://example.com/books/1"], "publish": ["*"], "payload": {"a": 1}});
    for name in ["mercure", "https://mercure.rocks/"] {
        let claims = json!({ name: grants, "sub": "alice" });
        let on = ["books:1", "https://example.com/books/1", "https://example.com/books/2"];
        let both = "subscribe publish history";
        assert_eq!(may(&form, &claims, &on), [both, both, "publish"]);
        let principal = enter(&form, &claims).unwrap();
        assert_eq!(principal.info.unwrap().get(), r#"{"a":1}"#);
        assert_eq!(principal.user.unwrap().as_str(), "alice");
    }
    // A template of theirs is not widened to what we would read in it.
    for selector in ["https://example.com/books/{id}", "https://example.com/*", "{anything}"] {
        let refusal = enter(&form, &json!({"mercure": {"subscribe": [selector]}})).unwrap_err();
        assert_eq!((refusal.reason(), refusal.claim()), (Reason::BadClaim, Some("/mercure/subscribe")));
    }
    // Ours are not read.
    assert_eq!(may(&form, &json!({"topics": ["*"], "mercure": {}}), &["books:1"]), [""]);
}

#[test]
fn centrifugo() {
    let form = json!("centrifugo");
    let claims = json!({
        "sub": "42",
        "info": {"name": "Alice"},
        "channels": ["news", "chat:1"],
        "subs": {"chat:2": {"data": {}, "override": {"presence": {"value": true}}}},
        "caps": [
            {"channels": ["orders:*"], "match": "wildcard", "allow": ["sub", "pub"]},
            {"channels": ["audit"], "allow": ["hst", "prs", "unheard"]},
        ],
        "expire_at": NOW + 60,
    });
    let on = ["news", "chat:1", "chat:2", "chat:3", "orders:7", "audit"];
    let expected = [LISTEN, LISTEN, LISTEN, "", "subscribe publish", "history presence"];
    assert_eq!(may(&form, &claims, &on), expected);
    let principal = enter(&form, &claims).unwrap();
    assert_eq!(principal.subscribe, ["news", "chat:1", "chat:2"].map(|text| Topic::new(text).unwrap()));
    assert_eq!(principal.expires_at, Some(Timestamp::from_seconds(NOW + 60)));
    assert_eq!(principal.info.unwrap().get(), r#"{"name":"Alice"}"#);
    // An end of 0 is none; a later one changes nothing; one that is past is past.
    for end in [0, NOW + 900] {
        let principal = enter(&form, &json!({"expire_at": end})).unwrap();
        assert_eq!(principal.expires_at, Some(Timestamp::from_seconds(NOW + 600)));
    }
    assert_eq!(enter(&form, &json!({"expire_at": NOW - 60})).unwrap_err().reason(), Reason::Expired);
    for caps in [
        json!([{"channels": ["a:.*"], "match": "regex", "allow": ["sub"]}]),
        json!([{"channels": ["orders:*"], "allow": ["sub"]}]),
        json!([{"channels": ["a"], "allow": ["sub"], "deny": ["sub"]}]),
        json!({"channels": ["a"]}),
    ] {
        assert_eq!(enter(&form, &json!({ "caps": caps })).unwrap_err().claim(), Some("caps"));
    }
    assert_eq!(enter(&form, &json!({"channels": ["user:*"]})).unwrap_err().claim(), Some("channels"));
    assert_eq!(enter(&form, &json!({"subs": {"a b": {}}})).unwrap_err().claim(), Some("subs"));
}

#[test]
fn ably() {
    let form = json!("ably");
    let capability =
        json!({"chat:*": ["subscribe", "presence"], "status": ["*"], "[meta]log": ["subscribe"], "x": ["stats"]});
    for capability in [json!(capability.to_string()), capability] {
        let claims = json!({"x-ably-clientId": "alice", "x-ably-capability": capability});
        let all = "subscribe publish history presence";
        assert_eq!(may(&form, &claims, &["chat:1", "status", "log", "x"]), ["subscribe presence", all, "", ""]);
        assert_eq!(enter(&form, &claims).unwrap().user.unwrap().as_str(), "alice");
    }
    for bad in [json!("{"), json!([]), json!({"chat:*": "subscribe"}), json!({"ch*t": ["subscribe"]}), json!(1)] {
        assert_eq!(enter(&form, &json!({ "x-ably-capability": bad })).unwrap_err().claim(), Some("x-ably-capability"));
    }
}

#[test]
fn a_form_of_its_own() {
    let form = json!({
        "user": "/account/id",
        "info": "https://example.com/profile",
        "topics": "/rt/rooms",
        "publish": "/rt/write",
        "channels": "auto",
        "grants": "/rt/grants",
        "capabilities": "can",
        "permissions": "scope",
        "permission_grants": {
            "chat.read": [{"topics": ["chat:*"], "allow": ["subscribe"]}],
            "chat.admin": [{"topics": ["chat:*"], "allow": ["admin"]}, {"topics": ["audit"], "allow": ["history"]}],
        },
    });
    let claims = json!({
        "account": {"id": 4711},
        "https://example.com/profile": {"n": 1},
        "rt": {
            "rooms": "room:1, room:2",
            "write": ["out:{user}"],
            "grants": [{"topics": ["g:*"], "allow": ["query"]}],
        },
        "auto": ["auto:1"],
        "can": {"c:*": ["publish"]},
        "scope": "openid chat.read chat.admin",
        "topics": ["*"],
        "fanfare": 7,
    });
    let on = ["room:2", "out:4711", "out:1", "g:1", "auto:1", "c:1", "chat:1", "audit", "else"];
    let expected = [LISTEN, "publish", "", "query", LISTEN, "publish", "subscribe admin", "history", ""];
    assert_eq!(may(&form, &claims, &on), expected);
    let principal = enter(&form, &claims).unwrap();
    assert_eq!(principal.user.unwrap().as_str(), "4711");
    assert_eq!(principal.info.unwrap().get(), r#"{"n":1}"#);
    assert_eq!(principal.subscribe, [Topic::new("auto:1").unwrap()]);
    for (bad, claim) in [
        (json!({"account": {"id": 1.5}}), "/account/id"),
        (json!({"account": {"id": ""}}), "/account/id"),
        (json!({"rt": {"rooms": 7}}), "/rt/rooms"),
        (json!({"auto": {"a": 1, ":": 2}}), "auto"),
        (json!({"scope": 7}), "scope"),
        (json!({"https://example.com/profile": []}), "https://example.com/profile"),
    ] {
        assert_eq!(enter(&form, &bad).unwrap_err().claim(), Some(claim));
    }
    // What is not where it is looked for is not there.
    assert_eq!(enter(&form, &json!({"account": 7, "rt": [1]})).unwrap().user, None);
}

#[test]
fn paths_find_names_with_slashes_and_tildes() {
    let form = json!({"user": "/a~1b/m~0n/x"});
    let user = enter(&form, &json!({"a/b": {"m~n": {"x": "found"}}})).unwrap().user.unwrap();
    assert_eq!(user.as_str(), "found");
}

#[test]
fn default_grants_are_for_tokens_that_say_nothing() {
    let mut options = options();
    let app = options.issuers.get_mut("app").unwrap();
    app.claims = serde_json::from_value(json!("mercure")).unwrap();
    app.grants_default = serde_json::from_value(json!([{"topics": ["news"], "allow": ["subscribe"]}])).unwrap();
    let auth = Auth::new(options, clock()).unwrap();
    let news = Topic::new("news").unwrap();
    let may = |claims: Value| {
        let claims = crate::forge::with(crate::forge::claims(), claims);
        auth.authenticate(Door::Client, &sign(&crate::forge::header(), &claims)).unwrap().may(Action::Subscribe, &news)
    };
    assert!(may(json!({})));
    assert!(!may(json!({"mercure": {"subscribe": []}})));
}

#[test]
fn what_the_configuration_may_not_say() {
    for (form, parts) in [
        (json!("mercury"), &["mercury", "centrifugo"][..]),
        (json!({"uesr": "sub"}), &["uesr", "user"]),
        (json!({"user": ""}), &["claim must be named"]),
        (json!({"user": "/a/b/c/d/e/f/g/h/i"}), &["8 levels"]),
        (json!({"permission_grants": {"a": []}}), &["auth.issuers.app.claims.permission_grants", "name it"]),
        (json!(["sub"]), &["the name of a form of claims, or a table"]),
    ] {
        let error = reading(form).unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    // As it stands in a file.
    let text = format!("[issuers.a]\nclaims = {{ user = 'id' }}\nkeys = [{{ secret = '{SECRET}' }}]");
    let options: Options = toml::from_str(&text).unwrap();
    assert!(toml::to_string(&options).unwrap().contains("user = \"id\""));
}

#[test]
fn only_what_may_be_lacking_may() {
    let lacking = |may_lack: Vec<Lack>, door: Door, claims: Value| {
        let mut options = options();
        options.issuers.get_mut("app").unwrap().may_lack = may_lack;
        let claims = crate::forge::with(crate::forge::claims(), claims);
        let token = sign(&crate::forge::header(), &claims);
        Auth::new(options, clock()).unwrap().authenticate(door, &token).err().map(|refusal| refusal.reason())
    };
    let (no_iss, no_aud) = (json!({"iss": null}), json!({"aud": null}));
    assert_eq!(lacking(vec![], Door::Client, no_iss.clone()), Some(Reason::MissingIssuer));
    assert_eq!(lacking(vec![Lack::Issuer], Door::Client, no_iss), None);
    assert_eq!(lacking(vec![Lack::Issuer], Door::Client, no_aud.clone()), Some(Reason::MissingAudience));
    assert_eq!(lacking(vec![Lack::Audience], Door::Client, no_aud.clone()), None);
    // A backend's door needs an audience, and a wrong one is wrong.
    assert_eq!(lacking(vec![Lack::Audience], Door::Server, no_aud), Some(Reason::MissingAudience));
    assert_eq!(lacking(vec![Lack::Audience], Door::Client, json!({"aud": "x"})), Some(Reason::WrongAudience));
    let mut options = options();
    options.issuers.values_mut().for_each(|issuer| issuer.may_lack = vec![Lack::Issuer]);
    let error = Auth::new(options, clock()).unwrap_err().to_string();
    assert!(error.contains("auth.issuers.app") && error.contains("auth.issuers.other"), "{error}");
}

#[test]
fn no_token_is_made_in_a_form_that_is_not_ours() {
    let request = MintRequest { issuer: Some("app".to_owned()), ..MintRequest::default() };
    let error = reading(json!("ably")).unwrap().mint(request).unwrap_err().to_string();
    assert!(error.contains("auth.issuers.app.claims"), "{error}");
}
