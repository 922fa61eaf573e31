//! Who is let in, and the issuer that exists only in development.

use std::sync::Arc;

use fanfare_auth::{Action, Auth, Grant, Issuer, KeySource, MintRequest, Pattern, Secret};
use fanfare_model::{Clock, Duration};

use super::kept::KeptSecret;
use crate::config::{Config, DEMO};
use crate::failure::{Code, Failure};

/// The name of the development issuer.
pub(crate) const ISSUER: &str = "dev";
/// A token in a script of a development machine should still work after the holidays.
const LIFETIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

const DEMO_ACTIONS: [Action; 4] = [Action::Subscribe, Action::Publish, Action::History, Action::Presence];

/// Who is let in by the node that is run with `config`; in development also whoever knows the development secret. Where
/// the node keeps anything, it also keeps the key of its resume tokens, so that clients resume after a restart.
pub(super) fn node_auth(config: &Config, dev: bool, clock: Arc<dyn Clock>) -> Result<Auth, Failure> {
    let mut options = config.auth_of_node();
    let resume = &mut options.resume;
    let no_key = resume.keys.is_empty() && resume.key_files.is_empty();
    if no_key && !resume.window.get().is_zero() && config.engine.is_embedded() {
        let key = KeptSecret::of_resuming(&config.engine.path).read_or_make()?;
        resume.keys.push(Secret::new(key));
    }
    auth_with(options, config, dev, clock)
}

/// The same, for a command that makes tokens or keys.
pub(crate) fn auth(config: &Config, dev: bool, clock: Arc<dyn Clock>) -> Result<Auth, Failure> {
    auth_with(config.auth_of_node(), config, dev, clock)
}

fn auth_with(
    mut options: fanfare_auth::Options,
    config: &Config,
    dev: bool,
    clock: Arc<dyn Clock>,
) -> Result<Auth, Failure> {
    if dev {
        let secret = KeptSecret::of_development(&config.engine.path).read_or_make()?;
        options.issuers.entry(ISSUER.to_owned()).or_insert(issuer(Secret::new(secret)));
    }
    Auth::new(options, clock).map_err(|error| refused(&error))
}

/// The issuer whose tokens are signed with `secret`.
pub(crate) fn issuer(secret: Secret) -> Issuer {
    let key = KeySource { secret: Some(secret), ..KeySource::default() };
    Issuer { keys: vec![key], max_lifetime: LIFETIME_MAX, ..Issuer::default() }
}

/// Makes tokens for the demo page: to publish to its topics, to hear and read them, and to see who is there.
pub(super) fn demo_tokens(auth: Auth) -> fanfare_console::Mint {
    let topics: Vec<_> =
        [DEMO.to_owned(), format!("{DEMO}:*")].iter().filter_map(|pattern| Pattern::parse(pattern).ok()).collect();
    let grant = Grant { topics, allow: DEMO_ACTIONS.to_vec() };
    Arc::new(move || {
        let request =
            MintRequest { issuer: Some(ISSUER.to_owned()), grants: vec![grant.clone()], ..MintRequest::default() };
        auth.mint(request).ok()
    })
}

/// What the operator is told if the keys that `auth` names cannot be used.
pub(crate) fn refused(error: &fanfare_auth::Error) -> Failure {
    let code = match error {
        fanfare_auth::Error::File { .. }
        | fanfare_auth::Error::KeysFile { .. }
        | fanfare_auth::Error::RevocationsFile { .. } => Code::KeyFileUnusable,
        _ => Code::ConfigWrong,
    };
    match std::error::Error::source(error) {
        Some(source) => Failure::because(code, error.to_string(), source.to_string()),
        None => Failure::new(code, error.to_string()),
    }
}
