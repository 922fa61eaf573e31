//! What is taken back stays taken back, for as long as it matters, and for whom it was meant.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fanfare_auth::{Auth, Door, Error, Options, Principal, Reason, Revocation};
use fanfare_model::{Kind, ManualClock, Tenant, Timestamp, UserId};
use serde_json::json;

use crate::forge::{NOW, claiming, clock, options};

struct Store {
    directory: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Store {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), clock: clock() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("revocations.json")
    }

    /// Another process on the same file.
    fn open(&self) -> Auth {
        self.open_with(Options { revocations_file: Some(self.path()), ..options() })
    }

    fn open_with(&self, options: Options) -> Auth {
        Auth::new(options, Arc::<ManualClock>::clone(&self.clock) as Arc<_>).unwrap()
    }
}

fn acme() -> Tenant {
    Tenant::new("acme").unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn token(id: &str) -> Revocation {
    Revocation::Token { tenant: acme(), id: id.to_owned() }
}

fn tokens_of(name: &str, issued_before: i64) -> Revocation {
    Revocation::UserTokens { tenant: acme(), user: user(name), issued_before: Timestamp::from_seconds(issued_before) }
}

fn block(name: &str) -> Revocation {
    Revocation::Block { tenant: acme(), user: user(name) }
}

fn enter(auth: &Auth, claims: serde_json::Value) -> Result<Principal, Reason> {
    auth.authenticate(Door::Client, &claiming(claims)).map_err(|refusal| refusal.reason())
}

fn refused(auth: &Auth, claims: serde_json::Value) -> Option<Reason> {
    enter(auth, claims).err()
}

#[test]
fn a_token_is_refused_by_its_id_alone() {
    let auth = Store::new().open_with(options());
    let (one, other) = (enter(&auth, json!({})).unwrap(), enter(&auth, json!({"jti": "token-2"})).unwrap());
    let revocations = auth.revocations();
    auth.revoke(token("token-1")).unwrap();
    assert_eq!(refused(&auth, json!({})), Some(Reason::Revoked));
    assert_eq!(refused(&auth, json!({"jti": "token-2"})), None);
    assert_eq!(refused(&auth, json!({"jti": null})), None);
    assert!(revocations.is_revoked(&one) && !revocations.is_revoked(&other));
}

#[test]
fn a_users_tokens_of_before_a_moment_are_refused() {
    let auth = Store::new().open_with(options());
    let held = enter(&auth, json!({})).unwrap();
    auth.revoke(tokens_of("alice", NOW)).unwrap();
    assert_eq!(refused(&auth, json!({"iat": NOW - 1})), Some(Reason::Revoked));
    assert_eq!(refused(&auth, json!({"iat": NOW})), None);
    // Who does not say when is from before.
    assert_eq!(refused(&auth, json!({"iat": null})), Some(Reason::Revoked));
    assert_eq!(refused(&auth, json!({"iat": NOW - 1, "sub": "bob"})), None);
    assert_eq!(refused(&auth, json!({"iat": NOW - 1, "sub": null})), None);
    assert!(auth.revocations().is_revoked(&held));
    // An earlier moment does not take the later one back.
    auth.revoke(tokens_of("alice", NOW - 100)).unwrap();
    assert_eq!(refused(&auth, json!({"iat": NOW - 1})), Some(Reason::Revoked));
    let error = auth.revoke(tokens_of("alice", NOW + 1)).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
}

#[test]
fn a_blocked_user_is_refused_until_taken_back() {
    let store = Store::new();
    let auth = store.open();
    let held = enter(&auth, json!({})).unwrap();
    auth.revoke(block("alice")).unwrap();
    assert_eq!(refused(&auth, json!({"jti": "new", "iat": NOW})), Some(Reason::UserBlocked));
    assert_eq!(refused(&auth, json!({"sub": "bob"})), None);
    assert!(auth.revocations().is_revoked(&held));
    // A block does not age.
    store.clock.advance(Duration::from_secs(1_000 * 24 * 3600));
    auth.reload_keys().unwrap();
    assert!(auth.revocations().is_revoked(&held));
    auth.unblock(&acme(), &user("alice")).unwrap();
    assert!(!auth.revocations().is_revoked(&held));
    assert!(matches!(auth.unblock(&acme(), &user("alice")), Err(Error::NotFound(_))));
    assert!(!store.open().revocations().is_revoked(&held));
}

#[test]
fn tenants_do_not_meet() {
    let auth = Store::new().open_with(options());
    for revocation in [token("token-1"), tokens_of("alice", NOW), block("alice")] {
        let elsewhere = match revocation {
            Revocation::Token { id, .. } => Revocation::Token { tenant: Tenant::default(), id },
            Revocation::UserTokens { user, issued_before, .. } => {
                Revocation::UserTokens { tenant: Tenant::default(), user, issued_before }
            }
            Revocation::Block { user, .. } => Revocation::Block { tenant: Tenant::default(), user },
        };
        auth.revoke(elsewhere).unwrap();
    }
    assert_eq!(refused(&auth, json!({})), None);
    assert_eq!(auth.list_revocations(&acme(), None, 10).revoked, []);
    assert_eq!(auth.list_revocations(&Tenant::default(), None, 10).revoked.len(), 3);
}

#[test]
fn a_backend_s_token_that_is_remembered_is_refused_as_well() {
    let auth = Store::new().open_with(options());
    let backend = claiming(json!({"aud": "fanfare-server"}));
    for _ in 0..3 {
        auth.authenticate(Door::Server, &backend).unwrap();
    }
    auth.revoke(token("token-1")).unwrap();
    assert_eq!(auth.authenticate(Door::Server, &backend).unwrap_err().reason(), Reason::Revoked);
}

#[tokio::test]
async fn those_who_wait_learn_of_it() {
    let auth = Store::new().open_with(options());
    let mut revocations = auth.revocations();
    let before = revocations.generation();
    let (revoked, ()) = tokio::join!(async { auth.revoke(token("x")) }, async {
        revocations.changed().await;
        assert!(revocations.generation() > before);
    });
    revoked.unwrap();
}

#[test]
fn revocations_outlive_the_process_and_processes_see_each_other_s() {
    let store = Store::new();
    let (one, other) = (store.open(), store.open());
    one.revoke(token("token-1")).unwrap();
    other.revoke(block("bob")).unwrap();
    assert_eq!(std::fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(refused(&store.open(), json!({})), Some(Reason::Revoked));
    assert_eq!(refused(&one, json!({"sub": "bob", "jti": "b"})), None);
    let waiting = one.revocations();
    let before = waiting.generation();
    assert!(one.reload_keys().unwrap() && !one.reload_keys().unwrap());
    assert!(waiting.generation() > before);
    assert_eq!(refused(&one, json!({"sub": "bob", "jti": "b"})), Some(Reason::UserBlocked));
    // A block that was made elsewhere a moment ago can be taken back before it is seen.
    one.revoke(block("dora")).unwrap();
    other.unblock(&acme(), &user("dora")).unwrap();
    // What the one took back, the other does not know better.
    other.unblock(&acme(), &user("bob")).unwrap();
    one.revoke(token("token-3")).unwrap();
    assert_eq!(refused(&one, json!({"sub": "bob", "jti": "b"})), None);
    assert_eq!(store.open().list_revocations(&acme(), None, 10).revoked.len(), 2);
}

#[test]
fn what_cannot_be_written_is_in_force_and_is_written_later() {
    let store = Store::new();
    let auth = store.open();
    let lock = store.directory.path().join("revocations.json.lock");
    // Where the lock would be made there is a directory.
    std::fs::create_dir(&lock).unwrap();
    let error = auth.revoke(token("token-1")).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("revocations.json"), "{error}");
    assert_eq!(refused(&auth, json!({})), Some(Reason::Revoked));
    assert_eq!(refused(&store.open(), json!({})), None);
    std::fs::remove_dir(&lock).unwrap();
    auth.revoke(token("token-2")).unwrap();
    assert_eq!(refused(&store.open(), json!({})), Some(Reason::Revoked));
}

#[test]
fn a_file_that_is_not_one_is_refused() {
    let store = Store::new();
    for (text, part) in [("{", "damaged at line 1"), (r#"{"version":2,"revocations":[]}"#, "version 2")] {
        std::fs::write(store.path(), text).unwrap();
        let options = Options { revocations_file: Some(store.path()), ..options() };
        let error = Auth::new(options, clock()).unwrap_err();
        assert!(matches!(error, Error::RevocationsFile { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn they_are_forgotten_when_every_token_they_concern_has_ended() {
    let store = Store::new();
    let auth = store.open();
    auth.revoke(token("token-1")).unwrap();
    auth.revoke(tokens_of("alice", NOW - 3600)).unwrap();
    auth.revoke(block("bob")).unwrap();
    let ids = |auth: &Auth| auth.list_revocations(&acme(), None, 10).revoked.len();
    // Tokens live a day; a minute is for clocks that differ.
    let day = 24 * 3600;
    for (at, left) in [(day - 3600, 3), (day - 3600 + 60, 2), (day + 59, 2), (day + 60, 1), (100 * day, 1)] {
        store.clock.set(Timestamp::from_seconds(NOW + at));
        auth.reload_keys().unwrap();
        assert_eq!(ids(&auth), left, "after {at} s");
    }
    // In the file as well, at the next change.
    auth.revoke(block("carol")).unwrap();
    assert_eq!(ids(&store.open()), 2);
    assert!(!std::fs::read_to_string(store.path()).unwrap().contains("token-1"));
}

#[test]
fn the_number_is_bounded_and_ended_ones_make_room() {
    let store = Store::new();
    let auth = store.open_with(Options { revocations_max: 2, ..options() });
    auth.revoke(token("1")).unwrap();
    auth.revoke(token("2")).unwrap();
    let error = auth.revoke(token("3")).unwrap_err();
    assert!(matches!(error, Error::TooManyRevocations(2)) && error.kind() == Kind::Limited);
    // The same again takes no room.
    auth.revoke(token("1")).unwrap();
    store.clock.advance(Duration::from_secs(25 * 3600));
    auth.revoke(token("3")).unwrap();
    assert_eq!(auth.list_revocations(&acme(), None, 10).revoked.len(), 1);
}

#[test]
fn pages_hold_everything_once() {
    let auth = Store::new().open_with(options());
    for n in 0..5 {
        auth.revoke(token(&format!("t:{n}"))).unwrap();
        auth.revoke(tokens_of(&format!("u:{n}"), NOW)).unwrap();
        auth.revoke(block(&format!("b:{n}"))).unwrap();
    }
    let whole = auth.list_revocations(&acme(), None, 100);
    assert_eq!((whole.revoked.len(), whole.next), (15, None));
    for limit in 1..=15 {
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let page = auth.list_revocations(&acme(), after.as_deref(), limit);
            assert!(page.revoked.len() <= limit);
            all.extend(page.revoked);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(all, whole.revoked, "in pages of {limit}");
    }
    assert_eq!(auth.list_revocations(&acme(), Some("nonsense"), 10).revoked.len(), 10);
    assert_eq!(auth.list_revocations(&acme(), Some("zzz"), 10).revoked, []);
}
