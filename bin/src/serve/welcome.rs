//! What a developer sees when a development node is ready: where it listens, and commands to paste.

use std::path::Path;

use super::dev;
use super::kept::KeptSecret;
use super::ports::Listening;
use crate::config::{Config, EngineOptions, Serves, TlsOptions};
use crate::print;

/// Prints it to standard output.
pub(super) fn print(listening: &Listening, config: &Config) {
    print::line("\nFanfare is ready (development).\n");
    for line in listening.lines() {
        print::line(format_args!("  {line}"));
    }
    if let Ok(Some(secret)) = KeptSecret::of_development(&config.engine.path).read() {
        let path = config.engine.path.display();
        print::line(format_args!("\n  issuer \"{}\", HS256, secret {secret}", dev::ISSUER));
        print::line(format_args!("  (kept in {path}/dev-secret; tokens outlive a restart)"));
    }
    print::line("\nTry, in another terminal in this directory:");
    let fanfare = std::env::args().next().unwrap_or_else(|| "fanfare".to_owned());
    // A token is made with the secret in the node's directory, so a directory of one's own must be named.
    let path = &config.engine.path;
    let elsewhere = if *path == EngineOptions::default().path {
        String::new()
    } else {
        format!(" --set engine.path={}", quoted(path))
    };
    let token = format!("{fanfare} token --dev --topics news{elsewhere}");
    let curl = |listener: &str| curl(config.listeners.get(listener).and_then(|listener| listener.tls.as_ref()));
    if let Some((listener, clients)) = listening.url_of(Serves::Sse) {
        let curl = curl(listener);
        print::line("\n  # subscribe");
        print::line(format_args!("  TOKEN=$({token})"));
        print::line(format_args!("  {curl} -N -H \"Authorization: Bearer $TOKEN\" '{clients}/v1/sse?topic=news'"));
    }
    if let Some((listener, servers)) = listening.url_of(Serves::Api) {
        let curl = curl(listener);
        let message = r#"{"topic":"news","message":{"data":{"text":"hi"}}}"#;
        print::line("\n  # publish");
        print::line(format_args!("  TOKEN=$({token} --door server --allow publish)"));
        let json = "-H 'Content-Type: application/json'";
        print::line(format_args!("  {curl} -H \"Authorization: Bearer $TOKEN\" {json} \\"));
        print::line(format_args!("       -d '{message}' {servers}/v1/publish"));
    }
    if let Some((_, url)) = listening.url_of(Serves::Demo) {
        print::line(format_args!("\nOr open {url}/demo in a browser.\n"));
    }
}

/// `curl`, told to trust the listener, and to show a certificate where it asks for one. `fanfare dev-cert` puts all
/// that is needed beside the listener's own certificate; without its authority that itself is trusted.
fn curl(tls: Option<&TlsOptions>) -> String {
    let Some(TlsOptions { cert_file, client_ca_file, .. }) = tls else { return "curl".to_owned() };
    let beside = |name| Some(cert_file.with_file_name(name)).filter(|path| path.is_file());
    let authority = beside("ca.pem");
    let command = format!("curl --cacert {}", quoted(authority.as_ref().unwrap_or(cert_file)));
    match (client_ca_file, beside("client.pem"), beside("client.key")) {
        (Some(_), Some(cert), Some(key)) => format!("{command} --cert {} --key {}", quoted(&cert), quoted(&key)),
        _ => command,
    }
}

/// As the shell takes it for one word.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
