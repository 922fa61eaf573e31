//! An issuer as it is used: its keys loaded, its algorithms settled.

use std::sync::Arc;

use fanfare_model::{Tenant, Timestamp};

use crate::algorithm::{Algorithm, KeyType};
use crate::claims::Map;
use crate::grant::Grant;
use crate::jwks::{KeySet, Keys};
use crate::key::{Fingerprint, Key};
use crate::options::{self, Audiences, Lack};
use crate::refusal::{Reason, Refusal};
use crate::token::Header;

#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) name: Arc<str>,
    pub(crate) iss: String,
    pub(crate) tenant: Tenant,
    pub(crate) audiences: Audiences,
    pub(crate) max_lifetime: std::time::Duration,
    pub(crate) leeway: std::time::Duration,
    pub(crate) types: Vec<String>,
    pub(crate) grants_default: Vec<Grant>,
    pub(crate) claims: Map,
    pub(crate) may_lack: Vec<Lack>,
    /// The keys that it publishes.
    pub(crate) published: Option<Arc<KeySet>>,
    algorithms: Vec<Algorithm>,
    keys: Vec<Key>,
}

/// The usual algorithm of each type of key that is published.
const USUAL_PUBLISHED: [KeyType; 4] = [KeyType::Rsa, KeyType::P256, KeyType::P384, KeyType::Ed25519];

impl Issuer {
    /// Loads the keys of a validated issuer. An error is a sentence that names the key of the configuration.
    pub(crate) fn load(
        name: Arc<str>,
        options: &options::Issuer,
        published: Option<Arc<KeySet>>,
        dev: bool,
    ) -> Result<Self, String> {
        let place = format!("auth.issuers.{name}");
        let mut keys = Vec::with_capacity(options.keys.len());
        for (index, source) in options.keys.iter().enumerate() {
            keys.push(Key::load(source, dev).map_err(|problem| format!("{place}.keys[{index}] {problem}"))?);
        }
        let mut types: Vec<_> = keys.iter().map(|key| key.family).collect();
        if published.is_some() {
            types.extend(USUAL_PUBLISHED);
        }
        let algorithms = settle(&options.algorithms, &keys, &types).map_err(|problem| format!("{place}.{problem}"))?;
        Ok(Self {
            iss: options.iss(&name).to_owned(),
            name,
            tenant: options.tenant.clone(),
            audiences: options.audiences.clone(),
            max_lifetime: options.max_lifetime.get(),
            leeway: options.leeway.get(),
            types: options.types.iter().map(|typ| normal_type(typ)).collect(),
            grants_default: options.grants_default.clone(),
            claims: Map::settle(&options.claims),
            may_lack: options.may_lack.clone(),
            published,
            algorithms,
            keys,
        })
    }

    /// The longest that one of its tokens can let somebody in after it was issued.
    pub(crate) fn longest(&self) -> std::time::Duration {
        self.max_lifetime.saturating_add(self.leeway.saturating_mul(2))
    }

    /// Checks that one of its keys made `signature` over `signed`, as `header` says; which.
    pub(crate) fn verify(
        &self,
        header: &Header<'_>,
        signed: &[u8],
        signature: &Vec<u8>,
        now: Timestamp,
    ) -> Result<Fingerprint, Refusal> {
        let algorithm = header.algorithm;
        let unsupported = |what: &str| Refusal::new(Reason::UnsupportedAlgorithm, format!("`{algorithm}` {what}"));
        if !self.algorithms.contains(&algorithm) {
            return Err(unsupported("is not an algorithm that this issuer's tokens may be signed with"));
        }
        let published = self.published.as_ref().and_then(|published| published.keys(now));
        let are_missing = self.published.is_some() && published.is_none();
        let named = |key: &&Key| header.kid.as_ref().is_none_or(|kid| key.kid.as_deref() == Some(&**kid));
        let mut is_known = header.kid.is_none();
        let mut fits = false;
        for key in self.keys.iter().chain(published.iter().flat_map(Keys::iter)).filter(named) {
            is_known = true;
            if key.fits(algorithm) {
                fits = true;
                if key.verifies(algorithm, signed, signature) {
                    return Ok(key.fingerprint);
                }
            }
        }
        // What could have been the key is not here.
        if are_missing && !(fits && header.kid.is_some()) {
            let sentence = "the keys of this token's issuer could not be fetched yet, or for too long";
            return Err(Refusal::new(Reason::KeysUnavailable, sentence));
        }
        Err(match (is_known, fits || header.kid.is_none()) {
            (false, _) => Refusal::new(Reason::UnknownKey, "the issuer has no key with the `kid` of this token"),
            (true, false) => unsupported("is not an algorithm of the key that `kid` names"),
            (true, true) => Refusal::new(Reason::BadSignature, "no key of the issuer made the signature of this token"),
        })
    }

    /// Whether the key is one of its keys now; refuses if it cannot be known.
    pub(crate) fn check_key(&self, key: Fingerprint, now: Timestamp) -> Result<(), Refusal> {
        if self.keys.iter().any(|own| own.fingerprint == key) {
            return Ok(());
        }
        match self.published.as_ref().map(|published| published.keys(now)) {
            Some(None) => {
                let sentence = "the keys of the issuer could not be fetched yet, or for too long";
                Err(Refusal::new(Reason::KeysUnavailable, sentence))
            }
            Some(Some(keys)) if keys.iter().any(|own| own.fingerprint == key) => Ok(()),
            _ => Err(Refusal::new(Reason::UnknownKey, "the key that signed the token is no longer the issuer's")),
        }
    }

    /// The key that tokens are minted with, and its algorithm.
    pub(crate) fn signing_key(&self) -> Option<(&Key, Algorithm)> {
        let key = self.keys.iter().find(|key| key.can_sign())?;
        let algorithm = self.algorithms.iter().find(|algorithm| key.family.algorithms().contains(algorithm))?;
        Some((key, *algorithm))
    }
}

/// The algorithms that are allowed: those configured, or the usual one of each of the types of keys.
fn settle(configured: &[Algorithm], keys: &[Key], types: &[KeyType]) -> Result<Vec<Algorithm>, String> {
    if configured.is_empty() {
        let mut usual: Vec<_> = types.iter().filter_map(|family| family.algorithms().first().copied()).collect();
        usual.sort_unstable();
        usual.dedup();
        return Ok(usual);
    }
    for algorithm in configured {
        if !types.iter().any(|family| family.algorithms().contains(algorithm)) {
            return Err(format!("algorithms has {algorithm}, but no key is of its type; add the key, or remove it"));
        }
    }
    for (index, key) in keys.iter().enumerate() {
        let own = key.family.algorithms();
        if !own.iter().any(|algorithm| configured.contains(algorithm)) {
            return Err(format!(
                "keys[{index}] is {}, but algorithms has none of its own; add one of {}",
                key.family.name(),
                own.iter().map(|algorithm| algorithm.as_str()).collect::<Vec<_>>().join(", ")
            ));
        }
    }
    Ok(configured.to_vec())
}

/// `typ` values are compared without case, and `application/` in front may be left out (RFC 7515, 4.1.9).
pub(crate) fn normal_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
}
