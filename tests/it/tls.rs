//! TLS on a listener: every protocol over it, certificates of clients, and files that change.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fanfare_proto::v1::SubscribeRequest;
use fanfare_proto::v1::events_client::EventsClient;
use fanfare_tests::grpc::with_token;
use fanfare_tests::token::Token;
use fanfare_tests::{Config, Observed, PATIENCE, Script, Server, eventually, frames, fresh_topic, within};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::Connector;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// A directory with the certificates that `fanfare dev-cert` makes.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    pub(crate) fn make() -> Self {
        let certificates = Self(TempDir::with_prefix("fanfare-certs-").expect("a temporary directory can be made"));
        certificates.renew();
        certificates
    }

    /// Makes new ones, of a new authority, in their place.
    fn renew(&self) {
        let made = Command::new(fanfare_tests::binary())
            .args(["dev-cert", "--force", "--dir"])
            .arg(self.0.path())
            .output()
            .expect("the binary starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(name)).expect("dev-cert wrote it")
    }

    /// A server whose public listener shows them.
    pub(crate) fn config(&self) -> Config {
        let set = |config: Config, key: &str, value: &str| {
            config.argument("--set").argument(&format!("listeners.public.tls.{key}={value}"))
        };
        let config = set(Config::new(), "cert_file", &self.path("server.pem"));
        set(config, "key_file", &self.path("server.key"))
    }

    /// One that also asks clients for a certificate.
    fn mutual(&self) -> Config {
        let file = self.path("ca.pem");
        self.config().argument("--set").argument(&format!("listeners.public.tls.client_ca_file={file}"))
    }

    /// A client that trusts this authority, with or without the client's certificate.
    fn http(&self, with_certificate: bool) -> reqwest::Client {
        let ca = reqwest::Certificate::from_pem(&self.read("ca.pem")).expect("a certificate");
        let mut builder = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().timeout(PATIENCE);
        if with_certificate {
            let both = [self.read("client.pem"), self.read("client.key")].concat();
            builder = builder.identity(reqwest::Identity::from_pem(&both).expect("a certificate with its key"));
        }
        builder.build().expect("a client")
    }

    pub(crate) fn rustls(&self) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&self.read("ca.pem")).expect("PEM")).expect("an authority");
        let certificate = CertificateDer::from_pem_slice(&self.read("client.pem")).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(&self.read("client.key")).expect("PEM");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)
            .expect("a certificate with its key");
        Arc::new(config)
    }
}

async fn sse(http: &reqwest::Client, server: &Server, topic: &str) -> Result<reqwest::Response, reqwest::Error> {
    let url = format!("https://127.0.0.1:{}/v1/sse?topic={topic}&from=start", server.public().port());
    http.get(url).bearer_auth(Token::client().mint()).send().await
}

/// Reads until `text` has come.
async fn read_until(response: &mut reqwest::Response, text: &str) {
    let mut seen = String::new();
    while !seen.contains(text) {
        let chunk = within(text, response.chunk()).await.expect("the stream is not cut").expect("it goes on");
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
}

#[tokio::test]
async fn every_protocol_is_spoken_over_tls() {
    let certificates = Certificates::make();
    let server = Server::start(certificates.config()).await;
    let topic = fresh_topic("tls");
    server.api().publish_text(&topic, "over TLS").await;

    let mut stream = sse(&certificates.http(false), &server, &topic).await.expect("an answer");
    assert_eq!((stream.status().as_u16(), stream.version()), (200, http::Version::HTTP_2), "ALPN");
    read_until(&mut stream, "over TLS").await;

    let url = format!("wss://127.0.0.1:{}/v1/ws", server.public().port());
    let connector = Some(Connector::Rustls(certificates.rustls()));
    let connected = Box::pin(tokio_tungstenite::connect_async_tls_with_config(url, None, false, connector));
    let (mut socket, _) = within("a handshake", connected).await.expect("WebSocket over TLS");
    for frame in [
        json!({"id": 1, "connect": {"token": Token::client().mint()}}),
        json!({"id": 2, "subscribe": {"topic": topic, "from": "start"}}),
    ] {
        socket.send(frame.to_string().into()).await.expect("open");
    }
    loop {
        let message = within("a message", socket.next()).await.expect("open").expect("open");
        if message.to_text().is_ok_and(|text| text.contains("over TLS")) {
            break;
        }
    }

    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificates.read("ca.pem")));
    let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{}", server.public().port())).expect("a URI");
    let channel = endpoint.tls_config(tls).expect("a configuration").connect().await.expect("gRPC over TLS");
    let request = SubscribeRequest {
        topics: vec![fanfare_proto::v1::TopicFrom { topic: topic.clone(), from: None }],
        from: frames::from(&json!("start")),
        ..SubscribeRequest::default()
    };
    let mut frames = EventsClient::new(channel)
        .subscribe(with_token(request, &Token::client().mint()))
        .await
        .expect("a stream")
        .into_inner();
    loop {
        let frame = within("a frame", frames.message()).await.expect("open").expect("open");
        if fanfare_tests::frames::said(frame)["event"]["data"] == "over TLS" {
            break;
        }
    }

    let orders = json!({
        "address": format!("localhost:{}", server.public().port()),
        "ca": certificates.path("ca.pem"),
        "token": Token::client().mint(),
        "method": "Events/Subscribe",
        "request": {"topics": [{"topic": topic}], "from": {"text": "start"}},
    });
    let mut grpcio = Script::python("grpc_client.py", &orders);
    loop {
        match grpcio.next().await {
            Observed::Frame(text) if text.contains("over TLS") => break,
            Observed::Open | Observed::Frame(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_tls_is_not_served_and_harms_nobody() {
    let certificates = Certificates::make();
    let server = Server::start(certificates.config()).await;
    let topic = fresh_topic("tls");
    let mut plain = TcpStream::connect(server.public()).await.expect("the port is open");
    plain.write_all(b"GET /v1/sse?topic=a HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("open");
    let mut answer = Vec::new();
    // A reset is as good an end as a FIN.
    let _ = within("the end", plain.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    server.api().publish_text(&topic, "still here").await;
    let mut stream = sse(&certificates.http(false), &server, &topic).await.expect("an answer");
    read_until(&mut stream, "still here").await;
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_needed() {
    let certificates = Certificates::make();
    let others = Certificates::make();
    let server = Server::start(certificates.mutual()).await;
    let topic = fresh_topic("mtls");
    server.api().publish_text(&topic, "known").await;
    sse(&certificates.http(false), &server, &topic).await.expect_err("no certificate");
    let stranger = {
        let ca = reqwest::Certificate::from_pem(&certificates.read("ca.pem")).expect("a certificate");
        let both = [others.read("client.pem"), others.read("client.key")].concat();
        let identity = reqwest::Identity::from_pem(&both).expect("a certificate with its key");
        reqwest::Client::builder().tls_certs_only([ca]).identity(identity).no_proxy().build().expect("a client")
    };
    sse(&stranger, &server, &topic).await.expect_err("a certificate of another authority");
    let mut stream = sse(&certificates.http(true), &server, &topic).await.expect("let in");
    read_until(&mut stream, "known").await;
}

#[tokio::test]
async fn new_files_are_used_for_new_connections_and_bad_ones_are_not() {
    let certificates = Certificates::make();
    let server = Server::start(certificates.config()).await;
    let topic = fresh_topic("tls");
    server.api().publish_text(&topic, "first").await;
    let old = certificates.http(false);
    let mut before = sse(&old, &server, &topic).await.expect("an answer");
    read_until(&mut before, "first").await;

    // Half a file, as an editor may leave it: nothing changes but the log.
    let good = certificates.read("server.pem");
    std::fs::write(Path::new(&certificates.path("server.pem")), &good[..good.len() / 2]).expect("our own file");
    eventually("a complaint in the log", PATIENCE, async || server.log().contains("server.pem").then_some(())).await;
    sse(&certificates.http(false), &server, &topic).await.expect("the old certificate still serves");

    certificates.renew();
    let mut after = eventually("the new certificate", PATIENCE, async || {
        sse(&certificates.http(false), &server, &topic).await.ok()
    })
    .await;
    read_until(&mut after, "first").await;
    // Whoever was connected is not disturbed.
    server.api().publish_text(&topic, "second").await;
    read_until(&mut before, "second").await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_refused_at_the_start_by_name() {
    let certificates = Certificates::make();
    let others = Certificates::make();
    std::fs::write(certificates.path("server.key"), others.read("server.key")).expect("our own file");
    let (status, printed) = within("a refusal", Server::refused(certificates.config())).await;
    assert!(!status.success());
    assert!(printed.contains("key_file"), "{printed}");
}

/// Half a handshake holds no place for ever.
#[tokio::test]
async fn a_handshake_has_its_time() {
    let certificates = Certificates::make();
    let config = certificates.config().argument("--set").argument("listeners.public.tls.handshake_timeout=300ms");
    let server = Server::start(config).await;
    let mut silent = TcpStream::connect(server.public()).await.expect("the port is open");
    silent.write_all(&[0x16, 0x03, 0x01]).await.expect("open");
    let mut answer = Vec::new();
    let begun = tokio::time::Instant::now();
    let _ = within("the end", silent.read_to_end(&mut answer)).await;
    // By default it is 10 s.
    assert!(begun.elapsed() < Duration::from_secs(9));
}
