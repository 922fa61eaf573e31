//! Listeners that speak TLS: with our own client commands, and with a client that shows what was agreed on.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::node::Node;
use crate::program::{fanfare, stderr, stdout};

const OLD: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

/// Makes the certificates in `at` below `directory`.
fn certificates(directory: &Path, at: &str) {
    let output = fanfare(directory).args(["dev-cert", "--dir", at, "--client", "billing"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

/// A node whose public listener speaks TLS with the certificates in `certs`.
fn node(directory: &Path, more: &[&str]) -> Node {
    certificates(directory, "certs");
    let mut settings = vec!["--set", "listeners.public.tls.cert_file=certs/server.pem"];
    settings.extend(["--set", "listeners.public.tls.key_file=certs/server.key"]);
    settings.extend(more.iter().flat_map(|setting| ["--set", setting]));
    Node::start(directory, &settings)
}

/// A client that says what it agreed on.
struct Caller {
    roots: RootCertStore,
    versions: &'static [&'static SupportedProtocolVersion],
    protocols: Vec<Vec<u8>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// What was agreed on, and what the server said.
struct Answer {
    protocol: Option<Vec<u8>>,
    certificate: CertificateDer<'static>,
    text: String,
}

impl Caller {
    /// Trusts the authority in `certs` below `directory`.
    fn trusting(directory: &Path, certs: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(directory.join(certs).join("ca.pem")).unwrap()).unwrap();
        Self { roots, versions: rustls::ALL_VERSIONS, protocols: Vec::new(), identity: None }
    }

    fn shows(mut self, directory: &Path, certs: &str) -> Self {
        let certs = directory.join(certs);
        let certificate = CertificateDer::from_pem_file(certs.join("client.pem")).unwrap();
        self.identity = Some((vec![certificate], PrivateKeyDer::from_pem_file(certs.join("client.key")).unwrap()));
        self
    }

    fn open(self, address: &str) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(self.versions).unwrap();
        let config = config.with_root_certificates(self.roots);
        let mut config = match self.identity {
            Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = self.protocols;
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// Asks over HTTP/1.1 for what is not there: whoever was let in is answered 404.
    fn ask(self, address: &str) -> io::Result<Answer> {
        let mut stream = self.open(address)?;
        write!(stream, "GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(Answer {
            protocol: stream.conn.alpn_protocol().map(<[u8]>::to_vec),
            certificate: stream.conn.peer_certificates().unwrap()[0].clone(),
            text,
        })
    }
}

fn client(directory: &Path, url: &str, args: &[&str]) -> Output {
    fanfare(directory).args(args).args(["--dev", "--url", url]).output().unwrap()
}

#[test]
fn commands_speak_tls_over_every_transport() {
    let dir = tempfile::tempdir().unwrap();
    let admin = ["listeners.admin.tls.cert_file=certs/server.pem", "listeners.admin.tls.key_file=certs/server.key"];
    let node = node(dir.path(), &admin);
    let (clients, servers) = (format!("https://{}", node.public), format!("https://{}", node.admin));
    let published = client(dir.path(), &servers, &["publish", "news", "hi", "--cacert", "certs/ca.pem"]);
    assert!(published.status.success(), "{}", stderr(&published));
    for transport in ["sse", "ws"] {
        let follow = ["subscribe", "news", "--from", "start", "--count", "1", "--transport", transport];
        let heard = client(dir.path(), &clients, &[&follow[..], &["--cacert", "certs/ca.pem"]].concat());
        assert_eq!(stdout(&heard), "news #1 - hi\n", "{transport}: {}", stderr(&heard));
    }
    let stranger = client(dir.path(), &servers, &["publish", "news", "hi"]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(stderr(&stranger).contains("FF-0011"), "{}", stderr(&stranger));
}

#[test]
fn http2_is_offered_and_plain_text_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path(), &[]);
    let offering = |protocols: &[&[u8]]| {
        let protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Caller { protocols, ..Caller::trusting(dir.path(), "certs") }
    };
    let stream = offering(&[b"http/1.1", b"h2"]).open(&node.public).unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    let answer = offering(&[b"http/1.1"]).ask(&node.public).unwrap();
    assert_eq!(answer.protocol.as_deref(), Some(&b"http/1.1"[..]));
    assert!(answer.text.starts_with("HTTP/1.1 404"), "{}", answer.text);
    let answer = offering(&[]).ask(&node.public).unwrap();
    assert_eq!(answer.protocol, None);
    assert!(answer.text.starts_with("HTTP/1.1 404"), "{}", answer.text);
    let mut plain = TcpStream::connect(&node.public).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut heard = Vec::new();
    // It may also be reset, because the rest of what was said is not read.
    let _ = plain.read_to_end(&mut heard);
    assert!(!heard.starts_with(b"HTTP/"), "{heard:?}");
    node.counts(r#"fanfare_tls_handshakes_total{result="failed"} 1"#);
    node.counts(r#"fanfare_tls_handshakes_total{result="completed"} 3"#);
}

#[test]
fn the_oldest_version_is_kept_to() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path(), &["listeners.public.tls.min_version=tls1.3"]);
    let old = || Caller { versions: OLD, ..Caller::trusting(dir.path(), "certs") };
    assert!(old().open(&node.public).is_err());
    assert!(Caller::trusting(dir.path(), "certs").ask(&node.public).is_ok());
}

#[test]
fn who_must_show_a_certificate_is_let_in_with_one_and_named_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path(), &["listeners.public.tls.client_ca_file=certs/ca.pem"]);
    certificates(dir.path(), "others");
    let caller = || Caller::trusting(dir.path(), "certs");
    assert!(caller().ask(&node.public).is_err(), "nothing was shown");
    assert!(caller().shows(dir.path(), "others").ask(&node.public).is_err(), "another authority has signed it");
    assert!(caller().shows(dir.path(), "certs").ask(&node.public).unwrap().text.starts_with("HTTP/1.1 404"));
    let told = node.logs("a client has shown its certificate");
    assert!(told.contains("CN=billing") && told.contains("public"), "{told}");

    let url = format!("https://{}", node.public);
    let open = ["--cacert", "certs/ca.pem", "--cert", "certs/client.pem", "--cert-key", "certs/client.key"];
    let publish = ["publish", "news", "hi", "--url"];
    let published = fanfare(dir.path()).args(publish).arg(format!("http://{}", node.admin)).arg("--dev").output();
    assert!(published.unwrap().status.success());
    for transport in ["sse", "ws"] {
        let follow = ["subscribe", "news", "--from", "start", "--count", "1", "--transport", transport];
        let heard = client(dir.path(), &url, &[&follow[..], &open].concat());
        assert_eq!(stdout(&heard), "news #1 - hi\n", "{transport}: {}", stderr(&heard));
    }
}

#[test]
fn where_a_certificate_is_optional_a_wrong_one_is_still_refused() {
    let dir = tempfile::tempdir().unwrap();
    let asked = ["listeners.public.tls.client_ca_file=certs/ca.pem", "listeners.public.tls.client_auth=optional"];
    let node = node(dir.path(), &asked);
    certificates(dir.path(), "others");
    let caller = || Caller::trusting(dir.path(), "certs");
    assert!(caller().ask(&node.public).is_ok());
    assert!(caller().shows(dir.path(), "certs").ask(&node.public).is_ok());
    assert!(caller().shows(dir.path(), "others").ask(&node.public).is_err());
}

#[test]
fn renewed_files_are_taken_up_and_bad_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path(), &[]);
    certificates(dir.path(), "renewed");
    let renew = |name: &str| {
        let beside = dir.path().join("certs").join("beside");
        std::fs::copy(dir.path().join("renewed").join(name), &beside).unwrap();
        std::fs::rename(beside, dir.path().join("certs").join(name)).unwrap();
    };
    let before = || Caller::trusting(dir.path(), "certs").ask(&node.public);
    let renewed = || Caller::trusting(dir.path(), "renewed").ask(&node.public);
    let shown = before().unwrap().certificate;
    assert!(renewed().is_err());

    renew("server.pem");
    let told = node.logs("cannot be used");
    assert!(told.contains("is not the key of the certificate"), "{told}");
    assert_eq!(before().unwrap().certificate, shown, "what was before is kept");

    renew("server.key");
    let told = node.logs("were read again");
    assert!(told.contains("CN=localhost"), "{told}");
    assert_ne!(renewed().unwrap().certificate, shown);
    assert!(before().is_err());

    node.signal(Signal::HUP);
    node.logs("were read again");
    assert!(renewed().is_ok(), "SIGHUP does not end a node that no terminal has started");
}

#[test]
fn who_does_not_finish_its_handshake_is_cut_and_the_next_has_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let few = ["listeners.public.tls.handshakes_max=1", "listeners.public.tls.handshake_timeout=3s"];
    let node = node(dir.path(), &few);
    let mut silent = TcpStream::connect(&node.public).unwrap();
    let mut halting = TcpStream::connect(&node.public).unwrap();
    // The beginning of a handshake: a record of 512 bytes, of which nothing comes.
    halting.write_all(b"\x16\x03\x01\x02\x00").unwrap();
    for slow in [&mut silent, &mut halting] {
        slow.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert_eq!(slow.read_to_end(&mut Vec::new()).unwrap(), 0, "closed without a word");
    }
    assert!(Caller::trusting(dir.path(), "certs").ask(&node.public).is_ok());
    node.counts(r#"fanfare_tls_handshakes_total{result="timed_out"} 2"#);
}

#[test]
fn followers_over_tls_are_sent_away_at_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = node(dir.path(), &["drain.window=200ms"]);
    let url = format!("https://{}", node.public);
    let mut followers = Vec::new();
    for transport in ["sse", "ws"] {
        let mut follower = fanfare(dir.path());
        follower.args(["subscribe", "news", "--dev", "--url", &url, "--cacert", "certs/ca.pem"]);
        follower.args(["--transport", transport]).stdout(Stdio::null()).stderr(Stdio::piped());
        followers.push(follower.spawn().unwrap());
    }
    node.counts(r#"fanfare_tls_handshakes_total{result="completed"} 2"#);
    node.signal(Signal::TERM);
    assert_eq!(node.wait(), Some(0), "every connection has ended in time");
    for mut follower in followers {
        let _ = follower.kill();
        let _ = follower.wait();
    }
}

#[test]
fn a_key_that_belongs_to_another_certificate_is_told() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path(), "certs");
    let listener = "[listeners.public.tls]\ncert_file = \"certs/server.pem\"\nkey_file = \"certs/client.key\"\n";
    std::fs::write(dir.path().join("fanfare.toml"), listener).unwrap();
    let output = fanfare(dir.path()).args(["config", "check", "--dev"]).output().unwrap();
    let text = stderr(&output);
    for part in ["FF-0002", "listeners.public.tls.key_file", "fanfare.toml", "is not the key of", "certs/server.pem"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let token = fanfare(dir.path()).args(["token", "--dev", "--topics", "a"]).output().unwrap();
    assert!(token.status.success(), "who makes a token needs no certificate: {}", stderr(&token));
}

#[test]
fn certificates_are_not_replaced_by_accident() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path(), "certs");
    let kept = std::fs::read(dir.path().join("certs/server.key")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(dir.path().join("certs/server.key")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    let again = fanfare(dir.path()).arg("dev-cert").output().unwrap();
    assert!(stderr(&again).contains("--force"), "{}", stderr(&again));
    assert_eq!(std::fs::read(dir.path().join("certs/server.key")).unwrap(), kept);
    assert!(fanfare(dir.path()).args(["dev-cert", "--force"]).output().unwrap().status.success());
    assert_ne!(std::fs::read(dir.path().join("certs/server.key")).unwrap(), kept);
}
