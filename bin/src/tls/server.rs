//! What a listener speaks TLS with.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{ConfigBuilder, Error, InconsistentKeys, SupportedProtocolVersion, WantsVerifier};

use super::files::PemFile;
use super::{Certificate, Unusable};
use crate::config::{ClientAuth, TlsOptions, TlsVersion};

/// What is offered to clients that can choose, best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A listener's certificate and all that goes with it, as of one reading of its files.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// What rustls works with.
    pub config: Arc<ServerConfig>,
    /// What clients are shown.
    pub certificate: Certificate,
}

/// Reads the files that `options` names. Keys of session tickets are fresh with each reading and change every 6 hours.
pub(crate) fn server(options: &TlsOptions) -> Result<Identity, Unusable> {
    let cert_file = PemFile { key: "cert_file", path: &options.cert_file };
    let key_file = PemFile { key: "key_file", path: &options.key_file };
    let chain = cert_file.certificates()?;
    let certificate = shown(&cert_file, &chain)?;
    let key = key_file.private_key()?;

    let mut config = client_auth(builder(options)?, options)?.with_single_cert(chain, key).map_err(|error| {
        let its = options.cert_file.display();
        match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => key_file
                .wrong(&format!("is not the key of the certificate in {its}"), "name the two that belong together"),
            Error::General(text) => key_file.wrong(&format!("holds a key that cannot be used ({text})"), FIX_KEY),
            other => cert_file.wrong(&format!("holds a certificate that cannot be used ({other})"), "name another"),
        }
    })?;
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    // Tickets keep sessions with the clients: nothing is stored here. Whoever resumes does not show a certificate again,
    // so where certificates decide there are none.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if options.client_ca_file.is_none() {
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| refused(&error))?;
    } else {
        config.send_tls13_tickets = 0;
    }
    Ok(Identity { config: Arc::new(config), certificate })
}

const FIX_KEY: &str = "name an RSA (2048 bits or more), ECDSA or Ed25519 key";

fn builder(options: &TlsOptions) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, Unusable> {
    let versions: &[&SupportedProtocolVersion] = match options.min_version {
        TlsVersion::V12 => &[&TLS13, &TLS12],
        TlsVersion::V13 => &[&TLS13],
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).map_err(|error| refused(&error))
}

/// Who is asked for a certificate.
fn client_auth(
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    options: &TlsOptions,
) -> Result<ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>, Unusable> {
    let Some(path) = &options.client_ca_file else { return Ok(builder.with_no_client_auth()) };
    let file = PemFile { key: "client_ca_file", path };
    let authorities = Arc::new(file.authorities()?);
    let verifier = WebPkiClientVerifier::builder_with_provider(authorities, Arc::clone(builder.crypto_provider()));
    let verifier = match options.client_auth {
        ClientAuth::Required => verifier,
        ClientAuth::Optional => verifier.allow_unauthenticated(),
    };
    let verifier = verifier
        .build()
        .map_err(|error| file.wrong(&format!("holds no usable authority ({error})"), "put authorities there"))?;
    Ok(builder.with_client_cert_verifier(verifier))
}

fn shown(file: &PemFile<'_>, chain: &[CertificateDer<'_>]) -> Result<Certificate, Unusable> {
    chain
        .first()
        .and_then(Certificate::of)
        .ok_or_else(|| file.wrong("begins with what is no X.509 certificate", "name the certificate of this server"))
}

/// What the library of cryptography does not let us do, whatever the files are.
fn refused(error: &Error) -> Unusable {
    Unusable { key: "min_version", what: format!("TLS cannot be set up ({error})"), fix: "choose another version" }
}
