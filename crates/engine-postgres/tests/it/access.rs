//! TLS with an authority of one's own, and a user that owns its schema and may do nothing else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use fanfare_engine_postgres::{Engine, Error, Options};
use fanfare_lifecycle::Lifecycle;
use fanfare_model::{Duration, ManualClock, SystemClock, Timestamp};
use fanfare_test_engines::Postgres;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::support::{Node, application, ask, give_to_postgres, key, options, run, shared};

/// A certificate for `localhost`, its key, and the authority that vouches for it, as files.
struct Certificate {
    folder: TempDir,
}

impl Certificate {
    fn make() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are valid");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, issuer).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a valid name");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        let made = Self { folder: tempfile::tempdir().expect("a folder") };
        for (name, text) in [("ca", authority.pem()), ("crt", certificate.pem()), ("key", key.serialize_pem())] {
            std::fs::write(made.file(name), text).expect("our own folder");
        }
        // The server wants a key that nobody else can read.
        let key = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(made.file("key"), key).expect("our own folder");
        give_to_postgres(made.folder.path());
        made
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_of_ones_own_vouches_for_the_server() {
    let certificate = Certificate::make();
    let settings = [("ssl_cert_file", "crt"), ("ssl_key_file", "key")];
    let mut settings = settings.map(|(key, file)| format!("{key}={}", certificate.file(file).display())).to_vec();
    settings.push("ssl=on".to_owned());
    let server = Postgres::start_with(&settings.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let at = |host: &str, mode: &str, authority: &Certificate| {
        let (port, ca) = (server.port(), authority.file("ca"));
        format!("postgres://postgres@{host}:{port}/postgres?sslmode={mode}&sslrootcert={}", ca.display())
    };
    let stranger = Certificate::make();
    let connect = async |url: &str| {
        let (life, impatient) =
            (Lifecycle::new(), Options { timeout: Duration::from_secs(2), ..options(url, "fanfare") });
        let connected = Engine::connect(&impatient, Arc::new(SystemClock), &life).await.map(drop);
        life.stop();
        connected
    };
    // `localhost` may be ::1 first, where nobody listens.
    connect(&at("localhost", "verify-full", &certificate)).await.expect("the authority vouches for this name");
    connect(&at("127.0.0.1", "verify-ca", &certificate)).await.expect("whatever the name");
    for url in [
        at("127.0.0.1", "verify-full", &certificate),
        at("localhost", "verify-full", &stranger),
        at("localhost", "verify-ca", &stranger),
    ] {
        assert!(matches!(connect(&url).await, Err(Error::Unreachable(_))), "{url}");
    }
    // Every connection, also those that listen, is encrypted.
    let node = Node::start(&at("localhost", "verify-full", &certificate), "fanfare").await;
    let mut listener = node.listen(&["a"]).await;
    node.publish("a", "1").await;
    listener.until_text("1").await;
    let bare = server.sql(
        "SELECT count(*) FILTER (WHERE NOT s.ssl) || ' of ' || (count(*) > 3) FROM pg_stat_ssl s
         JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'fanfare'",
    );
    assert_eq!(bare.await, "0 of true");

    // A server without TLS is refused if it is asked for.
    let bare = format!("{}?sslmode=require", shared().await.url());
    assert!(matches!(connect(&bare).await, Err(Error::Unreachable(_))));
}

/// As in `docs/engines/postgres.md`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_owns_its_schema_needs_nothing_else() {
    let server = shared().await;
    let url = server.database("owned").await;
    let mut owner = application(&url).await;
    let page = include_str!("../../../../docs/engines/postgres.md");
    let (_, rest) = page.split_once("-- the user of the nodes\n").expect("the page says how it is made");
    let (statements, _) = rest.split_once("```").expect("the block ends");
    run(&mut owner, &statements.replace("DATABASE app", "DATABASE owned")).await.unwrap();
    let own = url.replace("postgres@", "fanfare@");
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_800_000_000)));
    let node = Node::start_with(&options(&own, "fanfare"), Arc::clone(&clock) as _).await;
    let mut listener = node.listen(&["a", "passing"]).await;
    node.publish("a", "1").await;
    node.publish("passing", "p").await;
    listener.until_text("1").await;
    listener.until_text("p").await;
    // Tables of days are made and dropped, and what passed by is emptied.
    for _ in 0..3 {
        clock.advance(std::time::Duration::from_secs(30 * 3600));
        node.broker.sweep().await.unwrap();
    }
    let first = "SELECT count(*)::text FROM fanfare.day WHERE name = 'log_20270115'";
    assert_eq!(ask(&mut owner, first).await, "0");
    assert_eq!(node.bus.heads(vec![key("a")]).await.unwrap()[0].events, 0);
    let mut own = application(&own).await;
    for sql in ["CREATE TABLE public.t (n int)", "CREATE SCHEMA other", "CREATE ROLE other"] {
        assert!(run(&mut own, sql).await.unwrap_err().contains("permission denied"), "{sql}");
    }
}
