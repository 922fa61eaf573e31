//! A client that was cut off comes back, for as long as it may.

use std::sync::Arc;
use std::time::Duration;

use fanfare_auth::{
    Action, Anonymous, ApiKey, Auth, CreatedKey, Credential, Door, Grant, Issuer, KeyRequest, Options, Pattern,
    Principal, Reason, Resume, Revocation, Secret,
};
use fanfare_model::{ManualClock, SessionId, Tenant, Timestamp, Topic, UserId};
use proptest::prelude::*;
use serde_json::json;

use crate::forge::{NOW, SECRET, SECRET_NEW, auth, claiming, claims, clock, options, secret, sign, with};

const KEY: &str = "91c1a1e5b0b8e2f29c3b6b4d3e5f60718293a4b5c6d7e8f90a1b2c3d4e5f6071";

/// The options of one node of several: all with the same key.
fn shared(options: Options) -> Options {
    Options { resume: Resume { keys: vec![Secret::new(KEY)], ..Resume::default() }, ..options }
}

fn on(options: Options, clock: &Arc<ManualClock>) -> Auth {
    Auth::new(options, Arc::<ManualClock>::clone(clock) as Arc<_>).unwrap()
}

fn session() -> SessionId {
    SessionId::new("5e551011").unwrap()
}

fn sealed(auth: &Auth, principal: &Principal) -> String {
    auth.seal(principal, &session()).unwrap().text
}

fn reason(auth: &Auth, text: &str) -> Option<Reason> {
    auth.authenticate(Door::Client, text).err().map(|refusal| refusal.reason())
}

#[test]
fn everything_comes_back_on_another_node() {
    let clock = clock();
    let (one, other) = (on(shared(options()), &clock), on(shared(options()), &clock));
    let token = claiming(json!({"fanfare": {
        "grants": [{"topics": ["inbox:{user}", "*"], "allow": ["publish", "presence"]}],
        "info": {"name": "Älice \"A\"", "n": 1.50},
        "subscribe": ["chat:1"],
    }}));
    let principal = one.authenticate(Door::Client, &token).unwrap();
    assert_eq!(principal.resumes, None);
    let made = one.seal(&principal, &session()).unwrap();
    assert_eq!(made.expires_in, Duration::from_secs(120));
    assert!(
        made.text.starts_with("fr1.") && made.text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    );
    for secret in ["alice", "chat", "app", "token-1"] {
        assert!(!made.text.contains(secret) && !format!("{made:?}").contains(&made.text));
    }
    let again = other.authenticate(Door::Client, &made.text).unwrap();
    assert_eq!(again.resumes, Some(session()));
    assert_eq!((&again.tenant, &again.user), (&principal.tenant, &principal.user));
    assert_eq!((&again.issuer, &again.credential), (&principal.issuer, &principal.credential));
    assert_eq!(again.expires_at, principal.expires_at);
    assert_eq!(again.info.as_ref().unwrap().get(), principal.info.as_ref().unwrap().get());
    assert_eq!((&again.subscribe, again.grants()), (&principal.subscribe, principal.grants()));
    // And again from there, with the same end.
    clock.advance(Duration::from_secs(100));
    let third = other.authenticate(Door::Client, &sealed(&other, &again)).unwrap();
    assert_eq!((third.expires_at, third.grants()), (principal.expires_at, principal.grants()));
}

#[test]
fn it_ends_with_its_window_and_with_the_credential() {
    let clock = clock();
    let auth = on(shared(options()), &clock);
    let principal = auth.authenticate(Door::Client, &claiming(json!({}))).unwrap();
    let text = sealed(&auth, &principal);
    clock.set(Timestamp::from_micros((NOW + 120) * 1_000_000 - 1));
    assert_eq!(reason(&auth, &text), None);
    clock.set(Timestamp::from_seconds(NOW + 120));
    assert_eq!(reason(&auth, &text), Some(Reason::Expired));
    // The token ends at NOW + 600: exactly, whatever the leeway for entering.
    clock.set(Timestamp::from_seconds(NOW + 590));
    let last = auth.seal(&principal, &session()).unwrap();
    assert_eq!(last.expires_in, Duration::from_secs(10));
    clock.set(Timestamp::from_seconds(NOW + 600));
    assert_eq!(reason(&auth, &last.text), Some(Reason::Expired));
    assert!(auth.seal(&principal, &session()).is_none());
}

#[test]
fn it_opens_no_backend_s_door_and_none_is_made_there() {
    let auth = auth(shared(options()));
    let principal = auth.authenticate(Door::Client, &claiming(json!({}))).unwrap();
    let refusal = auth.authenticate(Door::Server, &sealed(&auth, &principal)).unwrap_err();
    assert_eq!(refusal.reason(), Reason::WrongDoor);
    let backend = auth.authenticate(Door::Server, &claiming(json!({"aud": "fanfare-server"}))).unwrap();
    assert!(auth.seal(&backend, &session()).is_none());
}

#[test]
fn it_is_refused_when_what_it_was_made_of_is_gone() {
    let clock = clock();
    let text = {
        let auth = on(shared(options()), &clock);
        sealed(&auth, &auth.authenticate(Door::Client, &claiming(json!({}))).unwrap())
    };
    let changed = |change: &dyn Fn(&mut Issuer)| {
        let mut options = shared(options());
        change(options.issuers.get_mut("app").unwrap());
        reason(&on(options, &clock), &text)
    };
    assert_eq!(changed(&|_| ()), None);
    // It was signed with the first key.
    assert_eq!(changed(&|app| drop(app.keys.remove(0))), Some(Reason::UnknownKey));
    assert_eq!(changed(&|app| drop(app.keys.remove(1))), None);
    assert_eq!(changed(&|app| app.keys[0] = secret(&SECRET.replace('3', "4"))), Some(Reason::UnknownKey));
    assert_eq!(changed(&|app| app.tenant = Tenant::default()), Some(Reason::UnknownIssuer));
    let mut without = shared(options());
    without.issuers.remove("app");
    assert_eq!(reason(&on(without, &clock), &text), Some(Reason::UnknownIssuer));
}

#[test]
fn revocation_reaches_it() {
    let revocations = |tenant: &Tenant, user: &UserId| {
        let (tenant, user) = (tenant.clone(), user.clone());
        [
            (Revocation::Token { tenant: tenant.clone(), id: "token-1".to_owned() }, Reason::Revoked),
            (
                Revocation::UserTokens {
                    tenant: tenant.clone(),
                    user: user.clone(),
                    issued_before: Timestamp::from_seconds(NOW),
                },
                Reason::Revoked,
            ),
            (Revocation::Block { tenant, user }, Reason::UserBlocked),
        ]
    };
    let (acme, alice) = (Tenant::new("acme").unwrap(), UserId::new("alice").unwrap());
    for (revocation, expected) in revocations(&acme, &alice) {
        let auth = auth(shared(options()));
        let text = sealed(&auth, &auth.authenticate(Door::Client, &claiming(json!({}))).unwrap());
        assert_eq!(reason(&auth, &text), None);
        auth.revoke(revocation).unwrap();
        assert_eq!(reason(&auth, &text), Some(expected));
    }
    for (revocation, _) in revocations(&Tenant::default(), &alice) {
        let auth = auth(shared(options()));
        let text = sealed(&auth, &auth.authenticate(Door::Client, &claiming(json!({}))).unwrap());
        auth.revoke(revocation).unwrap();
        assert_eq!(reason(&auth, &text), None, "a revocation of another tenant");
    }
}

fn api_key(allow: Vec<Action>) -> (ApiKey, String) {
    let grants = vec![Grant { topics: vec![Pattern::parse("news").unwrap()], allow }];
    let request =
        KeyRequest { id: Some("kiosk".to_owned()), grants, doors: Door::ALL.to_vec(), ..KeyRequest::default() };
    let created = CreatedKey::generate(request, Timestamp::from_seconds(NOW));
    let text = created.text.reveal().to_owned();
    (created.key, text)
}

#[test]
fn an_api_key_comes_back_with_what_it_allows_now() {
    let clock = clock();
    let (key, text) = api_key(vec![Action::Subscribe, Action::Publish]);
    let one = on(shared(Options { api_keys: vec![key.clone()], ..Options::default() }), &clock);
    let resume = sealed(&one, &one.authenticate(Door::Client, &text).unwrap());
    let again = one.authenticate(Door::Client, &resume).unwrap();
    assert_eq!(again.credential, Credential::ApiKey { id: "kiosk".to_owned() });
    assert_eq!(again.resumes, Some(session()));
    let narrower = ApiKey { grants: api_key(vec![Action::Subscribe]).0.grants, ..key.clone() };
    let other = on(shared(Options { api_keys: vec![narrower], ..Options::default() }), &clock);
    let again = other.authenticate(Door::Client, &resume).unwrap();
    let news = Topic::new("news").unwrap();
    assert!(again.may(Action::Subscribe, &news) && !again.may(Action::Publish, &news));
    let server_only = ApiKey { doors: vec![Door::Server], ..key };
    let closed = on(shared(Options { api_keys: vec![server_only], ..Options::default() }), &clock);
    assert_eq!(reason(&closed, &resume), Some(Reason::WrongDoor));
    assert_eq!(reason(&on(shared(options()), &clock), &resume), Some(Reason::Revoked));
}

#[test]
fn a_revoked_api_key_comes_back_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let (key, text) = api_key(vec![Action::Subscribe]);
    let file = Some(directory.path().join("keys.json"));
    let auth = auth(shared(Options { api_keys: vec![key], api_keys_file: file, ..Options::default() }));
    let resume = sealed(&auth, &auth.authenticate(Door::Client, &text).unwrap());
    auth.revoke_key("kiosk").unwrap();
    assert_eq!(reason(&auth, &resume), Some(Reason::Revoked));
}

#[test]
fn nobody_in_particular_comes_back_while_anybody_may_come() {
    let clock = clock();
    let open = shared(Options { anonymous: Some(Anonymous::default()), ..options() });
    let auth = on(open, &clock);
    let resume = sealed(&auth, &auth.anonymous(Door::Client).unwrap());
    assert_eq!(auth.authenticate(Door::Client, &resume).unwrap().resumes, Some(session()));
    assert_eq!(reason(&on(shared(options()), &clock), &resume), Some(Reason::MissingCredential));
    let another = Anonymous { tenant: Tenant::new("acme").unwrap(), ..Anonymous::default() };
    let moved = shared(Options { anonymous: Some(another), ..options() });
    assert_eq!(reason(&on(moved, &clock), &resume), Some(Reason::MissingCredential));
}

#[test]
fn it_can_be_turned_off_and_is_never_larger_than_a_token_may_be() {
    let off =
        Options { resume: Resume { window: fanfare_model::Duration::from_secs(0), ..Resume::default() }, ..options() };
    let auth = auth(off);
    let principal = auth.authenticate(Door::Client, &claiming(json!({}))).unwrap();
    assert!(auth.seal(&principal, &session()).is_none());
    let auth = crate::forge::auth(shared(options()));
    // Small in the token, large when the user has been put in.
    let topics: Vec<_> = (0..100).map(|n| format!("inbox:{n}:{{user}}")).collect();
    let claims = json!({"sub": "a".repeat(200), "topics": topics});
    let large = auth.authenticate(Door::Client, &claiming(claims)).unwrap();
    assert!(auth.seal(&large, &session()).is_none());
}

#[test]
fn bad_sections_are_refused_with_the_key_and_the_fix() {
    for (resume, parts) in [
        (json!({"window": "25h"}), &["auth.resume.window", "at most 1d"][..]),
        (json!({"keys": ["short"]}), &["auth.resume.keys[0]", "32", "openssl rand"]),
        (json!({"key_files": ["/nowhere/key"]}), &["auth.resume.key_files[0]", "/nowhere/key"]),
        (json!({"keys": vec![KEY; 17]}), &["auth.resume has 17 keys"]),
    ] {
        let resume: Resume = serde_json::from_value(resume).unwrap();
        let error = Auth::new(Options { resume, ..options() }, clock()).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    let shown = format!("{:?}{}", shared(options()), serde_json::to_string(&shared(options())).unwrap());
    assert!(!shown.contains(KEY));
}

#[test]
fn a_key_may_come_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, format!("{KEY}\n")).unwrap();
    let from_file = Resume { key_files: vec![path], ..Resume::default() };
    let clock = clock();
    let one = on(Options { resume: from_file, ..options() }, &clock);
    let text = sealed(&one, &one.authenticate(Door::Client, &claiming(json!({}))).unwrap());
    assert_eq!(reason(&on(shared(options()), &clock), &text), None);
    // Another process that was given no key has its own.
    assert_eq!(reason(&on(options(), &clock), &text), Some(Reason::BadResumeToken));
}

#[test]
fn the_token_of_the_second_key_is_known_by_it() {
    let clock = clock();
    let auth = on(shared(options()), &clock);
    let by_new = crate::forge::sign_text(
        &json!({"alg": "HS256", "kid": "new"}).to_string(),
        &claims().to_string(),
        SECRET_NEW.as_bytes(),
    );
    let text = sealed(&auth, &auth.authenticate(Door::Client, &by_new).unwrap());
    let mut options = shared(options());
    options.issuers.get_mut("app").unwrap().keys.remove(1);
    assert_eq!(reason(&on(options, &clock), &text), Some(Reason::UnknownKey));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whoever_comes_back_may_do_what_they_could_and_no_more(
        user in "[a-z*{}:\\PC]{1,12}",
        topics in prop::collection::vec("[a-c]:(\\*|\\{user\\}|[a-c\\PC]{1,6})", 0..4),
        topic in "[a-c]:[a-c\\PC]{1,6}",
        id in prop::option::of("\\PC{0,20}"),
    ) {
        let auth = auth(shared(options()));
        let changes = json!({"sub": user, "topics": topics, "jti": id});
        let token = sign(&crate::forge::header(), &with(claims(), changes));
        let Ok(principal) = auth.authenticate(Door::Client, &token) else { return Ok(()) };
        let again = auth.authenticate(Door::Client, &sealed(&auth, &principal)).unwrap();
        prop_assert_eq!(again.grants(), principal.grants());
        prop_assert_eq!(&again.credential, &principal.credential);
        if let Ok(topic) = Topic::new(&topic) {
            for action in Action::ALL {
                prop_assert_eq!(again.may(action, &topic), principal.may(action, &topic));
            }
        }
    }

    #[test]
    fn nothing_that_was_not_sealed_here_gets_in(text in "fr1\\.[A-Za-z0-9_-]{0,200}|fr1\\.\\PC{0,40}") {
        prop_assert_eq!(reason(&auth(shared(options())), &text), Some(Reason::BadResumeToken));
    }

    #[test]
    fn one_character_changed_is_refused(at in any::<prop::sample::Index>(), by in "[A-Za-z0-9_.-]") {
        let auth = auth(shared(options()));
        let text = sealed(&auth, &auth.authenticate(Door::Client, &claiming(json!({}))).unwrap());
        let at = at.index(text.len());
        let changed = format!("{}{by}{}", &text[..at], &text[at + 1..]);
        prop_assert_eq!(auth.authenticate(Door::Client, &changed).is_ok(), changed == text);
    }
}
