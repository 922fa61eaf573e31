//! A disk that is full, and a directory that may not be written.

use std::path::Path;
use std::process::Command;

use fanfare_tests::sse::subscribe;
use fanfare_tests::{Config, Message, PATIENCE, Server, eventually, fresh_topic};
use tempfile::TempDir;

/// A file system of a fixed size. Dropping it unmounts it.
struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    fn mount(mebibytes: usize) -> Self {
        let dir = TempDir::with_prefix("fanfare-disk-").expect("a temporary directory can be made");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "fanfare-test"])
            .arg(dir.path())
            .status();
        assert!(
            done.is_ok_and(|status| status.success()),
            "this test needs the right to mount a tmpfs: run it as root"
        );
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn remount(&self, options: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.path()).status();
        assert!(done.is_ok_and(|status| status.success()), "mount -o remount,{options}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: if the test fails the server may still hold files open.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

/// Publishes until it fails: the ids that were acknowledged, and what the failure said.
async fn fill(server: &Server, topic: &str, first: usize) -> (Vec<String>, fanfare_tests::Answer) {
    let api = server.api().pooled();
    // Random, so that no compression saves the disk.
    let filling: String = (0..100_000).map(|_| char::from(rand::random_range(b'!'..=b'~'))).collect();
    let mut acknowledged = Vec::new();
    for n in first..first + 5000 {
        let id = n.to_string();
        let message = Message::json(format!("{filling}{n}")).with("id", id.as_str());
        let answer = api.post("/v1/publish", &serde_json::json!({"topic": topic, "message": message.0})).await;
        if !answer.status.is_success() || !answer.json()["results"][0]["error"].is_null() {
            return (acknowledged, answer);
        }
        acknowledged.push(id);
    }
    panic!("the disk did not become full");
}

async fn ids_of(server: &Server, topic: &str) -> Vec<String> {
    let log = server.api().log_of(topic).await;
    log.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_publishing_and_loses_nothing() {
    let disk = SmallDisk::mount(96);
    let config = Config::new().data_in(&disk.path().join("data")).topics("durability = \"committed\"");
    let mut server = Server::start(config).await;
    let topic = fresh_topic("full");
    let mut stream = subscribe(server.public(), &[&topic]).open().await;

    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 8 << 20]).expect("there is room yet");
    let (acknowledged, failure) = fill(&server, &topic, 1).await;
    assert!(!acknowledged.is_empty());
    assert_eq!(failure.status, 503, "{:.300}", failure.text);
    let (code, text) = (failure.json()["code"].clone(), failure.text);
    assert!(code == "unavailable" || text.contains("\"unavailable\""), "{text:.300}");
    assert!(!text.contains("os error") && !text.contains("No space"), "the inner error is for the log: {text:.300}");
    eventually("the log to say it", PATIENCE, async || server.log().contains("No space left").then_some(())).await;

    // Reading goes on: readers hold what was acknowledged, and the process lives.
    for id in &acknowledged {
        let event = stream.data_event().await;
        assert!(event.data.ends_with(&format!("{id}\"")), "event {id}");
    }
    assert_eq!(ids_of(&server, &topic).await, acknowledged);

    // When there is room again it works again, at the latest after a restart.
    std::fs::remove_file(&ballast).expect("the test's own file");
    disk.remount("size=400m");
    let api = server.api();
    let after = serde_json::json!({"topic": topic, "message": {"id": "after", "data": 1}});
    eventually("publishing to work again", PATIENCE, || async {
        let answer = api.post("/v1/publish", &after).await;
        (answer.status.is_success() && answer.json()["results"][0]["error"].is_null()).then_some(())
    })
    .await;
    server.kill();
    server.restart().await;
    let ids = ids_of(&server, &topic).await;
    let mut expected = acknowledged;
    expected.push("after".to_owned());
    // The one that failed was not acknowledged: it may or may not be there, but in its place.
    let without_failed: Vec<_> = ids.iter().filter(|id| expected.contains(id)).cloned().collect();
    assert_eq!(without_failed, expected);
    assert!(ids.len() <= expected.len() + 1, "{} of {}", ids.len(), expected.len());
}

#[tokio::test]
async fn a_read_only_directory_is_refused_at_start_with_a_sentence() {
    let disk = SmallDisk::mount(64);
    let data = disk.path().join("data");
    let config = Config::new().data_in(&data);
    {
        let mut server = Server::start(config.clone()).await;
        server.api().publish_text("kept", "kept").await;
        server.terminate();
        server.ended(PATIENCE).await;
    }
    disk.remount("ro");
    let (status, text) = Server::refused(config.clone()).await;
    assert!(!status.success());
    assert!(text.contains(&data.display().to_string()), "it names the directory:\n{text}");
    assert!(!text.contains("panicked"), "{text}");
    disk.remount("rw");
    let server = Server::start(config).await;
    assert_eq!(server.api().log_of("kept").await.len(), 1);
}
