//! Nodes whose engine cannot be used, or not yet: what an operator is told, and how the process ends.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fanfare_test_engines::{Nats, Port, Postgres, Redis, RedisKind};
use fanfare_tests::{Config, LogCapture, PATIENCE, Server, binary, eventually, within};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// What none of what is printed may contain.
const PASSWORD: &str = "hush-0123456789abcdef0123456789abcdef";

/// `fanfare serve` with `settings` (`key=value`), in `directory`.
fn serve(directory: &Path, settings: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(directory).stdin(Stdio::null()).args(["serve", "--dev"]);
    // Nothing of the developer's own environment may change what is tested.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FANFARE_")) {
        command.env_remove(name);
    }
    let always = [
        "listeners.public.bind=127.0.0.1:0",
        "listeners.admin.bind=127.0.0.1:0",
        "auth.resume.keys=['0123456789abcdef0123456789abcdef']",
    ];
    for setting in always.iter().chain(settings) {
        command.args(["--set", setting]);
    }
    command
}

/// What a node prints that refuses to start with `settings`. It ends by itself, says so to whoever started it, and shows no
/// secret.
async fn refusal(kind: &str, settings: &[&str]) -> String {
    let directory = TempDir::with_prefix("fanfare-it-").expect("a temporary directory can be made");
    let kind = format!("engine.kind={kind}");
    let command = serve(directory.path(), &[&[kind.as_str()], settings].concat());
    let output = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = within(format!("a refusal of {settings:?}"), output).await.expect("the binary starts");
    let text = [output.stdout, output.stderr].map(|printed| String::from_utf8_lossy(&printed).into_owned()).concat();
    assert_eq!(output.status.code(), Some(1), "{settings:?}: {text}");
    assert!(!text.contains(PASSWORD), "{settings:?}: {text}");
    eprintln!("##### {kind} {settings:?}\n{text}");
    text
}

/// What opens the hub to its gateways.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A node that lends its engine and does nothing else.
fn hub() -> Config {
    Config::new().production().roles(&[]).lends_engine(SECRET).resume_key()
}

/// Tells at once, without waiting for what may pass.
const AT_ONCE: &str = "engine.start_patience=0s";

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "it says {word:?}: {text}");
    }
}

/// A directory with the certificates that `fanfare dev-cert` makes.
fn certificates() -> TempDir {
    let directory = TempDir::with_prefix("fanfare-certs-").expect("a temporary directory can be made");
    let made = Command::new(binary()).args(["dev-cert", "--force", "--dir"]).arg(directory.path()).output();
    let made = made.expect("the binary starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    directory
}

#[tokio::test]
async fn a_redis_that_cannot_be_used_is_told_of() {
    let (ours, others, tls) = (certificates(), certificates(), Port::reserve());
    let file = |name: &str| ours.path().join(name).display().to_string();
    let (number, cert, key, ca) = (tls.number().to_string(), file("server.pem"), file("server.key"), file("ca.pem"));
    let encrypted = [
        ["--tls-port", &*number],
        ["--tls-cert-file", &*cert],
        ["--tls-key-file", &*key],
        ["--tls-ca-cert-file", &*ca],
        ["--tls-auth-clients", "no"],
    ];
    let server = Redis::start_with(RedisKind::Redis70, encrypted.as_flattened()).await;
    let at = |url: String| format!("engine.redis.urls=['{url}']");
    let here = at(server.url());
    let told = async |settings: &[&str], words: &[&str]| {
        let all = [&[AT_ONCE, "engine.redis.timeout=5s"], settings].concat();
        let text = refusal("redis", &all).await;
        says(&text, &[&["FF-0015", "engine.redis"], words].concat());
    };
    told(&[&here, "engine.redis.mode=cluster"], &["engine.redis.mode", "set mode = \"standalone\""]).await;
    told(&[&here, "engine.redis.mode=sentinel"], &["engine.redis.mode", "name Sentinels"]).await;
    told(&[&at(format!("{}/99", server.url()))], &["out of range", "database in engine.redis.urls"]).await;
    told(&[&at(format!("rediss://{}", server.address()))], &["no primary of `engine.redis.urls`"]).await;
    let unknown = at(format!("rediss://{}", tls.address()));
    let stranger = format!("engine.redis.ca_file={}", others.path().join("ca.pem").display());
    for settings in [&[unknown.as_str()][..], &[&unknown, &stranger]] {
        told(settings, &["no primary of `engine.redis.urls`", "certificate"]).await;
    }

    let of = format!("127.0.0.1 {}", server.port());
    let replica = Redis::start_with(RedisKind::Redis70, &["--replicaof", &of]).await;
    told(&[&at(replica.url())], &["the server is a replica; name its primary"]).await;

    let cluster = Redis::start_with(RedisKind::Redis70, &["--cluster-enabled", "yes"]).await;
    told(&[&at(cluster.url())], &["set engine.redis.mode = \"cluster\""]).await;
    told(&[&at(cluster.url()), "engine.redis.mode=cluster"], &["slots without a primary"]).await;

    server.cli(&["ACL", "SETUSER", "poor", "on", "nopass", "allkeys", "+ping"]).await;
    let poor = at(format!("redis://poor:{PASSWORD}@{}", server.address()));
    told(&[&poor], &["engine.redis.username may not do what is needed", "docs/engines/redis.md"]).await;
    let (nobody, wrong) = ("engine.redis.username=nobody", format!("engine.redis.password={PASSWORD}"));
    let unknown = ["does not accept engine.redis.username and password"];
    told(&[&here, nobody, &wrong], &unknown).await;
    server.cli(&["CONFIG", "SET", "requirepass", "right"]).await;
    told(&[&here], &unknown).await;
    told(&[&at(format!("redis://:{PASSWORD}@{}", server.address()))], &unknown).await;
    told(&[&here, "engine.redis.password_file=/nowhere"], &["engine.redis.password_file /nowhere"]).await;
    server.kill();
    told(&[&here], &["no primary of `engine.redis.urls`", "Connection refused"]).await;
}

#[tokio::test]
async fn a_nats_that_cannot_be_used_is_told_of() {
    let (ours, others) = (certificates(), certificates());
    let told = async |settings: &[&str], words: &[&str]| {
        let all = [&[AT_ONCE, "engine.nats.timeout=10s"], settings].concat();
        let text = refusal("nats", &all).await;
        says(&text, &[&["FF-00", "engine.nats"], words].concat());
    };
    let at = |scheme: &str, server: &Nats| format!("engine.nats.urls=['{scheme}://{}']", server.address());
    let server = Nats::start_with(
        "accounts { A: { jetstream: enabled, users: [{ user: a, password: right }] },
                    B: { users: [{ user: b, password: right }] } }",
    )
    .await;
    let here = at("nats", &server);
    let (stranger, wrong) = ("does not let this node in; set engine.nats.username", "engine.nats.password=right");
    told(&[&here], &[stranger]).await;
    told(&[&here, "engine.nats.username=a", &format!("engine.nats.password={PASSWORD}")], &[stranger]).await;
    told(&[&here, "engine.nats.username=b", wrong], &["not enabled for account", "allow it"]).await;
    let far = "engine.nats.domain=far";
    told(&[&here, "engine.nats.username=a", wrong, far], &["JetStream does not answer", "engine.nats.domain"]).await;
    told(&[&here, "engine.nats.credentials_file=/nowhere"], &["engine.nats.credentials_file \"/nowhere\""]).await;
    told(&[&at("tls", &server)], &["no server of `engine.nats.urls`"]).await;
    let known = format!("engine.nats.urls=['nats://a:{PASSWORD}@{}']", server.address());
    told(&[&known], &["FF-0002", "set username and password"]).await;

    let file = |directory: &TempDir, name: &str| directory.path().join(name).display().to_string();
    let (cert, key) = (file(&ours, "server.pem"), file(&ours, "server.key"));
    let encrypted = Nats::start_with(&format!("tls {{ cert_file: \"{cert}\", key_file: \"{key}\" }}")).await;
    let authority = format!("engine.nats.ca_file={}", file(&others, "ca.pem"));
    told(&[&at("tls", &encrypted), &authority], &["no server of `engine.nats.urls`", "certificate"]).await;

    let bare = Nats::start_with("jetstream: false").await;
    let here = at("nats", &bare);
    told(&[&here], &["JetStream does not answer", "start it with `jetstream {}`"]).await;
    bare.kill();
    told(&[&here], &["no server of `engine.nats.urls`", "Connection refused"]).await;
}

#[tokio::test]
async fn a_postgres_that_cannot_be_used_is_told_of() {
    let rules = TempDir::new().expect("a temporary directory can be made");
    std::fs::set_permissions(rules.path(), Permissions::from_mode(0o755)).expect("our own directory");
    let hba = rules.path().join("pg_hba.conf");
    let text = "local all all trust
        host all,replication postgres 127.0.0.1/32 trust
        host all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(&hba, text).expect("our own directory");
    let server = Postgres::start_with(&[&format!("hba_file={}", hba.display())]).await;
    server.sql("CREATE ROLE poor LOGIN PASSWORD 'right'").await;
    server.sql("CREATE DATABASE old ENCODING 'SQL_ASCII' TEMPLATE template0").await;
    let told = async |settings: &[&str], words: &[&str]| {
        let all = [&[AT_ONCE, "engine.postgres.timeout=10s"], settings].concat();
        let text = refusal("postgres", &all).await;
        says(&text, &[&["FF-0015", "engine.postgres"], words].concat());
    };
    let at = |who: &str, rest: &str| format!("engine.postgres.url=postgres://{who}@{}/{rest}", server.address());
    let denied = "check user, password and database in engine.postgres.url";
    for who in [&format!("poor:{PASSWORD}"), "poor"] {
        told(&[&at(who, "postgres")], &[denied, "password authentication failed"]).await;
    }
    told(&[&at("poor:right", "postgres")], &["needs CREATE on the database", "permission denied"]).await;
    told(&[&at("postgres", "nowhere")], &[denied, "\"nowhere\" does not exist"]).await;
    told(&[&at("postgres", "old")], &["encoding is SQL_ASCII", "CREATE DATABASE"]).await;
    let away = "no PostgreSQL server of `engine.postgres` can be reached";
    told(&[&at("postgres", "postgres?sslmode=require")], &[away, "does not support TLS"]).await;
    let nowhere = "engine.postgres.password_file=/nowhere";
    told(&[&at("poor", "postgres"), nowhere], &["engine.postgres.password_file /nowhere"]).await;
    let standby = server.standby().await;
    told(&[&format!("engine.postgres.url={}", standby.url())], &[away, "the server is a standby"]).await;
    server.kill();
    told(&[&at("postgres", "postgres")], &[away, "Connection refused"]).await;
}

#[tokio::test]
async fn a_hub_that_cannot_be_used_is_told_of() {
    let (ours, others) = (certificates(), certificates());
    let own = format!("engine.remote.secret={SECRET}");
    let told = async |settings: &[&str], words: &[&str]| {
        let all = [&[AT_ONCE, "engine.remote.timeout=10s"], settings].concat();
        let text = refusal("remote", &all).await;
        says(&text, &[&["FF-00", "engine.remote"], words].concat());
    };
    let at = |scheme: &str, address: SocketAddr| format!("engine.remote.url={scheme}://{address}");
    let mut hub = Server::start(hub()).await;
    let wrong = format!("engine.remote.secret={PASSWORD}");
    told(&[&at("http", hub.admin()), &wrong], &["FF-0015", "give both the same engine.remote.secret"]).await;
    told(&[&at("https", hub.admin()), &own], &["FF-0015", "does not answer", "corrupt message"]).await;
    told(&[&at("http", hub.admin())], &["FF-0002", "is not set", "openssl rand -hex 32"]).await;
    told(&[&own], &["FF-0002", "engine.remote.url"]).await;
    let short = "engine.remote.secret=hush";
    told(&[&at("http", hub.admin()), short], &["FF-0002", "use at least 32"]).await;
    let nowhere = "engine.remote.secret_file=/nowhere";
    told(&[&at("http", hub.admin()), nowhere], &["FF-0015", "engine.remote.secret_file: /nowhere"]).await;

    let set = |config: Config, key: &str, file: &str| {
        let file = ours.path().join(file);
        config.argument("--set").argument(&format!("listeners.admin.tls.{key}={}", file.display()))
    };
    let encrypted = set(set(self::hub(), "cert_file", "server.pem"), "key_file", "server.key");
    let encrypted = Server::start(encrypted).await;
    told(&[&at("http", encrypted.admin()), &own], &["FF-0015"]).await;
    let stranger = format!("engine.remote.ca_file={}", others.path().join("ca.pem").display());
    told(&[&at("https", encrypted.admin()), &own, &stranger], &["FF-0015", "does not answer", "certificate"]).await;

    // A listener of a hub that is for others, a node that lends nothing, and what is no node at all.
    let (alone, other) = (Server::start(Config::new()).await, Redis::start_with(RedisKind::Redis70, &[]).await);
    for address in [hub.public(), alone.admin(), alone.public(), other.address()] {
        told(&[&at("http", address), &own], &["FF-0015", "is no hub", "that serves `engine`"]).await;
    }
    hub.kill();
    told(&[&at("http", hub.admin()), &own], &["FF-0015", "does not answer", "Connection refused"]).await;
}

/// A node that is starting.
struct Starting {
    child: Child,
    log: LogCapture,
    _directory: TempDir,
}

impl Starting {
    fn with(settings: &[&str]) -> Self {
        let directory = TempDir::with_prefix("fanfare-it-").expect("a temporary directory can be made");
        let mut command = serve(directory.path(), settings);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let log = LogCapture::default();
        log.follow(child.stdout.take().expect("stdout is piped"));
        log.follow(child.stderr.take().expect("stderr is piped"));
        Self { child, log, _directory: directory }
    }

    async fn logs(&self, text: &str) {
        eventually(format!("{text:?} in the log"), PATIENCE, async || self.log.contains(text).then_some(())).await;
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        // Either fails only if the process has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.log.show("fanfare");
        }
    }
}

/// Starts a node on an engine that is down, and brings that up when the node has said that it waits.
async fn is_waited_for(kind: &str, settings: &[&str], bring_up: impl Future<Output = ()>) {
    let node = Starting::with(&[&[format!("engine.kind={kind}").as_str()], settings].concat());
    node.logs("the engine is not available yet").await;
    bring_up.await;
    node.logs("fanfare::serve: ready").await;
}

#[tokio::test]
async fn an_engine_that_is_started_later_is_waited_for() {
    let redis = Redis::start().await;
    redis.kill();
    let quick = "engine.redis.timeout=1s";
    is_waited_for("redis", &[&format!("engine.redis.urls=['{}']", redis.url()), quick], redis.restart()).await;

    let nats = Nats::start().await;
    nats.kill();
    is_waited_for("nats", &[&format!("engine.nats.urls=['{}']", nats.url())], nats.restart()).await;

    let postgres = Postgres::start().await;
    postgres.kill();
    is_waited_for("postgres", &[&format!("engine.postgres.url={}", postgres.url())], postgres.restart()).await;

    let mut hub = Server::start(hub()).await;
    hub.kill();
    let url = format!("engine.remote.url=http://{}", hub.admin());
    is_waited_for("remote", &[&url, &format!("engine.remote.secret={SECRET}")], hub.restart()).await;
}

#[tokio::test]
async fn a_node_that_waits_for_its_engine_stops_when_it_is_told_to() {
    let server = Redis::start().await;
    server.kill();
    let url = format!("engine.redis.urls=['{}']", server.url());
    let settings = ["engine.kind=redis", &url, "engine.redis.timeout=1s", "engine.start_patience=1h"];
    let mut node = Starting::with(&settings);
    node.logs("the engine is not available yet").await;
    let pid = i32::try_from(node.child.id()).ok().and_then(Pid::from_raw).expect("a child has a pid");
    kill_process(pid, Signal::TERM).expect("our own child");
    let ended = || std::future::ready(node.child.try_wait().expect("our own child"));
    let status = eventually("the node to end", PATIENCE, ended).await;
    assert!(status.success(), "{status}");
}
