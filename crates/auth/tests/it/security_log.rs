//! What is written and counted when somebody is refused, and what is not.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use fanfare_auth::{Action, Auth, Door, KeyRequest, Options, Revocation, TicketRequest};
use fanfare_model::{SessionId, Tenant, Timestamp, Topic, UserId};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;

use crate::forge::{NOW, SECRET, auth, claiming, clock, header, options, sign, with};

thread_local! {
    /// What this test has logged: each test has its thread.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct ThreadLog;

impl io::Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `act` writes to the log, as lines of JSON.
fn logged(act: impl FnOnce()) -> String {
    // One subscriber for the process: what a thread's own would be asked depends on what the others log.
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(|| ThreadLog)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    LOG.take();
    act();
    String::from_utf8(LOG.take()).unwrap()
}

#[test]
fn a_refusal_is_logged_with_what_is_known() {
    let auth = auth(options());
    let expired = sign(
        &with(header(), json!({"kid": "new"})),
        &with(crate::forge::claims(), json!({"exp": NOW - 100, "iat": NOW - 200})),
    );
    // Signed with the other key, so that only the kid is known.
    let log = logged(|| drop(auth.authenticate(Door::Server, &expired)));
    let line: serde_json::Value = serde_json::from_str(&log).unwrap();
    assert_eq!(line["target"], "fanfare::security");
    assert_eq!((&line["reason"], &line["door"]), (&json!("bad_signature"), &json!("server")));
    assert_eq!((&line["issuer"], &line["key_id"]), (&json!("app"), &json!("\"new\"")));
    assert_eq!(line.get("token_id"), None);

    let expired = claiming(json!({"exp": NOW - 100, "iat": NOW - 200, "jti": "a\n\u{1b}[31mb"}));
    let log = logged(|| drop(auth.authenticate(Door::Client, &expired)));
    let line: serde_json::Value = serde_json::from_str(&log).unwrap();
    assert_eq!(line["reason"], "expired");
    assert_eq!(line["token_id"], r#""a\n\u{1b}[31mb""#);

    let principal = auth.authenticate(Door::Client, &claiming(json!({}))).unwrap();
    let log = logged(|| drop(principal.authorize(Action::Publish, &Topic::new("chat:1").unwrap())));
    let line: serde_json::Value = serde_json::from_str(&log).unwrap();
    assert_eq!((&line["reason"], &line["topic"]), (&json!("permission_denied"), &json!("chat:1")));
    assert_eq!((&line["user"], &line["token_id"]), (&json!("alice"), &json!("token-1")));
}

#[test]
fn the_log_never_holds_a_credential() {
    let directory = tempfile::tempdir().unwrap();
    let file = Some(directory.path().join("keys.json"));
    let auth = Auth::new(Options { api_keys_file: file, ..options() }, clock()).unwrap();
    let key = auth.create_key(KeyRequest::default()).unwrap();
    let key_secret = key.text.reveal().rsplit_once('_').unwrap().1;
    let tokens = [
        claiming(json!({})),
        claiming(json!({"exp": NOW - 100})),
        claiming(json!({"aud": "x"})),
        claiming(json!({"iss": "nobody"})),
        format!("{}x", claiming(json!({}))),
        format!("Bearer {}", claiming(json!({}))),
        key.text.reveal().to_owned(),
        format!("{}x", key.text.reveal()),
    ];
    let log = logged(|| {
        for token in &tokens {
            for door in Door::ALL {
                drop(auth.authenticate(door, token));
            }
        }
        auth.revoke_key(&key.key.id).unwrap();
        drop(auth.authenticate(Door::Server, key.text.reveal()));
    });
    assert!(log.contains("wrong_audience") && log.contains("API key revoked"), "{log}");
    assert!(!log.contains(key_secret) && !log.contains(SECRET), "{log}");
    for part in tokens.iter().flat_map(|token| token.split('.')).filter(|part| part.len() > 8) {
        assert!(!log.contains(part), "{part} in {log}");
    }
}

#[test]
fn revocations_are_logged_and_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (tenant, user) = (Tenant::new("acme").unwrap(), UserId::new("alice").unwrap());
    let auth = auth(Options { revocations_max: 2, ..options() });
    let log = logged(|| {
        metrics::with_local_recorder(&recorder, || {
            auth.revoke(Revocation::Token { tenant: tenant.clone(), id: "token\n1".to_owned() }).unwrap();
            auth.revoke(Revocation::Block { tenant: tenant.clone(), user: user.clone() }).unwrap();
            let issued_before = Timestamp::from_seconds(NOW);
            let too_many = Revocation::UserTokens { tenant: tenant.clone(), user: user.clone(), issued_before };
            assert!(auth.revoke(too_many).is_err());
            auth.unblock(&tenant, &user).unwrap();
        });
    });
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{log}");
    assert!(lines.iter().all(|line| line["target"] == "fanfare::security" && line["tenant"] == "acme"), "{log}");
    assert_eq!((&lines[0]["kind"], &lines[0]["token_id"]), (&json!("token"), &json!(r#""token\n1""#)));
    assert_eq!((&lines[1]["kind"], &lines[1]["user"]), (&json!("block"), &json!("alice")));
    assert_eq!((&lines[2]["message"], &lines[2]["user"]), (&json!("user unblocked"), &json!("alice")));
    let text = recorder.handle().render();
    for line in
        [r#"fanfare_auth_revocations_total{kind="token"} 1"#, r#"fanfare_auth_revocations_total{kind="block"} 1"#]
    {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("user_tokens"), "{text}");
}

#[test]
fn resume_tokens_and_tickets_are_counted_and_never_logged() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let auth = auth(Options { tickets_max: 1, ..options() });
    let mut shown = Vec::new();
    let log = logged(|| {
        metrics::with_local_recorder(&recorder, || {
            fanfare_auth::metrics::describe();
            let principal = auth.authenticate(Door::Client, &claiming(json!({}))).unwrap();
            let resume = auth.seal(&principal, &SessionId::generate()).unwrap().text;
            auth.authenticate(Door::Client, &resume).unwrap();
            drop(auth.authenticate(Door::Server, &resume));
            drop(auth.authenticate(Door::Client, &format!("{resume}x")));
            let request = TicketRequest { principal, origin: None, topics: None };
            let ticket = auth.ticket(request.clone()).unwrap().text;
            assert!(auth.ticket(request).is_err());
            drop(auth.authenticate(Door::Client, &ticket));
            auth.redeem(Door::Client, &ticket, None).unwrap();
            drop(auth.redeem(Door::Client, &ticket, None));
            shown = vec![resume, ticket];
        });
    });
    for credential in shown {
        assert!(!log.contains(&credential[4..]), "{log}");
    }
    assert!(log.contains("bad_resume_token") && log.contains("wrong_door") && log.contains("unknown_ticket"), "{log}");
    let text = recorder.handle().render();
    for line in [
        r#"fanfare_auth_accepted_total{door="client",credential="resume"} 1"#,
        // The token itself, and its ticket.
        r#"fanfare_auth_accepted_total{door="client",credential="token"} 2"#,
        r#"fanfare_auth_tickets_total{outcome="made"} 1"#,
        r#"fanfare_auth_tickets_total{outcome="redeemed"} 1"#,
        r#"fanfare_auth_tickets_total{outcome="refused"} 1"#,
        r#"fanfare_auth_refusals_total{door="client",reason="unknown_ticket"} 2"#,
        "# HELP fanfare_auth_tickets_total",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn refusals_and_admissions_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let text = metrics::with_local_recorder(&recorder, || {
        fanfare_auth::metrics::describe();
        let auth = auth(options());
        let principal = auth.authenticate(Door::Client, &claiming(json!({}))).unwrap();
        drop(auth.authenticate(Door::Client, &claiming(json!({}))));
        drop(auth.authenticate(Door::Server, &claiming(json!({}))));
        drop(principal.authorize(Action::Publish, &Topic::new("chat:1").unwrap()));
        recorder.handle().render()
    });
    for line in [
        r#"fanfare_auth_accepted_total{door="client",credential="token"} 2"#,
        r#"fanfare_auth_refusals_total{door="server",reason="wrong_audience"} 1"#,
        r#"fanfare_auth_refusals_total{door="client",reason="permission_denied"} 1"#,
        "# HELP fanfare_auth_refusals_total",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}
