//! Reading a JSON Web Key Set (RFC 7517): the keys in it that may verify tokens here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::algorithm::Algorithm;
use crate::key::Key;
use crate::token::KID_BYTES_MAX;

/// The most keys of a set: a token without `kid` is tried with each.
const KEYS_MAX: usize = 32;

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of the set `text`. Those that are for something else, or of a kind that is not supported, are passed over,
/// shared secrets among them: whoever could read one here could make tokens. A set without a usable key is an error:
/// it would lock everybody out.
pub(super) fn keys(text: &[u8]) -> Result<Vec<Key>, &'static str> {
    let set: Set<'_> = serde_json::from_slice(text).map_err(|_| "is not a JSON Web Key Set")?;
    if set.keys.len() > KEYS_MAX {
        return Err("has more than 32 keys");
    }
    let keys: Vec<_> = set.keys.into_iter().filter_map(key).collect();
    if keys.is_empty() { Err("has no key that tokens can be verified with") } else { Ok(keys) }
}

fn key(text: &RawValue) -> Option<Key> {
    let jwk: Jwk = serde_json::from_str(text.get()).ok()?;
    if jwk.purpose.as_ref().is_some_and(|purpose| purpose != "sig")
        || jwk.key_ops.as_ref().is_some_and(|all| !all.iter().any(|operation| operation == "verify"))
        || jwk.kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_MAX)
    {
        return None;
    }
    let number = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
    let kid = jwk.kid;
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => Key::of_rsa(kid, &number(jwk.n)?, &number(jwk.e)?),
        ("EC", Some(curve @ ("P-256" | "P-384"))) => {
            let (x, y) = (number(jwk.x)?, number(jwk.y)?);
            let bytes = if curve == "P-256" { 32 } else { 48 };
            if x.len() != bytes || y.len() != bytes {
                return None;
            }
            Key::of_point(kid, &[&[4_u8][..], &x, &y].concat())
        }
        ("OKP", Some("Ed25519")) => Key::of_ed25519(kid, &number(jwk.x)?),
        _ => return None,
    }
    .ok()?;
    let algorithm = match jwk.alg.as_deref() {
        None => None,
        // RFC 9864's name for it.
        Some("Ed25519") => Some(Algorithm::EdDsa),
        Some(name) => Some(Algorithm::named(name)?),
    };
    let key = key.only_for(algorithm);
    algorithm.is_none_or(|algorithm| key.fits(algorithm)).then_some(key)
}
