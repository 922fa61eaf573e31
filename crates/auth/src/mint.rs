//! Making tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fanfare_model::{Duration, Timestamp, Topic, UserId};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::issuer::Issuer;
use crate::{Door, Error, Grant, Pattern, api_key};

/// What a token to be made shall say.
#[derive(Debug, Clone)]
pub struct MintRequest {
    /// The configured name of the issuer; the only one there is if absent.
    pub issuer: Option<String>,
    /// The door it shall open.
    pub door: Door,
    /// Whose token it is (`sub`).
    pub user: Option<UserId>,
    /// What it allows. With neither grants nor topics, the issuer's `grants_default` hold.
    pub grants: Vec<Grant>,
    /// Shorthand: topics to subscribe to, and to read the history of.
    pub topics: Vec<Pattern>,
    /// How long it lives, in whole seconds. Default 1 h.
    pub lifetime: Duration,
    /// Its id (`jti`); random if absent.
    pub id: Option<String>,
    /// A JSON object about the user that others may be shown.
    pub info: Option<Box<RawValue>>,
    /// Topics to subscribe to on the client's behalf.
    pub subscribe: Vec<Topic>,
}

impl Default for MintRequest {
    fn default() -> Self {
        Self {
            issuer: None,
            door: Door::default(),
            user: None,
            grants: Vec::new(),
            topics: Vec::new(),
            lifetime: Duration::from_secs(60 * 60),
            id: None,
            info: None,
            subscribe: Vec::new(),
        }
    }
}

/// Characters of a random `jti`: 131 bits.
const ID_LENGTH: usize = 22;

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a UserId>,
    iat: i64,
    exp: i64,
    jti: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    topics: &'a [Pattern],
    #[serde(skip_serializing_if = "Fanfare::is_empty")]
    fanfare: Fanfare<'a>,
}

#[derive(Serialize)]
struct Fanfare<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    grants: &'a [Grant],
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    subscribe: &'a [Topic],
}

impl Fanfare<'_> {
    fn is_empty(&self) -> bool {
        self.grants.is_empty() && self.info.is_none() && self.subscribe.is_empty()
    }
}

/// Makes the token that `request` asks for, as `issuer`.
pub(crate) fn mint(issuer: &Issuer, request: MintRequest, now: Timestamp) -> Result<String, Error> {
    let name = &issuer.name;
    let (key, algorithm) = issuer.signing_key().ok_or_else(|| {
        Error::Invalid(format!(
            "the issuer `{name}` has only public keys here, so its tokens cannot be made here; \
             give one of auth.issuers.{name}.keys a secret or a private_key_file"
        ))
    })?;
    if !issuer.claims.is_ours() {
        return Err(Error::Invalid(format!(
            "the claims of the issuer `{name}` are not read in our own form (auth.issuers.{name}.claims), which is the \
             only one that tokens are made in"
        )));
    }
    let seconds = request.lifetime.get().as_secs();
    if seconds == 0 || request.lifetime.get() > issuer.max_lifetime {
        let longest = Duration(issuer.max_lifetime);
        return Err(Error::Invalid(format!(
            "the lifetime is {}; the tokens of the issuer `{name}` live from 1s to {longest} \
             (auth.issuers.{name}.max_lifetime)",
            request.lifetime
        )));
    }
    let issued_at = now.as_seconds();
    let header = Header {
        alg: algorithm.as_str(),
        typ: issuer.types.first().map_or("JWT", String::as_str),
        kid: key.kid.as_deref(),
    };
    let claims = Claims {
        iss: &issuer.iss,
        aud: issuer.audiences.of(request.door),
        sub: request.user.as_ref(),
        iat: issued_at,
        exp: issued_at.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX)),
        jti: request.id.unwrap_or_else(|| api_key::random_text(ID_LENGTH)),
        topics: &request.topics,
        fanfare: Fanfare { grants: &request.grants, info: request.info.as_deref(), subscribe: &request.subscribe },
    };
    let mut token = part(&header)?;
    token.push('.');
    token.push_str(&part(&claims)?);
    let signature = key.sign(algorithm, token.as_bytes()).ok_or(Error::Signing)?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

fn part(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_vec(value).map(|json| URL_SAFE_NO_PAD.encode(json)).map_err(|_| Error::Signing)
}
