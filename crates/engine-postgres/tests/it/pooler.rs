//! `PgBouncer` between.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare_engine_postgres::{Engine, Error};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::SystemClock;
use fanfare_test_engines::Postgres;
use tempfile::TempDir;

use crate::support::{Node, PATIENCE, give_to_postgres, is_root, options, shared};

/// A pooler before a server. It is killed when this is dropped.
struct Pooler {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pooler {
    async fn start(server: &Postgres, mode: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let (users, settings) = (folder.path().join("users"), folder.path().join("pgbouncer.ini"));
        std::fs::write(&users, "\"postgres\" \"\"\n").expect("our own folder");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\n\
             ignore_startup_parameters = extra_float_digits\n",
            server.port(),
            users.display()
        );
        std::fs::write(&settings, text).expect("our own folder");
        let mut command = Command::new(if is_root() { "setpriv" } else { "pgbouncer" });
        if is_root() {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL", "pgbouncer"]);
        }
        give_to_postgres(folder.path());
        let child = command.arg("-q").arg(&settings).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("pgbouncer is installed by dev/setup");
        let pooler = Self { child, port, _folder: folder };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "the pooler does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        pooler
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_lends_connections_by_the_transaction_is_refused() {
    let pooler = Pooler::start(shared().await, "transaction").await;
    let life = Lifecycle::new();
    let refused = Engine::connect(&options(&pooler.url(), "pooled"), Arc::new(SystemClock), &life).await;
    let said = refused.err().expect("it does not do");
    assert!(matches!(said, Error::Shared) && said.to_string().contains("pool_mode = session"), "{said:?}");
    life.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_gives_each_client_its_own_does() {
    let pooler = Pooler::start(shared().await, "session").await;
    let (node, other) = (Node::start(&pooler.url(), "pooled").await, Node::start(&pooler.url(), "pooled").await);
    let mut listener = node.listen(&["a"]).await;
    for n in 0..20 {
        other.publish("a", &n.to_string()).await;
    }
    listener.until_text("19").await;
    assert_eq!(listener.texts().len(), 20);
}
