//! `fanfare key`.

use std::sync::Arc;

use clap::{Args, Subcommand};
use fanfare_auth::{Auth, Grant, KeyRequest};
use fanfare_model::{Clock as _, Duration, SystemClock, Tenant};

use super::ConfigArgs;
use super::token::{Allow, DoorArg, patterns};
use crate::failure::{Code, Failure};
use crate::print;
use crate::serve::dev;

/// Make, list and revoke API keys, in the file that `auth.api_keys_file` names. A running node sees it at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fanfare key create --name 'billing service' --topics 'orders:*' --allow publish
  fanfare key list
  fanfare key revoke Xa93kd02mfLq")]
pub(super) struct Key {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Create(Create),
    /// List the keys, revoked ones as well; never their secrets.
    List {
        #[command(flatten)]
        config: ConfigArgs,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key at once and for good.
    Revoke {
        #[command(flatten)]
        config: ConfigArgs,
        /// The id of the key: the part between `ffk_` and the last `_`.
        id: String,
    },
}

/// Make a key and print it. It is shown once: only its hash is kept.
#[derive(Debug, Args)]
struct Create {
    #[command(flatten)]
    config: ConfigArgs,
    /// What it is for, for people.
    #[arg(long)]
    name: Option<String>,
    /// Topic patterns: exact, or with `*` as the last segment.
    #[arg(long, value_delimiter = ',', value_name = "PATTERNS", required = true)]
    topics: Vec<String>,
    /// What may be done with them.
    #[arg(long, value_delimiter = ',', value_name = "ACTIONS", required = true)]
    allow: Vec<Allow>,
    /// Whose topics.
    #[arg(long, default_value = "default")]
    tenant: Tenant,
    /// When it ends. Default: never.
    #[arg(long, value_name = "DURATION")]
    ttl: Option<Duration>,
    /// The doors it opens: keep keys for `client` out of browsers.
    #[arg(long, value_delimiter = ',', default_value = "server")]
    door: Vec<DoorArg>,
}

impl Key {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.what {
            What::Create(create) => create.run(),
            What::List { config, json } => list(&config, json),
            What::Revoke { config, id } => {
                open(&config)?.revoke_key(&id).map_err(|error| dev::refused(&error))?;
                print::line(format_args!("{id} is revoked"));
                Ok(())
            }
        }
    }
}

impl Create {
    fn run(self) -> Result<(), Failure> {
        let auth = open(&self.config)?;
        let allow = self.allow.iter().map(|allow| allow.action()).collect();
        let request = KeyRequest {
            id: None,
            name: self.name,
            tenant: self.tenant,
            grants: vec![Grant { topics: patterns(&self.topics)?, allow }],
            doors: self.door.iter().map(|door| door.door()).collect(),
            expires_at: self.ttl.map(|ttl| SystemClock.now().plus(ttl.get())),
        };
        let created = auth.create_key(request).map_err(|error| dev::refused(&error))?;
        print::line(created.text.reveal());
        Ok(())
    }
}

fn list(config: &ConfigArgs, json: bool) -> Result<(), Failure> {
    for key in open(config)?.list_keys() {
        if json {
            let line = serde_json::to_string(&key)
                .map_err(|error| Failure::because(Code::Unusable, "a key cannot be shown", error))?;
            print::line(line);
            continue;
        }
        let state = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(at)) => format!("until {at}"),
            (None, None) => "for good".to_owned(),
        };
        print::line(format_args!("{}  {}  {state}", key.id, key.name.as_deref().unwrap_or("-")));
    }
    Ok(())
}

fn open(config: &ConfigArgs) -> Result<Auth, Failure> {
    let loaded = config.sources().load()?;
    if loaded.config.auth.api_keys_file.is_none() {
        return Err(Failure::new(
            Code::KeyFileUnusable,
            "there is no file of API keys; name one in the configuration (auth.api_keys_file)",
        ));
    }
    dev::auth(&loaded.config, false, Arc::new(SystemClock))
}
