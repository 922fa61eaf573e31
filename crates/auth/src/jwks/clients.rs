//! What keys are fetched with.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};

use super::Jwks;

/// The clients of all issuers: one for all that trust the same authorities.
#[derive(Default)]
pub(crate) struct Clients(HashMap<Trust, Client>);

/// Who may vouch for the server that publishes the keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Trust {
    /// Nobody is asked: the address is `http`. A machine without certificates is good enough for that.
    Unneeded,
    /// The authorities that this machine trusts.
    System,
    /// Those in a file, and no others.
    File(PathBuf),
}

impl Clients {
    /// The client for the validated `options`. Reads their file. An error is the rest of a sentence that begins with
    /// the place of the options.
    pub(crate) fn of(&mut self, options: &Jwks) -> Result<Client, String> {
        let trust = match &options.ca_file {
            Some(path) => Trust::File(path.clone()),
            None if options.url.starts_with("http:") => Trust::Unneeded,
            None => Trust::System,
        };
        if let Some(client) = self.0.get(&trust) {
            return Ok(client.clone());
        }
        let client = client(&trust)?;
        self.0.insert(trust, client.clone());
        Ok(client)
    }
}

/// It goes nowhere but where the configuration says: no redirects, no proxies of the environment.
fn client(trust: &Trust) -> Result<Client, String> {
    let builder = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .user_agent(concat!("fanfare/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(0);
    let builder = match trust {
        Trust::Unneeded => builder.tls_certs_only([]),
        Trust::System => builder,
        Trust::File(path) => builder.tls_certs_only(authorities(path)?),
    };
    builder.build().map_err(|_| match trust {
        Trust::File(path) => unusable(path, "in which something is no certificate"),
        Trust::Unneeded | Trust::System => {
            " has an https address, but this machine has no authorities to trust: install them (ca-certificates), or name \
             a file in ca_file"
                .to_owned()
        }
    })
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, String> {
    let pem = std::fs::read(path).map_err(|error| unusable(path, &format!("which cannot be read: {error}")))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(unusable(path, "which holds no certificates in PEM")),
    }
}

fn unusable(path: &Path, what: &str) -> String {
    format!(".ca_file names the file {}, {what}", path.display())
}
