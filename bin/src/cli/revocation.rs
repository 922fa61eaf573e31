//! `fanfare token revoke`, `block`, `unblock` and `revocations`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use clap::{Args, Subcommand};
use fanfare_auth::{Auth, Revocation, Revoked};
use fanfare_model::{Clock as _, SystemClock, Tenant, Timestamp, UserId};
use serde_json::{Value, json};

use super::ConfigArgs;
use crate::client::API;
use crate::failure::{Code, Failure};
use crate::print;
use crate::serve::dev;

/// How many revocations are read at a time.
const PAGE: usize = 1000;

/// Taking tokens back, in the file that `auth.revocations_file` names. A running node sees it within a second.
#[derive(Debug, Subcommand)]
pub(super) enum Withdrawal {
    Revoke(Revoke),
    /// Let a user in no more, whatever token they show, until `unblock`.
    Block(OfUser),
    /// Let a user in again. Tokens that were revoked stay so.
    Unblock(OfUser),
    Revocations(List),
}

/// Take back one token, or all that a user has.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanfare token revoke --id 0193c7a2-1f7c-7000-8000-000000000000
  fanfare token revoke --user alice                                        all made until now
  fanfare token revoke --user alice --issued-before 2026-11-21T10:00:00Z")]
pub(super) struct Revoke {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    what: What,
    /// Only tokens from before this time: RFC 3339, or milliseconds since 1970. Default: now.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse, conflicts_with = "id")]
    issued_before: Option<Timestamp>,
    /// Whose tokens.
    #[arg(long, default_value = "default")]
    tenant: Tenant,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The id of the token (`jti`).
    #[arg(long, value_name = "JTI")]
    id: Option<String>,
    /// The user whose tokens end.
    #[arg(long)]
    user: Option<UserId>,
}

/// A user.
#[derive(Debug, Args)]
pub(super) struct OfUser {
    #[command(flatten)]
    config: ConfigArgs,
    /// The user (`sub`).
    user: UserId,
    /// Whose user.
    #[arg(long, default_value = "default")]
    tenant: Tenant,
}

/// List what was taken back and is not forgotten yet.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    config: ConfigArgs,
    /// Whose.
    #[arg(long, default_value = "default")]
    tenant: Tenant,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Withdrawal {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Revoke(revoke) => revoke.run(),
            Self::Block(OfUser { config, user, tenant }) => {
                let done = format!("{user} is blocked");
                take_back(&config, Revocation::Block { tenant, user }, &done)
            }
            Self::Unblock(OfUser { config, user, tenant }) => {
                let request = Request::Post("/v1/tokens/unblock", json!({ "user": user.as_str() }));
                open(&config, &request)?.unblock(&tenant, &user).map_err(|error| dev::refused(&error))?;
                print::line(format_args!("{user} is not blocked any more"));
                Ok(())
            }
            Self::Revocations(list) => list.run(),
        }
    }
}

impl Revoke {
    fn run(self) -> Result<(), Failure> {
        let Self { config, what, issued_before, tenant } = self;
        let (revocation, done) = match (what.id, what.user) {
            (Some(id), _) => {
                let done = format!("the token {id} is revoked");
                (Revocation::Token { tenant, id }, done)
            }
            (None, Some(user)) => {
                let issued_before = issued_before.unwrap_or_else(|| SystemClock.now());
                let done = format!("tokens of {user} from before {issued_before} are revoked");
                (Revocation::UserTokens { tenant, user, issued_before }, done)
            }
            (None, None) => return Err(Failure::new(Code::Unusable, "name a token (--id) or a user (--user)")),
        };
        take_back(&config, revocation, &done)
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let auth = open(&self.config, &Request::Get("/v1/tokens/revocations"))?;
        let mut after = None;
        loop {
            let page = auth.list_revocations(&self.tenant, after.as_deref(), PAGE);
            for revoked in &page.revoked {
                self.show(revoked)?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn show(&self, revoked: &Revoked) -> Result<(), Failure> {
        if self.json {
            let line = serde_json::to_string(revoked)
                .map_err(|error| Failure::because(Code::Unusable, "a revocation cannot be shown", error))?;
            print::line(line);
            return Ok(());
        }
        let what = match &revoked.revocation {
            Revocation::Token { id, .. } => format!("token {id}"),
            Revocation::UserTokens { user, issued_before, .. } => {
                format!("tokens of {user} from before {issued_before}")
            }
            Revocation::Block { user, .. } => format!("user {user}"),
        };
        let until = revoked.until.map_or(String::new(), |until| format!(", forgotten {until}"));
        print::line(format_args!("{what}  since {}{until}", revoked.at));
        Ok(())
    }
}

fn take_back(config: &ConfigArgs, revocation: Revocation, done: &str) -> Result<(), Failure> {
    let body = match &revocation {
        Revocation::Token { id, .. } => json!({ "token_id": id }),
        Revocation::UserTokens { user, issued_before, .. } => {
            json!({ "user": user.as_str(), "issued_before": issued_before.to_string() })
        }
        Revocation::Block { user, .. } => json!({ "block_user": user.as_str() }),
    };
    open(config, &Request::Post("/v1/tokens/revoke", body))?
        .revoke(revocation)
        .map_err(|error| dev::refused(&error))?;
    print::line(done);
    Ok(())
}

/// What the API of a running node is asked instead, where nodes share their log.
enum Request {
    Get(&'static str),
    Post(&'static str, Value),
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Get(path) | Self::Post(path, _)) = self;
        write!(f, "curl {API}{path} -H \"Authorization: Bearer $TOKEN\"")?;
        match self {
            Self::Get(_) => Ok(()),
            Self::Post(_, body) => {
                // A user's name may hold what ends the text of a shell.
                let body = body.to_string().replace('\'', "'\\''");
                write!(f, " -H 'Content-Type: application/json' -d '{body}'")
            }
        }
    }
}

fn open(config: &ConfigArgs, instead: &Request) -> Result<Auth, Failure> {
    let loaded = config.sources().load()?;
    if loaded.config.is_cluster() {
        let text = format!(
            "nodes that share an engine keep in its log what is revoked, and this command writes only the file of a node by \
             itself\n  fix: ask the API of any running node, with a token or an API key of the tenant that allows `admin` \
             on `*`:\n    {instead}"
        );
        return Err(Failure::new(Code::Unusable, text));
    }
    let file = loaded.config.auth_of_node().revocations_file;
    // Without the directory no node has kept anything here.
    let directory = file.as_deref().and_then(Path::parent);
    if !directory.is_some_and(|directory| directory.as_os_str().is_empty() || directory.is_dir()) {
        return Err(Failure::new(
            Code::KeyFileUnusable,
            "there is no file of revocations; name one in the configuration (auth.revocations_file), or ask the node \
             itself (POST /v1/tokens/revoke)",
        ));
    }
    dev::auth(&loaded.config, config.dev, Arc::new(SystemClock))
}
