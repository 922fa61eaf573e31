//! What survives the end of the process.

use std::path::{Path, PathBuf};

use fanfare_tests::{Config, Message, PATIENCE, Server, fresh_topic};

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    for durability in ["committed", "buffered"] {
        let mut server = Server::start(Config::new().topics(&format!("durability = \"{durability}\""))).await;
        let topic = fresh_topic("kept");
        let mut acknowledged = Vec::new();
        for life in 0..5 {
            for n in 0..20 {
                let result = server.api().publish(&topic, Message::json(n).with("id", format!("{life}.{n}"))).await;
                acknowledged.push((result["position"].clone(), result["id"].clone()));
            }
            server.kill();
            server.restart().await;
        }
        let log = server.api().log_of(&topic).await;
        let log: Vec<_> = log.iter().map(|event| (event["position"].clone(), event["id"].clone())).collect();
        assert_eq!(log, acknowledged, "{durability}");
        let again = server.api().publish(&topic, Message::json(0).with("id", "4.19")).await;
        assert_eq!(again["duplicate"], true, "{durability}: the idempotency window survives");
    }
}

#[tokio::test]
async fn offsets_are_never_used_again() {
    let mut server = Server::start(Config::new().topics("durability = \"none\"")).await;
    let topic = fresh_topic("none");
    let mut last = 0;
    for _ in 0..5 {
        for n in 0..50 {
            let result = server.api().publish(&topic, Message::json(n)).await;
            let offset = result["offset"].as_u64().expect("an offset");
            assert!(offset > last, "{offset} after {last}");
            last = offset;
        }
        server.kill();
        server.restart().await;
    }
    let log = server.api().log_of(&topic).await;
    let offsets: Vec<_> = log.iter().filter_map(|event| event["offset"].as_u64()).collect();
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_process() {
    let server = Server::start(Config::new()).await;
    let (status, text) = Server::refused(Config::new().data_in(&server.dir().join("data"))).await;
    assert!(!status.success());
    let data = server.dir().join("data").display().to_string();
    assert!(text.contains(&data) && text.contains("use"), "it names the directory and what is wrong:\n{text}");
}

#[tokio::test]
async fn a_foreign_store_is_refused_with_a_sentence() {
    let data = tempfile::tempdir().expect("a directory");
    let store = data.path().join("store");
    std::fs::create_dir(&store).expect("writable");
    std::fs::write(store.join("something.txt"), "not a store").expect("writable");
    let (status, text) = Server::refused(Config::new().data_in(data.path())).await;
    assert!(!status.success());
    assert!(text.contains(&store.display().to_string()) && text.contains("something.txt"), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    assert_eq!(std::fs::read_dir(&store).expect("readable").count(), 1, "and nothing was put into it");
}

/// Every file below `dir`.
fn files_in(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_damaged_store_is_refused_with_a_sentence() {
    let data = tempfile::tempdir().expect("a directory");
    let config = Config::new().data_in(data.path());
    let mut server = Server::start(config.clone()).await;
    server.api().publish_numbers(&fresh_topic("damaged"), 1..=100).await;
    server.terminate();
    server.ended(PATIENCE).await;
    let files = files_in(&data.path().join("store"));
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        let length = std::fs::metadata(&file).expect("a file").len();
        std::fs::write(&file, vec![0xa5; usize::try_from(length).expect("small")]).expect("writable");
    }
    let (status, text) = Server::refused(config).await;
    assert!(!status.success());
    assert!(text.contains(&data.path().display().to_string()) && !text.contains("panicked"), "{text}");
}
