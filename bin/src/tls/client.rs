//! What the client commands speak TLS with.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::Unusable;
use super::files::PemFile;
use crate::failure::{Code, Failure};

/// Whom a client command trusts, and who it is.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ClientTls {
    /// Authorities to trust for `https`, as PEM. Default: those that this machine trusts.
    #[arg(long, value_name = "FILE", env = "FANFARE_CACERT")]
    cacert: Option<PathBuf>,
    /// The certificate to show to a server that asks for one, as PEM.
    #[arg(long, value_name = "FILE", env = "FANFARE_CERT")]
    cert: Option<PathBuf>,
    /// The private key of that certificate, as PEM. Default: it is in the file after `--cert`.
    #[arg(long, value_name = "FILE", env = "FANFARE_CERT_KEY", requires = "cert")]
    cert_key: Option<PathBuf>,
}

/// What a client command offers an `https` server, over any transport.
pub(crate) fn client(args: &ClientTls) -> Result<Arc<ClientConfig>, Failure> {
    config(args).map(Arc::new).map_err(|unusable| {
        Failure::new(Code::Unusable, format!("--{} {}; {}", unusable.key, unusable.what, unusable.fix))
    })
}

fn config(args: &ClientTls) -> Result<ClientConfig, Unusable> {
    let builder = ClientConfig::builder();
    let builder = match &args.cacert {
        Some(path) => builder.with_root_certificates(PemFile { key: "cacert", path }.authorities()?),
        None => builder.with_platform_verifier().map_err(|error| Unusable {
            key: "cacert",
            what: format!("is needed, because the authorities of this machine cannot be used ({error})"),
            fix: "name a file of authorities",
        })?,
    };
    let Some(path) = &args.cert else { return Ok(builder.with_no_client_auth()) };
    let cert = PemFile { key: "cert", path };
    let key = PemFile { key: "cert-key", path: args.cert_key.as_ref().unwrap_or(path) };
    builder.with_client_auth_cert(cert.certificates()?, key.private_key()?).map_err(|error| {
        cert.wrong(&format!("cannot be used with its key ({error})"), "name the two that belong together")
    })
}
