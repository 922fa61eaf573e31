//! TLS with an authority of one's own, and a user that may do what is needed and nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fanfare_auth::Secret;
use fanfare_engine_redis::{Engine, Options};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Duration, SystemClock};
use fanfare_test_engines::{Port, Redis, RedisCluster, RedisKind};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::coordination::all_on;
use crate::reader::{Node, events, topic};
use crate::support::{at, brokers, cluster};

/// A certificate for `127.0.0.1`, its key, and the authority that vouches for it, as files.
pub(crate) struct Certificate {
    folder: TempDir,
}

impl Certificate {
    pub(crate) fn make() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are valid");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate that has the name of its issuer for one that has no other.
        params.distinguished_name.push(DnType::CommonName, "authority");
        let issuer = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, issuer).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a valid name");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        let made = Self { folder: tempfile::tempdir().expect("a folder") };
        for (name, text) in [("ca", authority.pem()), ("crt", certificate.pem()), ("key", key.serialize_pem())] {
            std::fs::write(made.file(name), text).expect("our own folder");
        }
        made
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own_vouches_for_the_server() {
    let certificate = Certificate::make();
    let path = |name| certificate.file(name).display().to_string();
    let port = Port::reserve();
    let (ca, crt, key, tls_port) = (path("ca"), path("crt"), path("key"), port.number().to_string());
    let settings = [
        ["--tls-port", &*tls_port],
        ["--tls-cert-file", &*crt],
        ["--tls-key-file", &*key],
        ["--tls-ca-cert-file", &*ca],
        ["--tls-auth-clients", "no"],
    ];
    let server = Redis::start_with(RedisKind::Redis70, settings.as_flattened()).await;
    let encrypted = |ca_file: Option<PathBuf>| Options { ca_file, ..at(format!("rediss://{}", port.address())) };
    let node = Node::start(&encrypted(Some(certificate.file("ca")))).await;
    let other = Node::start(&at(server.url())).await;
    let a = topic("a");
    let mut listener = node.listen(&a).await;
    node.publish(&a, 1..=3).await;
    other.publish(&a, 4..=5).await;
    assert_eq!(listener.until_event(5).await, events(1..=5));
    // Who is vouched for by nobody we trust is not talked to.
    let stranger = Certificate::make();
    for ca in [None, Some(stranger.file("ca"))] {
        let life = Lifecycle::new();
        let quick = Options { timeout: Duration::from_secs(1), ..encrypted(ca) };
        assert!(Engine::connect(&quick, Arc::new(SystemClock), &life).await.is_err());
        life.stop();
    }
    let said = encrypted(Some(Path::new("/nowhere").to_owned()));
    let life = Lifecycle::new();
    let said = Engine::connect(&said, Arc::new(SystemClock), &life).await.err().unwrap().to_string();
    assert!(said.contains("ca_file"), "{said}");
    life.stop();
}

/// The rights as `docs/engines/redis.md` says them: the words between `ACL SETUSER fanfare` and the end of the block.
fn documented_rights() -> Vec<String> {
    let page = include_str!("../../../../docs/engines/redis.md");
    let (_, rest) = page.split_once("ACL SETUSER fanfare").expect("the page says which rights are needed");
    let (rights, _) = rest.split_once("```").expect("the block ends");
    rights.split_whitespace().filter(|word| *word != "\\").map(str::to_owned).collect()
}

/// `prefix`: what the names of the user's clusters begin with.
async fn admit(server: &Redis, prefix: &str) {
    let rights: Vec<_> =
        documented_rights().iter().map(|word| word.replace("{fanfare.", &format!("{{{prefix}"))).collect();
    let mut command = vec!["ACL", "SETUSER", "fanfare"];
    command.extend(rights.iter().map(String::as_str));
    assert_eq!(server.cli(&command).await, "OK");
}

fn as_user(options: Options) -> Options {
    let password = Some(Secret::new("secret"));
    Options { username: Some("fanfare".to_owned()), password, ..options }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_of_the_page_are_enough() {
    let server = Redis::start().await;
    admit(&server, "fanfare-").await;
    let options = as_user(at(server.url()));
    let life = Lifecycle::new();
    brokers(options.clone(), &life).run().await;
    all_on(&options, &life).await;
    life.stop();
    life.ended().await;
    let refused = server.cli(&["ACL", "LOG"]).await;
    assert!(!refused.contains("fanfare"), "{refused}");
    // Not more than enough: what belongs to others is theirs.
    let theirs = format!("redis://fanfare:secret@{}", server.address());
    let mut theirs = redis::Client::open(theirs).unwrap().get_multiplexed_async_connection().await.unwrap();
    for command in [&["SET", "other", "1"][..], &["FLUSHALL"], &["CONFIG", "SET", "appendonly", "no"], &["KEYS", "*"]] {
        let mut refused = redis::cmd(command[0]);
        refused.arg(&command[1..]);
        let refused = refused.query_async::<redis::Value>(&mut theirs).await.unwrap_err();
        assert_eq!(refused.code(), Some("NOPERM"), "{command:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_of_the_page_are_enough_in_a_cluster() {
    let servers = RedisCluster::start().await;
    for server in servers.servers() {
        admit(server, "fanfare.").await;
    }
    let node = Node::start(&as_user(cluster(&servers))).await;
    for n in 0..20 {
        let topic = topic(&format!("a:{n}"));
        let mut listener = node.listen(&topic).await;
        node.publish(&topic, 1..=2).await;
        assert_eq!(listener.until_event(2).await, events(1..=2));
    }
    for server in servers.servers() {
        let refused = server.cli(&["ACL", "LOG"]).await;
        assert!(!refused.contains("fanfare"), "{refused}");
    }
}
