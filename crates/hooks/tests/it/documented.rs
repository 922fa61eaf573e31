//! The application of `docs/hooks.md`, as it stands there: it checks our signatures with Python's own HMAC.

use std::process::Stdio;

use fanfare_model::{Data, Topic};
use fanfare_session::{Hook, Verdict};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::asking::{Asking, allowed, ask, draft, is_unavailable};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// Runs it. Gives its address; it ends when the child is dropped.
async fn start() -> (Child, String) {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hooks.md")).unwrap();
    let (_, code) = page.split_once("```python\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    let mut child = Command::new("python3")
        .args(["-c", code, "0"])
        .env("HOOKS_SECRET", SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("python3 is needed for this test");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().expect("it does not start");
    (child, format!("http://127.0.0.1:{}/", line.strip_prefix("listening on ").unwrap()))
}

fn asking(hook: Hook, url: &str, secrets: &[&str]) -> Asking {
    Asking::at(hook, url, "timeout = \"20s\"", &format!("secrets = {secrets:?}"))
}

#[tokio::test]
async fn the_documented_application_answers() {
    let (_child, url) = start().await;
    let topics = allowed(asking(Hook::Connect, &url, &[SECRET]).ask(ask(Hook::Connect)).await).subscribe;
    assert_eq!(topics, [Topic::new("inbox:alice").unwrap()]);

    let subscribe = asking(Hook::Subscribe, &url, &[SECRET]);
    allowed(subscribe.ask(ask(Hook::Subscribe)).await);
    let mut staff = ask(Hook::Subscribe);
    staff.topic = Some(Topic::new("chat:staff").unwrap());
    let denied = subscribe.ask(staff).await;
    assert!(matches!(&denied, Verdict::Deny { reason, .. } if reason == "chat:staff is for staff"), "{denied:?}");

    let publish = asking(Hook::Publish, &url, &[SECRET]);
    assert!(allowed(publish.ask(ask(Hook::Publish)).await).draft.is_none());
    let mut rude = ask(Hook::Publish);
    rude.draft.as_mut().unwrap().data = Data::json(&b"{\"text\":\"darn it\"}"[..]).unwrap();
    let changed = allowed(publish.ask(rude).await).draft.unwrap();
    let text: serde_json::Value = serde_json::from_slice(changed.data.bytes()).unwrap();
    assert_eq!(text, serde_json::json!({ "text": "**** it" }));
    assert_eq!((changed.id, changed.name, changed.headers), (draft().id, draft().name, draft().headers));

    allowed(asking(Hook::Refresh, &url, &[SECRET]).ask(ask(Hook::Refresh)).await);
}

#[tokio::test]
async fn it_knows_our_signature_from_others() {
    let (_child, url) = start().await;
    // While secrets change, either is enough.
    for secrets in [&[SECRET][..], &[OTHER, SECRET], &[SECRET, OTHER]] {
        allowed(asking(Hook::Refresh, &url, secrets).ask(ask(Hook::Refresh)).await);
    }
    let stranger = asking(Hook::Refresh, &url, &[OTHER]);
    assert!(is_unavailable(&stranger.ask(ask(Hook::Refresh)).await));
    assert_eq!(stranger.counted(Hook::Refresh, "status"), 1);
}
