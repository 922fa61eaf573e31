//! Who is let in, and the issuer that exists only in development.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fanfare_auth::{Action, Auth, Grant, Issuer, KeySource, MintRequest, Pattern, Secret};
use fanfare_model::{Clock, Duration};

use super::files;
use crate::config::{Config, DEMO};
use crate::failure::{Code, Failure};

/// The name of the development issuer.
pub(crate) const ISSUER: &str = "dev";
/// HS256 wants as many bits as its hash has.
const SECRET_BYTES: usize = 32;
/// A token in a script of a development machine should still work after the holidays.
const LIFETIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

fn path(data: &Path) -> PathBuf {
    data.join("dev-secret")
}

/// The secret kept in the data directory, so that tokens outlive a restart. `None` if there is none yet.
pub(crate) fn kept_secret(data: &Path) -> Result<Option<String>, Failure> {
    let path = path(data);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= SECRET_BYTES => Ok(Some(text.trim().to_owned())),
        Ok(_) => Err(Failure::new(
            Code::KeyFileUnusable,
            format!("the development secret in {} is too short; delete the file to get a new one", path.display()),
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(&path, error)),
    }
}

/// The kept secret, or a fresh one, which is then kept.
pub(crate) fn secret(data: &Path) -> Result<String, Failure> {
    if let Some(secret) = kept_secret(data)? {
        return Ok(secret);
    }
    let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; SECRET_BYTES]>());
    let path = path(data);
    std::fs::create_dir_all(data)
        .and_then(|()| files::write(&path, &format!("{secret}\n")))
        .map_err(|error| unusable(&path, error))?;
    Ok(secret)
}

/// Who is let in by `config`; in development also whoever knows the development secret.
pub(crate) fn auth(config: &Config, dev: bool, clock: Arc<dyn Clock>) -> Result<Auth, Failure> {
    let mut options = config.auth.clone();
    if dev {
        options.issuers.entry(ISSUER.to_owned()).or_insert(issuer(Secret::new(secret(&config.engine.path)?)));
    }
    Auth::new(options, clock).map_err(|error| refused(&error))
}

/// The issuer whose tokens are signed with `secret`.
pub(crate) fn issuer(secret: Secret) -> Issuer {
    let key = KeySource { secret: Some(secret), ..KeySource::default() };
    Issuer { keys: vec![key], max_lifetime: LIFETIME_MAX, ..Issuer::default() }
}

/// Makes tokens for the demo page: to publish to its topics, and to hear and read them.
pub(super) fn demo_tokens(auth: Auth) -> fanfare_console::Mint {
    let topics: Vec<_> =
        [DEMO.to_owned(), format!("{DEMO}:*")].iter().filter_map(|pattern| Pattern::parse(pattern).ok()).collect();
    let grant = Grant { topics, allow: vec![Action::Subscribe, Action::Publish, Action::History] };
    Arc::new(move || {
        let request =
            MintRequest { issuer: Some(ISSUER.to_owned()), grants: vec![grant.clone()], ..MintRequest::default() };
        auth.mint(request).ok()
    })
}

/// What the operator is told if the keys that `auth` names cannot be used.
pub(crate) fn refused(error: &fanfare_auth::Error) -> Failure {
    let code = match error {
        fanfare_auth::Error::File { .. } | fanfare_auth::Error::KeysFile { .. } => Code::KeyFileUnusable,
        _ => Code::ConfigWrong,
    };
    match std::error::Error::source(error) {
        Some(source) => Failure::because(code, error.to_string(), source.to_string()),
        None => Failure::new(code, error.to_string()),
    }
}

fn unusable(path: &Path, error: std::io::Error) -> Failure {
    Failure::because(Code::KeyFileUnusable, format!("the development secret {} cannot be used", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        assert_eq!(kept_secret(&data).unwrap(), None);
        let first = secret(&data).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(&first).unwrap().len(), 32);
        assert_eq!(secret(&data).unwrap(), first);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path(&data)).unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "{mode:o}");
    }
}
