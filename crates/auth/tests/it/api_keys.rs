//! The life of an API key, and of the file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fanfare_auth::{
    Action, ApiKey, Auth, CreatedKey, Credential, Door, Error, Grant, KeyHash, KeyOrigin, KeyRequest, Options, Pattern,
    Reason,
};
use fanfare_model::{Kind, ManualClock, Tenant, Timestamp, Topic};

use crate::forge::{NOW, clock};

struct Store {
    directory: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Store {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), clock: clock() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("keys.json")
    }

    /// Another process on the same file.
    fn open(&self) -> Auth {
        self.open_with(Options::default())
    }

    fn open_with(&self, options: Options) -> Auth {
        let options = Options { api_keys_file: Some(self.path()), ..options };
        Auth::new(options, Arc::<ManualClock>::clone(&self.clock) as Arc<_>).unwrap()
    }
}

fn request() -> KeyRequest {
    KeyRequest {
        name: Some("billing".to_owned()),
        tenant: Tenant::new("acme").unwrap(),
        grants: vec![Grant { topics: vec![Pattern::parse("orders:*").unwrap()], allow: vec![Action::Publish] }],
        ..KeyRequest::default()
    }
}

fn reason(auth: &Auth, door: Door, text: &str) -> Option<Reason> {
    auth.authenticate(door, text).err().map(|refusal| refusal.reason())
}

#[test]
fn a_key_opens_its_door_and_no_other() {
    let store = Store::new();
    let auth = store.open();
    assert!(!auth.accepts_any());
    let created = auth.create_key(request()).unwrap();
    assert!(auth.accepts_any());
    let text = created.text.reveal();
    assert!(text.starts_with(&format!("ffk_{}_", created.key.id)), "{text}");
    let principal = auth.authenticate(Door::Server, text).unwrap();
    assert_eq!(principal.credential, Credential::ApiKey { id: created.key.id.clone() });
    assert_eq!((principal.tenant.as_str(), &*principal.issuer), ("acme", "api-keys"));
    assert!(principal.may(Action::Publish, &Topic::new("orders:1").unwrap()));
    assert!(!principal.may(Action::Subscribe, &Topic::new("orders:1").unwrap()));
    assert_eq!(reason(&auth, Door::Client, text), Some(Reason::WrongDoor));
    let both = auth.create_key(KeyRequest { doors: Door::ALL.to_vec(), ..request() }).unwrap();
    assert!(Door::ALL.iter().all(|door| reason(&auth, *door, both.text.reveal()).is_none()));
    assert_ne!(both.text.reveal(), text);
}

#[test]
fn a_wrong_secret_is_an_unknown_key() {
    let store = Store::new();
    let auth = store.open();
    let text = auth.create_key(request()).unwrap().text.reveal().to_owned();
    let id = text.split('_').nth(1).unwrap();
    let swapped = if text.ends_with('a') { "b" } else { "a" };
    for wrong in [
        format!("{}{swapped}", &text[..text.len() - 1]),
        text[..text.len() - 1].to_owned(),
        format!("{text}a"),
        format!("ffk_{id}_"),
        format!("ffk_{id}"),
        format!("ffk__{}", "a".repeat(43)),
        format!("ffk_x{}", &text[4..]),
        format!("ffk_{}_{}", "x".repeat(65), "a".repeat(43)),
        "ffk_".to_owned(),
    ] {
        assert_eq!(reason(&auth, Door::Server, &wrong), Some(Reason::UnknownApiKey), "{wrong}");
    }
}

#[test]
fn keys_outlive_the_process_and_only_their_hash_is_kept() {
    let store = Store::new();
    let created = store.open().create_key(request()).unwrap();
    let secret = created.text.reveal().rsplit_once('_').unwrap().1;
    let file = std::fs::read_to_string(store.path()).unwrap();
    assert!(!file.contains(secret) && file.contains(&KeyHash::of(secret).to_string()), "{file}");
    assert_eq!(std::fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!format!("{created:?}").contains(secret));

    let auth = store.open();
    assert_eq!(reason(&auth, Door::Server, created.text.reveal()), None);
    let keys = auth.list_keys();
    assert_eq!(keys.len(), 1);
    assert_eq!((&keys[0].id, keys[0].origin, keys[0].revoked_at), (&created.key.id, KeyOrigin::File, None));
    assert_eq!(keys[0].created_at, Some(Timestamp::from_seconds(NOW)));
    let shown = serde_json::to_string(&keys).unwrap();
    assert!(shown.contains("2026-09-21T") && !shown.contains("sha256"), "{shown}");
}

#[test]
fn revocation_is_at_once_and_for_good() {
    let store = Store::new();
    let auth = store.open();
    let created = auth.create_key(request()).unwrap();
    let (id, text) = (&created.key.id, created.text.reveal());
    let principal = auth.authenticate(Door::Server, text).unwrap();
    let revocations = auth.revocations();
    assert!(!revocations.is_revoked(&principal));
    let before = revocations.generation();

    auth.revoke_key(id).unwrap();
    assert!(revocations.is_revoked(&principal) && revocations.generation() > before);
    assert_eq!(reason(&auth, Door::Server, text), Some(Reason::Revoked));
    store.clock.advance(std::time::Duration::from_secs(60));
    auth.revoke_key(id).unwrap();
    assert_eq!(auth.list_keys()[0].revoked_at, Some(Timestamp::from_seconds(NOW)));
    assert_eq!(reason(&store.open(), Door::Server, text), Some(Reason::Revoked));
    assert_eq!(auth.revoke_key("nobody").unwrap_err().kind(), Kind::NotFound);
    // Nor can its id be had again.
    let again = KeyRequest { id: Some(id.clone()), ..request() };
    assert!(matches!(auth.create_key(again), Err(Error::Conflict(taken)) if taken == *id));
    // Nor does a file that has forgotten it revive it.
    std::fs::remove_file(store.path()).unwrap();
    assert!(auth.reload_keys().unwrap());
    assert!(revocations.is_revoked(&principal));
    assert_eq!(reason(&auth, Door::Server, text), Some(Reason::UnknownApiKey));
}

#[tokio::test]
async fn those_who_wait_learn_of_a_revocation() {
    let store = Store::new();
    let auth = store.open();
    let created = auth.create_key(request()).unwrap();
    let principal = auth.authenticate(Door::Server, created.text.reveal()).unwrap();
    let mut revocations = auth.revocations();
    // Nothing has happened since it was made.
    tokio::select! {
        biased;
        () = revocations.changed() => panic!("nothing was revoked"),
        () = std::future::ready(()) => {}
    }
    let waiting = async {
        while !revocations.is_revoked(&principal) {
            revocations.changed().await;
        }
    };
    let ((), revoked) = tokio::join!(waiting, async { auth.revoke_key(&created.key.id) });
    revoked.unwrap();
}

#[test]
fn processes_see_each_other_s_changes() {
    let store = Store::new();
    let (server, command) = (store.open(), store.open());
    let first = command.create_key(request()).unwrap();
    assert_eq!(reason(&server, Door::Server, first.text.reveal()), Some(Reason::UnknownApiKey));
    assert!(server.reload_keys().unwrap());
    assert!(!server.reload_keys().unwrap());
    let principal = server.authenticate(Door::Server, first.text.reveal()).unwrap();

    // Each changes what the other has written, and loses nothing of it.
    let second = server.create_key(request()).unwrap();
    command.revoke_key(&first.key.id).unwrap();
    assert_eq!(reason(&command, Door::Server, second.text.reveal()), None);
    let revocations = server.revocations();
    assert!(!revocations.is_revoked(&principal));
    assert!(server.reload_keys().unwrap());
    assert!(revocations.is_revoked(&principal));
    assert_eq!(server.list_keys().len(), 2);
    // A key that the server has not read of yet can be revoked there.
    let third = command.create_key(request()).unwrap();
    server.revoke_key(&third.key.id).unwrap();
}

#[test]
fn many_writers_lose_nothing() {
    let store = Store::new();
    let ids: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let auth = store.open();
                scope.spawn(move || (0..8).map(|_| auth.create_key(request()).unwrap().key.id).collect::<Vec<_>>())
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let kept: Vec<_> = store.open().list_keys().into_iter().map(|key| key.id).collect();
    assert_eq!(kept.len(), 32);
    assert!(ids.iter().all(|id| kept.contains(id)));
}

#[test]
fn keys_of_the_configuration() {
    let created = CreatedKey::generate(
        KeyRequest { id: Some("ci_deploy".to_owned()), ..request() },
        Timestamp::from_seconds(NOW),
    );
    // As it stands in a file of configuration.
    let table = toml::to_string(&created.key).unwrap();
    let key: ApiKey = toml::from_str(&table).unwrap();
    assert_eq!(key, created.key, "{table}");
    let options = Options { api_keys: vec![key], ..Options::default() };

    let auth = crate::forge::auth(options.clone());
    assert!(auth.accepts_any());
    assert_eq!(reason(&auth, Door::Server, created.text.reveal()), None);
    // Without a file nothing can be changed, and the error says how.
    for error in [auth.create_key(request()).unwrap_err(), auth.revoke_key("ci_deploy").unwrap_err()] {
        assert!(error.to_string().contains("auth.api_keys_file"), "{error}");
    }

    let store = Store::new();
    let auth = store.open_with(options.clone());
    assert_eq!(auth.list_keys()[0].origin, KeyOrigin::Configuration);
    let taken = KeyRequest { id: Some("ci_deploy".to_owned()), ..request() };
    assert_eq!(auth.create_key(taken).unwrap_err().kind(), Kind::Conflict);
    auth.revoke_key("ci_deploy").unwrap();
    let again = store.open_with(options);
    assert_eq!(reason(&again, Door::Server, created.text.reveal()), Some(Reason::Revoked));
}

#[test]
fn keys_expire() {
    let store = Store::new();
    let auth = store.open();
    let end = Timestamp::from_seconds(NOW + 60);
    let created = auth.create_key(KeyRequest { expires_at: Some(end), ..request() }).unwrap();
    let text = created.text.reveal();
    assert_eq!(auth.authenticate(Door::Server, text).unwrap().expires_at, Some(end));
    store.clock.set(end);
    assert_eq!(reason(&auth, Door::Server, text), Some(Reason::Expired));
    let error = auth.create_key(KeyRequest { expires_at: Some(end), ..request() }).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
}

#[test]
fn the_number_of_keys_is_bounded_and_ended_ones_make_room() {
    let store = Store::new();
    let auth = store.open_with(Options { api_keys_max: 2, ..Options::default() });
    let first = auth.create_key(request()).unwrap();
    auth.create_key(request()).unwrap();
    let error = auth.create_key(request()).unwrap_err();
    assert!(error.kind() == Kind::Limited && error.to_string().contains("auth.api_keys_max"), "{error}");
    auth.revoke_key(&first.key.id).unwrap();
    auth.create_key(request()).unwrap();
    assert_eq!(auth.list_keys().len(), 2);
    assert!(reason(&auth, Door::Server, first.text.reveal()).is_some());
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let store = Store::new();
    let auth = store.open();
    for id in ["", "a b", "a.b", "../x", &"x".repeat(65)] {
        let error = auth.create_key(KeyRequest { id: Some(id.to_owned()), ..request() }).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{id:?}: {error}");
    }
    let named = KeyRequest { name: Some("a\nb".to_owned()), ..request() };
    assert_eq!(auth.create_key(named).unwrap_err().kind(), Kind::Invalid);
    assert!(!store.path().exists());
}

fn open_text(text: &str) -> Result<Auth, Error> {
    let store = Store::new();
    std::fs::write(store.path(), text).unwrap();
    Auth::new(Options { api_keys_file: Some(store.path()), ..Options::default() }, clock())
}

#[test]
fn a_file_that_is_not_one_is_refused() {
    let key = format!(r#"{{"id":"a","hash":"{}"}}"#, KeyHash::of("x"));
    for (text, part) in [
        (String::new(), "is damaged at line"),
        (r#"{"version":1}"#.to_owned(), "is damaged at line"),
        (r#"{"version":1,"keys":[{"id":"a","hash":"x"}],"revoked":{}}"#.to_owned(), "is damaged at line"),
        (r#"{"version":2,"keys":[],"revoked":{}}"#.to_owned(), "version 2"),
        (format!(r#"{{"version":1,"keys":[{key},{key}],"revoked":{{}}}}"#), "`a` twice"),
    ] {
        let error = open_text(&text).unwrap_err().to_string();
        assert!(error.contains("keys.json") && error.contains(part), "{text}: {error}");
    }
    open_text(&format!(r#"{{"version":1,"keys":[{key}],"revoked":{{}}}}"#)).unwrap();
}

#[test]
fn a_file_damaged_later_changes_nothing() {
    let store = Store::new();
    let auth = store.open();
    let created = auth.create_key(request()).unwrap();
    std::fs::write(store.path(), "{").unwrap();
    assert!(auth.reload_keys().is_err());
    assert_eq!(reason(&auth, Door::Server, created.text.reveal()), None);
    // Nor is what is left of it overwritten; but a revocation holds here at once.
    assert!(auth.create_key(request()).is_err());
    assert!(auth.revoke_key(&created.key.id).is_err());
    assert_eq!(reason(&auth, Door::Server, created.text.reveal()), Some(Reason::Revoked));
    assert_eq!(std::fs::read_to_string(store.path()).unwrap(), "{");
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let path = Path::new("/nonexistent-directory/keys.json").to_owned();
    let auth = Auth::new(Options { api_keys_file: Some(path), ..Options::default() }, clock()).unwrap();
    let error = auth.create_key(request()).unwrap_err();
    assert!(error.kind() == Kind::Unavailable && error.to_string().contains("/nonexistent-directory"), "{error}");
}
