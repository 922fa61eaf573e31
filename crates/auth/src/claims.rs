//! The claims of a token, and the rules they keep.

use std::sync::Arc;

use fanfare_model::{Timestamp, Topic, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::issuer::Issuer;
use crate::principal::{Credential, Principal};
use crate::refusal::{Reason, Refusal};
use crate::token::present;
use crate::{Door, Grant, Pattern, grant};

/// The last second of the year 9999: no honest date is later, and no arithmetic on it overflows.
const SECONDS_MAX: i64 = 253_402_300_799;
/// The longest `jti`, as for other ids.
const ID_BYTES_MAX: usize = 255;

/// The claims that count, each still as text so that a bad one can be named. Others are ignored.
#[derive(Deserialize)]
pub(crate) struct Claims<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    iss: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    aud: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    sub: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    exp: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    nbf: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    iat: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    jti: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    topics: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    fanfare: Option<&'a RawValue>,
}

/// The claim `fanfare`. Unknown members are refused: the claim is ours, and what is not understood may have been
/// meant to narrow the rest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fanfare<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    grants: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    info: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    subscribe: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// When a token is good.
struct Span {
    expires_at: Timestamp,
    issued_at: Option<Timestamp>,
}

impl<'a> Claims<'a> {
    /// Reads the payload, which has been checked to be an object without duplicates.
    pub(crate) fn parse(payload: &'a str) -> Result<Self, Refusal> {
        serde_json::from_str(payload)
            .map_err(|_| Refusal::new(Reason::MalformedToken, "the token's payload is not a JSON object"))
    }

    /// Who says to have made the token.
    pub(crate) fn issuer(&self) -> Result<String, Refusal> {
        let iss = self.iss.ok_or_else(|| Refusal::new(Reason::MissingIssuer, "the token has no claim `iss`"))?;
        text("iss", iss)
    }

    /// The token's own id.
    pub(crate) fn id(&self) -> Result<Option<String>, Refusal> {
        let Some(id) = self.jti.map(|raw| text("jti", raw)).transpose()? else { return Ok(None) };
        if id.len() > ID_BYTES_MAX {
            return Err(Refusal::bad_claim("jti", format_args!("has more than {ID_BYTES_MAX} bytes")));
        }
        Ok(Some(id))
    }

    /// Checks every claim of a token whose signature was verified, and makes a principal of them.
    pub(crate) fn admit(
        &self,
        issuer: &Issuer,
        id: Option<String>,
        door: Door,
        now: Timestamp,
    ) -> Result<Principal, Refusal> {
        let span = self.span(issuer, now)?;
        self.check_audience(issuer.audiences.of(door))?;
        let user = self
            .sub
            .map(|raw| UserId::new(text("sub", raw)?).map_err(|e| Refusal::bad_claim("sub", e.problem)))
            .transpose()?;
        let fanfare = self.fanfare()?;
        let grants = match (fanfare.as_ref().and_then(|f| f.grants), self.topics) {
            (None, None) => grant::expand(&issuer.grants_default, user.as_ref()),
            (named, shorthand) => {
                let mut grants = named.map(grants).transpose()?.unwrap_or_default();
                grants.extend(shorthand.map(shorthand_grant).transpose()?);
                grant::expand(&grants, user.as_ref())
            }
        };
        Ok(Principal {
            tenant: issuer.tenant.clone(),
            user,
            issuer: Arc::clone(&issuer.name),
            credential: Credential::Token { id, issued_at: span.issued_at },
            expires_at: Some(span.expires_at),
            info: fanfare.as_ref().and_then(|f| f.info).map(info).transpose()?,
            subscribe: fanfare.as_ref().and_then(|f| f.subscribe).map(topics).transpose()?.unwrap_or_default(),
            door,
            grants,
        })
    }

    fn span(&self, issuer: &Issuer, now: Timestamp) -> Result<Span, Refusal> {
        let leeway = issuer.leeway;
        let exp = self.exp.ok_or_else(|| Refusal::new(Reason::MissingExpiry, "the token has no claim `exp`"))?;
        let expires_at = date("exp", exp)?;
        let not_before = self.nbf.map(|raw| date("nbf", raw)).transpose()?;
        let issued_at = self.iat.map(|raw| date("iat", raw)).transpose()?;
        if expires_at.plus(leeway) <= now {
            return Err(Refusal::new(Reason::Expired, format!("the token expired at {expires_at}")));
        }
        if let Some(start) = not_before
            && start > now.plus(leeway)
        {
            return Err(Refusal::new(Reason::NotYetValid, format!("the token is not valid before {start}")));
        }
        let longest = issuer.max_lifetime;
        let (start, longest_from_start) = match issued_at {
            Some(start) if start > now.plus(leeway) => {
                let sentence = format!("the token says that it was issued at {start}, which is in the future");
                return Err(Refusal::new(Reason::IssuedInFuture, sentence));
            }
            Some(start) if expires_at <= start => {
                return Err(Refusal::bad_claim("exp", "is not later than `iat`"));
            }
            Some(start) => (start, longest),
            // It was issued now at the latest, as its issuer's clock has it.
            None => (now, longest.saturating_add(leeway)),
        };
        if expires_at.since(start) > longest_from_start {
            let longest = fanfare_model::Duration(longest);
            let sentence = format!("the token lives longer than the {longest} that its issuer's tokens may");
            return Err(Refusal::new(Reason::LifetimeTooLong, sentence));
        }
        Ok(Span { expires_at, issued_at })
    }

    fn check_audience(&self, needed: &str) -> Result<(), Refusal> {
        let aud = self.aud.ok_or_else(|| Refusal::new(Reason::MissingAudience, "the token has no claim `aud`"))?;
        let found = match one_or_many(aud) {
            Some(OneOrMany::One(audience)) => audience == needed,
            Some(OneOrMany::Many(audiences)) => audiences.iter().any(|audience| audience == needed),
            None => return Err(Refusal::bad_claim("aud", "is neither text nor a list of texts")),
        };
        if found {
            return Ok(());
        }
        Err(Refusal::new(Reason::WrongAudience, format!("the token is not for here: `aud` must hold `{needed}`")))
    }

    fn fanfare(&self) -> Result<Option<Fanfare<'a>>, Refusal> {
        let Some(raw) = self.fanfare else { return Ok(None) };
        // serde would read an array as the members in their order.
        let fanfare = if is_object(raw) { serde_json::from_str(raw.get()).ok() } else { None };
        fanfare
            .map(Some)
            .ok_or_else(|| Refusal::bad_claim("fanfare", "is not an object of `grants`, `info` and `subscribe`"))
    }
}

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

fn text(claim: &'static str, raw: &RawValue) -> Result<String, Refusal> {
    serde_json::from_str(raw.get()).map_err(|_| Refusal::bad_claim(claim, "is not text"))
}

/// A date as a token has it: whole seconds since 1970.
fn date(claim: &'static str, raw: &RawValue) -> Result<Timestamp, Refusal> {
    match raw.get().parse::<i64>() {
        Ok(seconds @ 0..=SECONDS_MAX) => Ok(Timestamp::from_seconds(seconds)),
        _ => Err(Refusal::bad_claim(claim, "is not a whole number of seconds since 1970 before the year 10000")),
    }
}

fn one_or_many(raw: &RawValue) -> Option<OneOrMany> {
    serde_json::from_str(raw.get()).ok()
}

fn grants(raw: &RawValue) -> Result<Vec<Grant>, Refusal> {
    let problem = "is not a list of objects `{\"topics\":[…],\"allow\":[…]}`, or has a topic pattern or an action in it \
                   that is not one";
    let entries: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| Refusal::bad_claim("fanfare.grants", problem))?;
    entries
        .into_iter()
        .map(|entry| {
            let grant = if is_object(entry) { serde_json::from_str(entry.get()).ok() } else { None };
            grant.ok_or_else(|| Refusal::bad_claim("fanfare.grants", problem))
        })
        .collect()
}

fn shorthand_grant(raw: &RawValue) -> Result<Grant, Refusal> {
    let texts = match one_or_many(raw) {
        Some(OneOrMany::One(list)) => list.split(',').map(|text| text.trim().to_owned()).collect(),
        Some(OneOrMany::Many(texts)) => texts,
        None => return Err(Refusal::bad_claim("topics", "is neither a list of texts nor text with commas")),
    };
    let patterns: Result<Vec<_>, _> = texts.into_iter().map(Pattern::parse).collect();
    Ok(Grant::to_listen(patterns.map_err(|e| Refusal::bad_claim("topics", format_args!("has a {e}")))?))
}

fn info(raw: &RawValue) -> Result<Box<RawValue>, Refusal> {
    if is_object(raw) {
        return Ok(raw.to_owned());
    }
    Err(Refusal::bad_claim("fanfare.info", "is not an object"))
}

fn topics(raw: &RawValue) -> Result<Vec<Topic>, Refusal> {
    serde_json::from_str(raw.get()).map_err(|_| Refusal::bad_claim("fanfare.subscribe", "is not a list of topics"))
}
