//! Who is let in, and what they may do: tokens, issuers, keys, API keys, revocation → [`Principal`]; grants.
//!
//! What this crate is not: it knows no transport (where a credential was found, which status a refusal becomes), and
//! the network it asks for nothing but the keys that issuers publish. Every door asks the same [`Auth`], and every action on a topic asks the same
//! [`Principal::authorize`].
//!
//! Reading order: [`Options`] and [`Issuer`], [`Auth`], [`Principal`], [`Grant`] and [`Pattern`], [`Refusal`] and
//! [`Reason`], [`ApiKey`], [`Revocation`] and [`Revocations`], [`Auth::seal`], [`Auth::ticket`], [`Jwks`], [`ClaimMap`].
//!
//! ```
//! use std::sync::Arc;
//! use fanfare_auth::{Action, Auth, Door, Issuer, KeySource, MintRequest, Options, Pattern, Reason, Secret};
//! use fanfare_model::{SystemClock, Topic};
//!
//! let secret = Secret::new("3b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da5");
//! let issuer = Issuer { keys: vec![KeySource { secret: Some(secret), ..KeySource::default() }], ..Issuer::default() };
//! let options = Options { issuers: [("app".to_owned(), issuer)].into(), ..Options::default() };
//! let auth = Auth::new(options, Arc::new(SystemClock))?;
//!
//! let request = MintRequest { topics: vec![Pattern::parse("chat:*")?], ..MintRequest::default() };
//! let token = auth.mint(request)?;
//! let principal = auth.authenticate(Door::Client, &token)?;
//! assert!(principal.may(Action::Subscribe, &Topic::new("chat:42")?));
//! assert!(!principal.may(Action::Publish, &Topic::new("chat:42")?));
//! assert_eq!(auth.authenticate(Door::Server, &token).unwrap_err().reason(), Reason::WrongAudience);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod action;
mod algorithm;
mod api_key;
mod auth;
mod claims;
mod door;
mod error;
mod grant;
mod issuer;
mod jwks;
mod key;
mod key_store;
mod keys_file;
pub mod metrics;
mod mint;
mod options;
mod pattern;
mod principal;
mod refusal;
mod resume;
mod revocation;
mod secret;
mod state_file;
mod strict;
mod tickets;
mod timestamp_text;
mod token;
mod verified;

pub use action::Action;
pub use algorithm::Algorithm;
pub use api_key::{ApiKey, CreatedKey, KeyHash, KeyInfo, KeyOrigin, KeyRequest, PREFIX as API_KEY_PREFIX};
pub use auth::{Auth, Shown};
pub use claims::{ClaimForm, ClaimMap, ClaimPath, OwnClaims};
pub use door::Door;
pub use error::Error;
pub use grant::Grant;
pub use jwks::Jwks;
pub use mint::MintRequest;
pub use options::{Anonymous, Audiences, Issuer, KeySource, Lack, Options};
pub use pattern::Pattern;
pub use principal::{Credential, Principal};
pub use refusal::{Reason, Refusal};
pub use resume::{PREFIX as RESUME_PREFIX, Resume, Sealed};
pub use revocation::{Revocation, RevocationChange, Revocations, Revoked, RevokedPage};
pub use secret::{Secret, SecretUrl};
pub use tickets::{PREFIX as TICKET_PREFIX, Ticket, TicketRequest};
