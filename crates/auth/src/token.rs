//! The outer form of a token: three parts, a header, a payload. Nothing of it is believed here.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::algorithm::Algorithm;
use crate::refusal::{Reason, Refusal};
use crate::strict;

/// The longest `kid`. It is only looked up, never part of a path or a query.
pub(crate) const KID_BYTES_MAX: usize = 128;

/// A token taken apart, its JSON checked for form.
pub(crate) struct Token {
    /// The header and the payload as they were signed.
    pub(crate) signed_bytes: usize,
    pub(crate) header: String,
    pub(crate) payload: String,
    pub(crate) signature: Vec<u8>,
}

/// The parts of a header that count. Keys and addresses of keys in it (`jwk`, `jku`, `x5c`, `x5u`) are not
/// read: who signs is a matter of the configuration.
pub(crate) struct Header<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<Cow<'a, str>>,
    pub(crate) typ: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct RawHeader<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    kid: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    typ: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    crit: Option<&'a RawValue>,
}

/// Reads a member that is there; unlike serde's own `Option`, `null` is not the same as no member.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn malformed(sentence: &'static str) -> Refusal {
    Refusal::new(Reason::MalformedToken, sentence)
}

impl Token {
    /// Takes `text` apart.
    pub(crate) fn parse(text: &str, bytes_max: usize) -> Result<Self, Refusal> {
        if text.len() > bytes_max {
            let sentence = format!("the token has {} bytes; at most {bytes_max} are allowed", text.len());
            return Err(Refusal::new(Reason::TokenTooLarge, sentence));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("the credential is not a token: it does not have three parts between dots"));
        };
        let decode = |part: &str| {
            URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("a part of the token is not base64url without padding"))
        };
        let json = |part: &str| {
            String::from_utf8(decode(part)?)
                .ok()
                .filter(|text| strict::check_object(text))
                .ok_or_else(|| malformed("a part of the token is not a JSON object, or has a member twice"))
        };
        Ok(Self {
            signed_bytes: header.len() + 1 + payload.len(),
            header: json(header)?,
            payload: json(payload)?,
            signature: decode(signature)?,
        })
    }

    /// Reads the header.
    pub(crate) fn header(&self) -> Result<Header<'_>, Refusal> {
        let raw: RawHeader<'_> = serde_json::from_str(&self.header)
            .map_err(|_| malformed("the token's header has no `alg`, or `alg`, `kid` or `typ` is not text"))?;
        if raw.crit.is_some() {
            let sentence = "the token's header has `crit`; this server knows no extension of tokens";
            return Err(Refusal::new(Reason::UnsupportedExtension, sentence));
        }
        if raw.kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
            return Err(malformed("the token's `kid` has more than 128 bytes"));
        }
        let algorithm = Algorithm::named(&raw.alg).ok_or_else(|| {
            let sentence = "the token's `alg` is not an algorithm that this server knows (`none` is not one)";
            Refusal::new(Reason::UnsupportedAlgorithm, sentence)
        })?;
        Ok(Header { algorithm, kid: raw.kid, typ: raw.typ })
    }
}
