//! The claims of a token, and the rules they keep.

mod map;
mod members;
mod options;
mod path;
mod read;

use std::sync::Arc;

use fanfare_model::{Timestamp, Topic};
use serde_json::value::RawValue;

pub(crate) use map::Map;
pub use options::{ClaimForm, ClaimMap, OwnClaims};
pub use path::ClaimPath;

use crate::issuer::Issuer;
use crate::key::Fingerprint;
use crate::options::Lack;
use crate::principal::{Credential, Principal};
use crate::refusal::{Reason, Refusal};
use crate::{Door, Grant, grant};
use members::Members;
use read::OneOrMany;

/// The longest `jti`, as for other ids.
const ID_BYTES_MAX: usize = 255;

/// What a token says, nothing of it read yet.
pub(crate) struct Claims<'a>(Members<'a>);

/// What is known of a token before its claims are read.
pub(crate) struct Signed {
    pub(crate) id: Option<String>,
    pub(crate) key: Fingerprint,
}

/// When a token is good.
struct Span {
    expires_at: Timestamp,
    issued_at: Option<Timestamp>,
}

/// Refuses the claim `name` for what a reader says of it.
fn bad(name: &str) -> impl Fn(String) -> Refusal {
    move |problem| Refusal::bad_claim(name.to_owned(), problem)
}

impl<'a> Claims<'a> {
    /// Reads the payload, which has been checked to be an object without duplicates.
    pub(crate) fn parse(payload: &'a str) -> Result<Self, Refusal> {
        Members::parse(payload)
            .map(Self)
            .ok_or_else(|| Refusal::new(Reason::MalformedToken, "the token's payload is not a JSON object"))
    }

    /// The claim `name`, read.
    fn read<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&'a RawValue) -> Result<T, String>,
    ) -> Result<Option<T>, Refusal> {
        self.0.get(name).map(read).transpose().map_err(bad(name))
    }

    /// Who says to have made the token.
    pub(crate) fn issuer(&self) -> Result<Option<String>, Refusal> {
        self.read("iss", read::text)
    }

    /// The token's own id.
    pub(crate) fn id(&self) -> Result<Option<String>, Refusal> {
        self.read("jti", |raw| match read::text(raw)? {
            id if id.len() > ID_BYTES_MAX => Err(format!("has more than {ID_BYTES_MAX} bytes")),
            id => Ok(id),
        })
    }

    /// Checks every claim of a token whose signature was verified, and makes a principal of them.
    pub(crate) fn admit(
        &self,
        issuer: &Issuer,
        signed: Signed,
        door: Door,
        now: Timestamp,
    ) -> Result<Principal, Refusal> {
        let span = self.span(issuer, now)?;
        self.check_audience(issuer, door)?;
        let map = &issuer.claims;
        if let Some((path, names)) = &map.closed
            && let Some(raw) = path.find(&self.0)
        {
            let known = Members::of(raw).is_some_and(|all| all.iter().all(|(name, _)| names.contains(&name)));
            if !known {
                let sentence = format!("is not an object of `{}`", names.join("`, `"));
                return Err(bad(path.as_str())(sentence));
            }
        }
        let user = self.first(&map.user, |raw, path| read::user(raw, path.as_str() != "sub"))?;
        let (grants, channels) = self.grants(map)?;
        let grants = grants.as_deref().unwrap_or(&issuer.grants_default);
        let mut subscribe = self.all(&map.subscribe, read::topic_list)?.concat();
        subscribe.extend(channels);
        let mut expires_at = span.expires_at;
        for end in self.all(&map.ends, read::date)? {
            // Centrifugo's 0 is no end.
            if end > Timestamp::from_micros(0) {
                expires_at = expires_at.min(end);
            }
        }
        if expires_at.plus(issuer.leeway) <= now {
            return Err(Refusal::new(Reason::Expired, format!("the token's connection ended at {expires_at}")));
        }
        Ok(Principal {
            tenant: issuer.tenant.clone(),
            grants: grant::expand(grants, user.as_ref()),
            user,
            issuer: Arc::clone(&issuer.name),
            credential: Credential::Token { id: signed.id, issued_at: span.issued_at },
            expires_at: Some(expires_at),
            info: self.first(&map.info, |raw, _| read::info(raw))?.map(Arc::from),
            subscribe,
            resumes: None,
            key: Some(signed.key),
            door,
        })
    }

    /// What it allows, if it says anything about that; and the topics to subscribe to that are among it.
    fn grants(&self, map: &Map) -> Result<(Option<Vec<Grant>>, Vec<Topic>), Refusal> {
        let mut lists = self.all(&map.grants, read::grants)?;
        lists.extend(self.all(&map.topics, |raw| Ok(vec![Grant::to_listen(read::patterns(raw)?)]))?);
        let to_publish = |topics| vec![Grant { topics, allow: vec![crate::Action::Publish] }];
        lists.extend(self.all(&map.publish, |raw| read::patterns(raw).map(to_publish))?);
        lists.extend(self.all(&map.capabilities, read::capabilities)?);
        lists.extend(self.all(&map.caps, read::caps)?);
        for names in self.all(&map.permissions, read::names)? {
            lists.push(names.iter().filter_map(|name| map.permission_grants.get(name)).flatten().cloned().collect());
        }
        let channels = self.all(&map.channels, |raw| {
            let topics = read::topics(raw)?;
            Ok((read::to_listen(&topics)?, topics))
        })?;
        let mut subscribe = Vec::new();
        for (grant, topics) in channels {
            lists.push(vec![grant]);
            subscribe.extend(topics);
        }
        Ok(((!lists.is_empty()).then(|| lists.concat()), subscribe))
    }

    /// What stands at the first of `paths` where something stands.
    fn first<T>(
        &self,
        paths: &[ClaimPath],
        read: impl Fn(&'a RawValue, &ClaimPath) -> Result<T, String>,
    ) -> Result<Option<T>, Refusal> {
        let found = paths.iter().find_map(|path| Some((path.find(&self.0)?, path)));
        found.map(|(raw, path)| read(raw, path).map_err(bad(name_of(path)))).transpose()
    }

    /// What stands at each of `paths` where something stands.
    fn all<T>(&self, paths: &[ClaimPath], read: impl Fn(&'a RawValue) -> Result<T, String>) -> Result<Vec<T>, Refusal> {
        let found = paths.iter().filter_map(|path| Some((path.find(&self.0)?, path)));
        found.map(|(raw, path)| read(raw).map_err(bad(name_of(path)))).collect()
    }

    fn span(&self, issuer: &Issuer, now: Timestamp) -> Result<Span, Refusal> {
        let leeway = issuer.leeway;
        let expires_at = self
            .read("exp", read::date)?
            .ok_or_else(|| Refusal::new(Reason::MissingExpiry, "the token has no claim `exp`"))?;
        let not_before = self.read("nbf", read::date)?;
        let issued_at = self.read("iat", read::date)?;
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

    fn check_audience(&self, issuer: &Issuer, door: Door) -> Result<(), Refusal> {
        let needed = issuer.audiences.of(door);
        let Some(aud) = self.0.get("aud") else {
            // What is for nobody in particular opens no backend's door.
            if door == Door::Client && issuer.may_lack.contains(&Lack::Audience) {
                return Ok(());
            }
            return Err(Refusal::new(Reason::MissingAudience, "the token has no claim `aud`"));
        };
        let found = match read::one_or_many(aud) {
            Some(OneOrMany::One(audience)) => audience == needed,
            Some(OneOrMany::Many(audiences)) => audiences.iter().any(|audience| audience == needed),
            None => return Err(Refusal::bad_claim("aud", "is neither text nor a list of texts")),
        };
        if found {
            return Ok(());
        }
        Err(Refusal::new(Reason::WrongAudience, format!("the token is not for here: `aud` must hold `{needed}`")))
    }
}

/// The name of the claim at `path`, as a refusal has it: ours with the dots of the documentation.
fn name_of(path: &ClaimPath) -> &str {
    match path.as_str() {
        "/fanfare/grants" => "fanfare.grants",
        "/fanfare/info" => "fanfare.info",
        "/fanfare/subscribe" => "fanfare.subscribe",
        other => other,
    }
}
