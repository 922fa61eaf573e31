//! An issuer as it is used: its keys loaded, its algorithms settled.

use std::sync::Arc;

use fanfare_model::Tenant;

use crate::algorithm::Algorithm;
use crate::grant::Grant;
use crate::key::Key;
use crate::options::{self, Audiences};
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
    algorithms: Vec<Algorithm>,
    keys: Vec<Key>,
}

impl Issuer {
    /// Loads the keys of a validated issuer. An error is a sentence that names the key of the configuration.
    pub(crate) fn load(name: &str, options: &options::Issuer, dev: bool) -> Result<Self, String> {
        let place = format!("auth.issuers.{name}");
        let mut keys = Vec::with_capacity(options.keys.len());
        for (index, source) in options.keys.iter().enumerate() {
            keys.push(Key::load(source, dev).map_err(|problem| format!("{place}.keys[{index}] {problem}"))?);
        }
        let algorithms = settle(&options.algorithms, &keys).map_err(|problem| format!("{place}.{problem}"))?;
        Ok(Self {
            name: Arc::from(name),
            iss: options.iss(name).to_owned(),
            tenant: options.tenant.clone(),
            audiences: options.audiences.clone(),
            max_lifetime: options.max_lifetime.get(),
            leeway: options.leeway.get(),
            types: options.types.iter().map(|typ| normal_type(typ)).collect(),
            grants_default: options.grants_default.clone(),
            algorithms,
            keys,
        })
    }

    /// Checks that one of its keys made `signature` over `signed`, as `header` says.
    pub(crate) fn verify(&self, header: &Header<'_>, signed: &[u8], signature: &Vec<u8>) -> Result<(), Refusal> {
        let algorithm = header.algorithm;
        let unsupported = |what: &str| Refusal::new(Reason::UnsupportedAlgorithm, format!("`{algorithm}` {what}"));
        if !self.algorithms.contains(&algorithm) {
            return Err(unsupported("is not an algorithm that this issuer's tokens may be signed with"));
        }
        let fits = |key: &&Key| key.family.algorithms().contains(&algorithm);
        let verified = if let Some(kid) = &header.kid {
            let key = self.keys.iter().find(|key| key.kid.as_deref() == Some(&**kid)).ok_or_else(|| {
                Refusal::new(Reason::UnknownKey, "the issuer has no key with the `kid` of this token")
            })?;
            if !fits(&key) {
                return Err(unsupported("is not an algorithm of the key that `kid` names"));
            }
            key.verifies(algorithm, signed, signature)
        } else {
            self.keys.iter().filter(fits).any(|key| key.verifies(algorithm, signed, signature))
        };
        if verified {
            return Ok(());
        }
        Err(Refusal::new(Reason::BadSignature, "no key of the issuer made the signature of this token"))
    }

    /// The key that tokens are minted with, and its algorithm.
    pub(crate) fn signing_key(&self) -> Option<(&Key, Algorithm)> {
        let key = self.keys.iter().find(|key| key.can_sign())?;
        let algorithm = self.algorithms.iter().find(|algorithm| key.family.algorithms().contains(algorithm))?;
        Some((key, *algorithm))
    }
}

/// The algorithms that are allowed: those configured, or the usual one of each key.
fn settle(configured: &[Algorithm], keys: &[Key]) -> Result<Vec<Algorithm>, String> {
    if configured.is_empty() {
        let mut usual: Vec<_> = keys.iter().filter_map(|key| key.family.algorithms().first().copied()).collect();
        usual.sort_unstable();
        usual.dedup();
        return Ok(usual);
    }
    for algorithm in configured {
        if !keys.iter().any(|key| key.family.algorithms().contains(algorithm)) {
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
