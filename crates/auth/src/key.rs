//! Keys as they are used: loaded, checked, bound to the algorithms of their type.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm as Jws, DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::algorithm::{Algorithm, KeyType};
use crate::options::KeySource;
use crate::secret::REDACTED;

/// The implementation of all cryptography here. Named instead of the library's process-wide default, which
/// panics when another crate turns on another implementation as well.
const PROVIDER: &CryptoProvider = &DEFAULT_PROVIDER;

/// The fewest bytes of an HMAC secret: those of SHA-256's output (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// The fewest different bytes in it. 32 random hexadecimal digits have fewer than 8 different ones once in
/// 10^5 times, and nothing random has fewer than 5.
const SECRET_DISTINCT_MIN: usize = 5;
/// The fewest bits of an RSA modulus; what the library verifies with.
const RSA_BITS_MIN: usize = 2048;
/// The most bytes of a file with a key. The largest RSA key has 6 KB in PEM.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Secrets that stand in documentation and are known to everybody.
const WELL_KNOWN: [&str; 8] = [
    "secret",
    "changeme",
    "your-256-bit-secret",
    "your-384-bit-secret",
    "your-512-bit-secret",
    "a-string-secret-at-least-256-bits-long",
    "!ChangeMe!",
    "!ChangeThisMercureHubJWTSecretKey!",
];

/// Tells a key from others without telling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of a secret, or of what a public key consists of.
    fn of(family: KeyType, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        hash.update(family.name());
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        // Eight of its bytes: it tells the few keys of an issuer apart, and proves nothing.
        Self(hash.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// A key of an issuer.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) kid: Option<String>,
    pub(crate) family: KeyType,
    pub(crate) fingerprint: Fingerprint,
    /// The only algorithm that its issuer uses it for, if it says so.
    algorithm: Option<Algorithm>,
    verifying: DecodingKey,
    signing: Option<EncodingKey>,
}

impl Key {
    /// Reads and checks the key of a validated source. An error is the rest of a sentence that begins with the
    /// key's place in the configuration.
    pub(crate) fn load(source: &KeySource, dev: bool) -> Result<Self, String> {
        let kid = source.kid.clone();
        if let Some(secret) = &source.secret {
            return Self::of_secret(kid, secret.reveal().as_bytes(), dev);
        }
        if let Some(path) = &source.secret_file {
            return Self::of_secret(kid, read_secret(path)?.as_bytes(), dev);
        }
        if let Some(pem) = &source.public_key {
            return Self::of_public_pem(kid, pem);
        }
        if let Some(path) = &source.public_key_file {
            return Self::of_public_pem(kid, &read(path)?).map_err(|e| format!("({}) {e}", path.display()));
        }
        if let Some(path) = &source.private_key_file {
            return Self::of_private_pem(kid, &read(path)?).map_err(|e| format!("({}) {e}", path.display()));
        }
        Err("names no source".to_owned())
    }

    fn of_secret(kid: Option<String>, secret: &[u8], dev: bool) -> Result<Self, String> {
        check_secret(secret, dev)?;
        Ok(Self {
            kid,
            family: KeyType::Secret,
            fingerprint: Fingerprint::of(KeyType::Secret, &[secret]),
            algorithm: None,
            verifying: DecodingKey::from_secret(secret),
            signing: Some(EncodingKey::from_secret(secret)),
        })
    }

    fn of_public_pem(kid: Option<String>, text: &str) -> Result<Self, String> {
        one_block(text, &["PUBLIC KEY", "RSA PUBLIC KEY"], "a public key (`BEGIN PUBLIC KEY`)")?;
        let pem = text.as_bytes();
        if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            let (n, e) = key
                .try_get_as_bytes()
                .and_then(|der| (PROVIDER.key_utils.rsa_pub_components_from_public_key)(der))
                .map_err(|_| "is not an RSA public key that can be read".to_owned())?;
            Self::of_rsa(kid, &n, &e)
        } else if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            let key = Self::of_point(kid, key.try_get_as_bytes().unwrap_or_default())?;
            check_curve_name(text, key.family)?;
            Ok(key)
        } else if let Ok(key) = DecodingKey::from_ed_pem(pem) {
            Self::of_ed25519(kid, key.try_get_as_bytes().unwrap_or_default())
        } else {
            Err(UNKNOWN_KEY_TYPE.to_owned())
        }
    }

    /// The public RSA key of this modulus and exponent, big-endian.
    pub(crate) fn of_rsa(kid: Option<String>, n: &[u8], e: &[u8]) -> Result<Self, String> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        check_rsa_size(n)?;
        Ok(Self::public(kid, KeyType::Rsa, &[n, e], DecodingKey::from_rsa_raw_components(n, e)))
    }

    /// The public key at this uncompressed point (SEC 1, 2.3.3) of P-256 or P-384.
    pub(crate) fn of_point(kid: Option<String>, point: &[u8]) -> Result<Self, String> {
        Ok(Self::public(kid, curve_of(point)?, &[point], DecodingKey::from_ec_der(point)))
    }

    /// The public Ed25519 key of these 32 bytes.
    pub(crate) fn of_ed25519(kid: Option<String>, x: &[u8]) -> Result<Self, String> {
        if x.len() != 32 {
            return Err(UNKNOWN_KEY_TYPE.to_owned());
        }
        Ok(Self::public(kid, KeyType::Ed25519, &[x], DecodingKey::from_ed_der(x)))
    }

    fn public(kid: Option<String>, family: KeyType, parts: &[&[u8]], verifying: DecodingKey) -> Self {
        Self { kid, family, fingerprint: Fingerprint::of(family, parts), algorithm: None, verifying, signing: None }
    }

    /// The same key, for this algorithm only.
    pub(crate) fn only_for(self, algorithm: Option<Algorithm>) -> Self {
        Self { algorithm, ..self }
    }

    /// Whether it may be used with `algorithm`: one of its type's, and not another than its issuer says.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.family.algorithms().contains(&algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }

    fn of_private_pem(kid: Option<String>, pem: &str) -> Result<Self, String> {
        let expected = "a private key in PKCS #8 (`BEGIN PRIVATE KEY`); \
                        `openssl pkcs8 -topk8 -nocrypt -in old.pem -out new.pem` makes one of older forms";
        one_block(pem, &["PRIVATE KEY", "RSA PRIVATE KEY"], expected)?;
        let pem = pem.as_bytes();
        let utils = &PROVIDER.key_utils;
        let unreadable = |_| "holds a private key that cannot be read".to_owned();
        let (public, signing) = if let Ok(key) = EncodingKey::from_rsa_pem(pem) {
            let (n, e) = (utils.rsa_pub_components_from_private_key)(key.as_bytes()).map_err(unreadable)?;
            (Self::of_rsa(kid, &n, &e)?, key)
        } else if let Ok(key) = EncodingKey::from_ec_pem(pem) {
            let (_, x, y) = (utils.ec_pub_components_from_private_key)(key.as_bytes(), Jws::ES256)
                .or_else(|_| (utils.ec_pub_components_from_private_key)(key.as_bytes(), Jws::ES384))
                .map_err(|_| UNKNOWN_CURVE.to_owned())?;
            // An uncompressed point (SEC 1, 2.3.3).
            (Self::of_point(kid, &[&[4_u8][..], &x, &y].concat())?, key)
        } else if let Ok(key) = EncodingKey::from_ed_pem(pem) {
            let curve = jsonwebtoken::jwk::EllipticCurve::Ed25519;
            let x = (utils.ed_pub_components_from_private_key)(key.as_bytes(), &curve).map_err(unreadable)?;
            (Self::of_ed25519(kid, &x)?, key)
        } else {
            return Err(UNKNOWN_KEY_TYPE.to_owned());
        };
        Ok(Self { signing: Some(signing), ..public })
    }

    /// Whether it made `signature` over `message` by `algorithm`; never true for an algorithm of another type.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &Vec<u8>) -> bool {
        self.fits(algorithm)
            && (PROVIDER.verifier_factory)(&algorithm.jws(), &self.verifying)
                .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }

    pub(crate) fn can_sign(&self) -> bool {
        self.signing.is_some()
    }

    /// Its signature over `message`; `None` if it is public, or of another type.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        let signer = (PROVIDER.signer_factory)(&algorithm.jws(), self.signing.as_ref()?).ok()?;
        signer.try_sign(message).ok()
    }
}

/// Checks that nobody guesses `secret`. An error is the rest of a sentence that begins with its place.
pub(crate) fn check_secret(secret: &[u8], dev: bool) -> Result<(), String> {
    if secret.is_empty() {
        return Err("has an empty secret; make one with `openssl rand -hex 32`".to_owned());
    }
    if !dev {
        let advice = "make one with `openssl rand -hex 32`, or start with --dev on your own machine";
        if secret.len() < SECRET_BYTES_MIN {
            let bytes = secret.len();
            return Err(format!("has a secret of {bytes} bytes; at least {SECRET_BYTES_MIN} are needed: {advice}"));
        }
        let distinct = secret.iter().collect::<std::collections::BTreeSet<_>>().len();
        let known = WELL_KNOWN.iter().any(|known| known.as_bytes() == secret) || secret == REDACTED.as_bytes();
        if known || distinct < SECRET_DISTINCT_MIN {
            return Err(format!("has a secret that anybody could guess; {advice}"));
        }
    }
    Ok(())
}

const UNKNOWN_KEY_TYPE: &str = "is not a key that can be read; RSA, P-256, P-384 and Ed25519 are supported";
const UNKNOWN_CURVE: &str = "is on a curve that is not supported, or damaged; P-256 (ES256) and P-384 (ES384) are \
                             (P-521, for ES512, is not)";

/// The curve of an uncompressed point, by its length.
fn curve_of(point: &[u8]) -> Result<KeyType, String> {
    match (point.len(), point.first()) {
        (65, Some(4)) => Ok(KeyType::P256),
        (97, Some(4)) => Ok(KeyType::P384),
        _ => Err(UNKNOWN_CURVE.to_owned()),
    }
}

/// Checks that the key in `pem` names `curve` (by its object identifier, in DER). Points of other curves have the
/// same length: those of secp256k1 would be taken for P-256, and every token refused.
fn check_curve_name(pem: &str, curve: KeyType) -> Result<(), String> {
    let name: &[u8] = match curve {
        KeyType::P256 => &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
        _ => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
    };
    let body: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(body).unwrap_or_default();
    if der.windows(name.len()).any(|window| window == name) { Ok(()) } else { Err(UNKNOWN_CURVE.to_owned()) }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}

/// Checks the size of a modulus without leading zeros.
fn check_rsa_size(modulus: &[u8]) -> Result<(), String> {
    let bits = modulus.len() * 8;
    if bits < RSA_BITS_MIN {
        return Err(format!("is an RSA key of {bits} bits; at least {RSA_BITS_MIN} are needed"));
    }
    Ok(())
}

/// Checks that `pem` holds one block, with one of `labels`: the library takes the first of several, and takes a
/// private key where a public one is meant.
fn one_block(pem: &str, labels: &[&str], expected: &str) -> Result<(), String> {
    let is_expected = labels.iter().any(|label| pem.contains(&format!("-----BEGIN {label}-----")));
    match pem.matches("-----BEGIN ").count() {
        1 if is_expected => Ok(()),
        0 => Err(format!("is not PEM; it must be {expected}")),
        1 => Err(format!("is PEM of something else; it must be {expected}")),
        count => Err(format!("holds {count} blocks of PEM; give each key its own entry in `keys`")),
    }
}

/// The secret in a file; line breaks at its end do not count.
pub(crate) fn read_secret(path: &Path) -> Result<String, String> {
    let mut text = read(path)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

fn read(path: &Path) -> Result<String, String> {
    let problem = |what: &str| format!("names the file {}, {what}", path.display());
    let bytes = std::fs::metadata(path).map_err(|e| problem(&format!("which cannot be read: {e}")))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(problem(&format!("which has {bytes} bytes: too many for a key")));
    }
    std::fs::read_to_string(path).map_err(|e| problem(&format!("which cannot be read: {e}")))
}
