//! A log whose disk does not answer.

use fanfare_history::memory::MemoryLog;
use fanfare_history::{Admin, Append, Appended, Capabilities, Error, Head, Log, Page, Read, TopicPage, TopicsQuery};
use fanfare_model::{Duration, Tenant, TopicKey, UserId};
use futures_util::future::{BoxFuture, pending};
use serde_json::json;

use crate::support::{Choices, node};

/// Reads as the log within; never finishes an append.
pub(crate) struct StuckLog(pub(crate) MemoryLog);

impl Log for StuckLog {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn append(&self, _: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, Error>>> {
        Box::pin(pending())
    }
    fn heads(&self, topics: Vec<TopicKey>) -> BoxFuture<'_, Result<Vec<Head>, Error>> {
        self.0.heads(topics)
    }
    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, Error>> {
        self.0.read(read)
    }
    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<TopicPage, Error>> {
        self.0.topics(query)
    }
    fn admin(&self, change: Admin) -> BoxFuture<'_, Result<Head, Error>> {
        self.0.admin(change)
    }
    fn sweep(&self) -> BoxFuture<'_, Result<u64, Error>> {
        self.0.sweep()
    }
    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.0.close()
    }
}

#[tokio::test]
async fn a_command_that_hangs_is_given_up() {
    let ws = fanfare_gateway_ws::Options { command_timeout: Duration::from_secs(2), ..Default::default() };
    let node = node(Choices { stuck: true, ws, ..Choices::default() }).await;
    let mut peer = node.connect("alice").await;
    let reply = peer.ask("publish", json!({"topic": "chat:1", "data": 1})).await;
    assert_eq!((&reply["error"]["code"], &reply["error"]["retryable"]), (&json!("timeout"), &json!(true)));
    assert_eq!(peer.ask("ping", json!({})).await["pong"], json!({}));
}

#[tokio::test]
async fn a_session_that_waits_for_the_log_is_ended_all_the_same() {
    let node = node(Choices { stuck: true, ..Choices::default() }).await;
    let mut peer = node.connect("alice").await;
    // One message, so that when the pong is heard the publish behind it is next.
    peer.send("{\"ping\":{}}\n{\"id\":7,\"publish\":{\"topic\":\"chat:1\",\"data\":1}}").await;
    assert_eq!(peer.next().await, json!({"pong": {}}));
    let alice = UserId::new("alice").unwrap();
    assert_eq!(node.node.sessions.disconnect_user(&Tenant::default(), &alice), 1);
    let given_up = peer.next().await;
    assert_eq!((&given_up["id"], &given_up["error"]["code"]), (&json!(7), &json!("timeout")));
    assert_eq!(peer.disconnected().await.0, 4004);
}
