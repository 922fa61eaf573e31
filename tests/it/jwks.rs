//! Keys that an issuer publishes over HTTPS: who may vouch for it, and what becomes of sessions when a key goes.

use std::net::SocketAddr;
use std::sync::Arc;

use fanfare_tests::token::Token;
use fanfare_tests::{Config, Heard, Listen, Listener, PATIENCE, Server, Transport, eventually, fresh_topic};
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::identity::{ed25519, p256, signed};
use crate::tls::Certificates;

const FETCHES: &str = "fanfare_auth_key_fetches_total";
const UNTRUSTED: &str = r#"outcome="certificate""#;

/// What a server shows that `authority` has vouched for.
fn server_of(authority: &Certificates) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_slice(&authority.read("server.pem")).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(&authority.read("server.key")).expect("PEM");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate with its key");
    Arc::new(config)
}

/// Publishes keys over HTTPS.
struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

struct Shared {
    shows: Mutex<Arc<ServerConfig>>,
    keys: Mutex<String>,
}

impl Provider {
    async fn start(authority: &Certificates, keys: &[Value]) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { shows: Mutex::new(server_of(authority)), keys: Mutex::default() });
        let mut task = JoinSet::new();
        let serving = Arc::clone(&shared);
        task.spawn(async move {
            loop {
                if let Ok((stream, _)) = socket.accept().await {
                    // Who does not trust it goes away in the middle of the handshake.
                    let _ = serving.answer(stream).await;
                }
            }
        });
        let provider = Self { address, shared, _task: task };
        provider.publish(keys);
        provider
    }

    /// From now on these are its keys.
    fn publish(&self, keys: &[Value]) {
        *self.shared.keys.lock() = json!({"keys": keys}).to_string();
    }

    /// From now on it is another machine that answers: one for which `authority` vouches.
    fn is_now_of(&self, authority: &Certificates) {
        *self.shared.shows.lock() = server_of(authority);
    }

    /// A node that takes tokens signed with its keys, looks for new ones every second, and trusts `authority`.
    fn config(&self, authority: &Certificates) -> Config {
        self.config_with(&format!(", ca_file = \"{}\"", authority.path("ca.pem")))
    }

    fn config_with(&self, more: &str) -> Config {
        let url = format!("https://{}/keys", self.address);
        Config::new().set("auth.issuers.published", &format!("jwks = {{ url = \"{url}\", refresh = \"1s\"{more} }}"))
    }
}

impl Shared {
    async fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let shows = Arc::clone(&self.shows.lock());
        let mut stream = TlsAcceptor::from(shows).accept(stream).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await? > 0 {}
        let keys = self.keys.lock().clone();
        let length = keys.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(format!("{head}{keys}").as_bytes()).await?;
        stream.shutdown().await
    }
}

async fn listen(server: &Server, topic: &str, token: String) -> Result<Listener, String> {
    Transport::WsJson.try_listen(server.public(), &Listen::to(topic, token)).await
}

/// Waits until the node was shown a certificate that it does not trust, and has said so.
async fn until_distrusted(server: &Server) {
    let api = server.api();
    eventually("a fetch that is refused", PATIENCE, async || {
        (api.metric(FETCHES, UNTRUSTED).await >= 1.0).then_some(())
    })
    .await;
    for part in
        ["the issuer's keys could not be fetched", "signed by no authority that is trusted here", "jwks.ca_file"]
    {
        eventually(part, PATIENCE, async || server.log().contains(part).then_some(())).await;
    }
}

#[tokio::test]
async fn an_authority_of_ones_own_and_those_of_the_system_may_vouch_for_an_issuer() {
    let authority = Certificates::make();
    let provider = Provider::start(&authority, &[p256("k1")]).await;
    let topic = fresh_topic("jwks");
    // Here the system trusts what this file holds.
    let system = provider.config_with("").variable("SSL_CERT_FILE", authority.path("ca.pem"));
    for config in [provider.config(&authority), system] {
        let server = Server::start(config).await;
        listen(&server, &topic, signed("k1", Token::p256)).await.expect("let in");
        assert!(server.api().metric(FETCHES, UNTRUSTED).await < 1.0);
    }
}

#[tokio::test]
async fn nobody_else_may() {
    let (authority, other) = (Certificates::make(), Certificates::make());
    let provider = Provider::start(&authority, &[p256("k1")]).await;
    let topic = fresh_topic("jwks");
    let system = provider.config_with("").variable("SSL_CERT_FILE", other.path("ca.pem"));
    // What the system trusts counts for nothing where a file is named.
    let narrow = provider.config(&other).variable("SSL_CERT_FILE", authority.path("ca.pem"));
    for config in [system, narrow] {
        let server = Server::start(config).await;
        let refused = listen(&server, &topic, signed("k1", Token::p256)).await;
        assert_eq!(refused.err().as_deref(), Some("keys_unavailable"));
        until_distrusted(&server).await;
    }
}

#[tokio::test]
async fn who_takes_the_issuers_place_changes_nothing() {
    let (authority, other) = (Certificates::make(), Certificates::make());
    let provider = Provider::start(&authority, &[p256("k1")]).await;
    let server = Server::start(provider.config(&authority)).await;
    let topic = fresh_topic("jwks");
    let mut before = listen(&server, &topic, signed("k1", Token::p256)).await.expect("let in");
    provider.is_now_of(&other);
    provider.publish(&[ed25519("k2")]);
    until_distrusted(&server).await;
    // Its keys are not taken, and those that the issuer gave stay.
    let refused = listen(&server, &topic, signed("k2", Token::ed25519)).await;
    assert_eq!(refused.err().as_deref(), Some("unknown_key"));
    listen(&server, &topic, signed("k1", Token::p256)).await.expect("let in");
    server.api().publish_text(&topic, "still here").await;
    assert_eq!(before.event().await["data"], "still here");

    provider.is_now_of(&authority);
    eventually("the new key to be known", PATIENCE, async || {
        listen(&server, &topic, signed("k2", Token::ed25519)).await.ok()
    })
    .await;
}

/// As `docs/authentication.md` has it: a key that its issuer takes away lets nobody in any more, also not back; who is
/// in stays until the token's own end.
#[tokio::test]
async fn a_key_that_was_taken_away_ends_no_session_and_prolongs_none() {
    let authority = Certificates::make();
    let provider = Provider::start(&authority, &[p256("k1"), ed25519("k2")]).await;
    let server = Server::start(provider.config(&authority)).await;
    let topic = fresh_topic("jwks");
    let mut open = Vec::new();
    for transport in Transport::ALL {
        let ask = Listen::to(&topic, signed("k1", Token::p256));
        let mut listener = transport.listen(server.public(), &ask).await;
        let resume = loop {
            if let Heard::Resume(resume) = listener.next().await {
                break resume;
            }
        };
        open.push((transport, listener, resume));
    }
    provider.publish(&[ed25519("k2")]);
    eventually("the key to be forgotten", PATIENCE, async || {
        let refused = listen(&server, &topic, signed("k1", Token::p256)).await.err()?;
        assert_eq!(refused, "unknown_key");
        Some(())
    })
    .await;
    server.api().publish_text(&topic, "still here").await;
    for (transport, listener, resume) in &mut open {
        assert_eq!(listener.event().await["data"], "still here", "{transport}");
        if transport.is_bidirectional() {
            let refused = listener.request(json!({"refresh": {"token": signed("k1", Token::p256)}})).await;
            assert_eq!(refused.err().as_deref(), Some("unknown_key"), "{transport}");
            let refreshed = listener.request(json!({"refresh": {"token": signed("k2", Token::ed25519)}})).await;
            assert!(refreshed.is_ok(), "{transport}: {refreshed:?}");
        }
        let back = transport.try_listen(server.public(), &Listen::to(&topic, resume.clone())).await;
        assert_eq!(back.err().as_deref(), Some("unknown_key"), "{transport}");
    }
}
