//! Tokens: verified, minted.

use std::sync::Arc;

use fanfare_model::Timestamp;

use super::{Auth, Inner, Seen};
use crate::claims::{Claims, Signed};
use crate::issuer::{Issuer, normal_type};
use crate::mint::{self, MintRequest};
use crate::principal::Principal;
use crate::refusal::{Reason, Refusal};
use crate::token::Token;
use crate::{Door, Error};

impl Auth {
    /// Makes a token, for an issuer that has a key here that can sign. A token that would not be let in at its
    /// door is not handed out: [`Error::Invalid`] says why.
    pub fn mint(&self, request: MintRequest) -> Result<String, Error> {
        let inner = &*self.inner;
        let (door, now) = (request.door, inner.clock.now());
        let issuer = inner.issuer_for(request.issuer.as_deref())?;
        let token = mint::mint(issuer, request, now)?;
        match inner.verify_token(door, &token, now, &mut Seen::default()) {
            Ok(_) => Ok(token),
            Err(refusal) => Err(Error::Invalid(format!("no such token is made, as it would be refused: {refusal}"))),
        }
    }
}

impl Inner {
    fn issuer_for(&self, name: Option<&str>) -> Result<&Issuer, Error> {
        let names = || {
            let mut names: Vec<_> = self.by_name.keys().map(|name| format!("`{name}`")).collect();
            names.sort_unstable();
            names.join(", ")
        };
        match name {
            _ if self.by_name.is_empty() => {
                Err(Error::NotFound("there is no issuer; add one to auth.issuers, or use --dev".to_owned()))
            }
            Some(name) => self
                .by_name
                .get(name)
                .map(|issuer| &**issuer)
                .ok_or_else(|| Error::NotFound(format!("there is no issuer `{name}`; there are {}", names()))),
            None if self.by_name.len() > 1 => {
                Err(Error::Invalid(format!("there are several issuers; name one of {}", names())))
            }
            None => self.by_name.values().next().map(|issuer| &**issuer).ok_or(Error::Signing),
        }
    }

    pub(super) fn verify_token(
        &self,
        door: Door,
        text: &str,
        now: Timestamp,
        seen: &mut Seen,
    ) -> Result<Principal, Refusal> {
        let token = Token::parse(text, self.token_bytes_max)?;
        let header = token.header()?;
        seen.key_id = header.kid.as_deref().map(str::to_owned);
        let claims = Claims::parse(&token.payload)?;
        // What the token says of its issuer only picks among the configured ones.
        let issuer = match claims.issuer()? {
            Some(iss) => self.issuers.get(&iss).ok_or_else(|| {
                Refusal::new(Reason::UnknownIssuer, "no issuer with the `iss` of this token is configured here")
            }),
            None => self
                .nameless
                .as_ref()
                .ok_or_else(|| Refusal::new(Reason::MissingIssuer, "the token has no claim `iss`")),
        }?;
        seen.issuer = Some(Arc::clone(&issuer.name));
        let key = issuer.verify(&header, &text.as_bytes()[..token.signed_bytes], &token.signature, now)?;
        // From here on the token says what its issuer said.
        let id = claims.id()?;
        seen.token_id.clone_from(&id);
        if !issuer.types.is_empty() {
            let typ = header.typ.as_deref().map(normal_type);
            if !typ.is_some_and(|typ| issuer.types.contains(&typ)) {
                let sentence = format!("the token's `typ` is not one of {}", issuer.types.join(", "));
                return Err(Refusal::new(Reason::WrongType, sentence));
            }
        }
        claims.admit(issuer, Signed { id, key }, door, now)
    }

    /// As [`Inner::verify_token`]; a token that was verified lately is not verified again.
    pub(super) fn verify_token_once(
        &self,
        door: Door,
        text: &str,
        now: Timestamp,
        seen: &mut Seen,
    ) -> Result<Principal, Refusal> {
        if let Some(principal) = self.verified.find(text, now).filter(|known| self.has_key_of(known, now)) {
            seen.note(&principal);
            return Ok(principal);
        }
        let principal = self.verify_token(door, text, now, seen)?;
        if let (Some(issuer), Some(expires_at)) = (self.by_name.get(&principal.issuer), principal.expires_at) {
            self.verified.remember(text, &principal, expires_at.plus(issuer.leeway));
        }
        Ok(principal)
    }

    /// Whether the key that signed the token of `principal` still is its issuer's.
    fn has_key_of(&self, principal: &Principal, now: Timestamp) -> bool {
        let issuer = self.by_name.get(&principal.issuer);
        issuer.zip(principal.key).is_some_and(|(issuer, key)| issuer.check_key(key, now).is_ok())
    }
}
