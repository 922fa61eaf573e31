//! What a developer sees when a development node is ready: where it listens, and commands to paste.

use super::dev;
use super::kept::KeptSecret;
use super::ports::Listening;
use crate::config::{Config, EngineOptions, Serves};
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
        format!(" --set engine.path='{}'", path.display())
    };
    let token = format!("{fanfare} token --dev --topics news{elsewhere}");
    if let Some(clients) = listening.url_of(Serves::Sse) {
        print::line("\n  # subscribe");
        print::line(format_args!("  TOKEN=$({token})"));
        print::line(format_args!("  curl -N -H \"Authorization: Bearer $TOKEN\" '{clients}/v1/sse?topic=news'"));
    }
    if let Some(servers) = listening.url_of(Serves::Api) {
        let message = r#"{"topic":"news","message":{"data":{"text":"hi"}}}"#;
        print::line("\n  # publish");
        print::line(format_args!("  TOKEN=$({token} --door server --allow publish)"));
        print::line("  curl -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\");
        print::line(format_args!("       -d '{message}' {servers}/v1/publish"));
    }
    if let Some(url) = listening.url_of(Serves::Demo) {
        print::line(format_args!("\nOr open {url}/demo in a browser.\n"));
    }
}
