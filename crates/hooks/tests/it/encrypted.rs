//! TLS to the application, with an authority of one's own.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use fanfare_lifecycle::{Lifecycle, TaskKind};
use fanfare_session::Hook;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Identity, ServerTlsConfig};

use crate::asking::{Asking, allowed, ask, is_unavailable};
use crate::grpc::{Application, yes};

/// A certificate for `127.0.0.1`, its key, and a file with who vouches for it.
fn certificate() -> (String, String, tempfile::NamedTempFile) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority.pem()).unwrap();
    (certificate.pem(), key.serialize_pem(), file)
}

/// Allowed with the right authority, and never without.
async fn check(url: &str, authority: &std::path::Path) {
    let trusting = Asking::at(Hook::Connect, url, "", &format!("ca_file = '{}'", authority.display()));
    allowed(trusting.ask(ask(Hook::Connect)).await);
    let (_, _, other) = certificate();
    let wary = Asking::at(Hook::Connect, url, "", &format!("ca_file = '{}'", other.path().display()));
    assert!(is_unavailable(&wary.ask(ask(Hook::Connect)).await));
    assert_eq!(wary.counted(Hook::Connect, "unreachable"), 1);
}

#[tokio::test]
async fn https_is_checked() {
    let (certificate, key, authority) = certificate();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let life = Lifecycle::new();
    let hard = life.hard().clone();
    life.spawn(TaskKind::Background, "server", async move {
        let serve = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // Whoever does not trust it goes away in the handshake.
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let answer = service_fn(|_| async {
                    Ok::<_, std::convert::Infallible>(Response::new(Body::from("{\"allow\":{}}")))
                });
                let mut builder = hyper::server::conn::http1::Builder::new();
                drop(builder.keep_alive(false).serve_connection(TokioIo::new(stream), answer).await);
            }
        };
        hard.run_until_cancelled(serve).await;
    });
    check(&format!("https://{address}/"), authority.path()).await;
    life.stop();
}

#[tokio::test]
async fn grpcs_is_checked() {
    let (certificate, key, authority) = certificate();
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    let (application, _life) = Application::start(Some(tls), |_| Ok(Some(yes()))).await;
    check(&format!("grpcs://{}", application.address), authority.path()).await;
}
