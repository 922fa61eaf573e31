//! `fanfare token`.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use fanfare_auth::{Action, Auth, Door, Grant, MintRequest, Pattern, Secret};
use fanfare_model::{Duration, SystemClock, UserId};

use super::ConfigArgs;
use super::revocation::Withdrawal;
use crate::failure::{Code, Failure};
use crate::print;
use crate::serve::dev;

/// Make a token for an issuer of the configuration that has a secret or a private key here; or take tokens back.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  fanfare token --dev --topics 'news,chat:*'                         subscribe and read history
  fanfare token --dev --user alice --topics 'chat:*' --allow subscribe,publish
  fanfare token --dev --door server --topics '*' --allow publish     for the HTTP API
  fanfare token --issuer app --user alice --topics 'user:{user}' --ttl 15m
  fanfare token revoke --user alice                                  those that alice has"
)]
pub(super) struct Token {
    #[command(subcommand)]
    withdrawal: Option<Withdrawal>,
    #[command(flatten)]
    mint: Mint,
}

/// What the token shall say.
#[derive(Debug, Args)]
struct Mint {
    #[command(flatten)]
    config: ConfigArgs,
    /// The issuer, by its name in the configuration. Default: the only one there is; with --dev, `dev`.
    #[arg(long)]
    issuer: Option<String>,
    /// The secret of the development issuer, instead of the one kept in the data directory.
    #[arg(long, value_name = "SECRET", env = "FANFARE_DEV_SECRET", hide_env_values = true)]
    dev_secret: Option<String>,
    /// Whose token it is (`sub`).
    #[arg(long)]
    user: Option<UserId>,
    /// Topic patterns: exact, or with `*` as the last segment, or with {user} in them.
    #[arg(long, value_delimiter = ',', value_name = "PATTERNS")]
    topics: Vec<String>,
    /// What may be done with them.
    #[arg(long, value_delimiter = ',', value_name = "ACTIONS", default_value = "subscribe,history")]
    allow: Vec<Allow>,
    /// How long it lives.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    ttl: Duration,
    /// Where it is shown: `client` for SSE, WebSocket and gRPC sessions, `server` for backends.
    #[arg(long, default_value = "client")]
    door: DoorArg,
}

/// An action, as written after `--allow`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Allow {
    Subscribe,
    Publish,
    History,
    Presence,
    Query,
    Admin,
}

/// A door, as written after `--door`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum DoorArg {
    Client,
    Server,
}

impl Allow {
    pub(super) fn action(self) -> Action {
        match self {
            Self::Subscribe => Action::Subscribe,
            Self::Publish => Action::Publish,
            Self::History => Action::History,
            Self::Presence => Action::Presence,
            Self::Query => Action::Query,
            Self::Admin => Action::Admin,
        }
    }
}

impl DoorArg {
    pub(super) fn door(self) -> Door {
        match self {
            Self::Client => Door::Client,
            Self::Server => Door::Server,
        }
    }
}

/// Reads topic patterns of the command line.
pub(super) fn patterns(texts: &[String]) -> Result<Vec<Pattern>, Failure> {
    texts
        .iter()
        .map(|text| Pattern::parse(text).map_err(|error| Failure::new(Code::Unusable, error.to_string())))
        .collect()
}

impl Token {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.withdrawal {
            Some(withdrawal) => withdrawal.run(),
            None => self.mint.run(),
        }
    }
}

impl Mint {
    fn run(self) -> Result<(), Failure> {
        let dev = self.config.dev || self.dev_secret.is_some();
        let auth = self.auth(dev)?;
        let topics = patterns(&self.topics)?;
        let allow: Vec<_> = self.allow.iter().map(|allow| allow.action()).collect();
        let grants = if topics.is_empty() { Vec::new() } else { vec![Grant { topics, allow }] };
        let request = MintRequest {
            issuer: self.issuer.or(dev.then(|| dev::ISSUER.to_owned())),
            door: self.door.door(),
            user: self.user,
            grants,
            lifetime: self.ttl,
            ..MintRequest::default()
        };
        print::line(mint(&auth, request)?);
        Ok(())
    }

    fn auth(&self, dev: bool) -> Result<Auth, Failure> {
        let mut sources = self.config.sources();
        sources.dev = dev;
        let mut config = sources.load()?.config;
        if let Some(secret) = &self.dev_secret {
            config.auth.issuers.insert(dev::ISSUER.to_owned(), dev::issuer(Secret::new(secret.clone())));
        }
        dev::auth(&config, dev, Arc::new(SystemClock))
    }
}

/// Makes a token, or says why not.
pub(super) fn mint(auth: &Auth, request: MintRequest) -> Result<String, Failure> {
    auth.mint(request).map_err(|error| Failure::new(Code::TokenUnmade, error.to_string()))
}
